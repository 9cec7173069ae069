"""Reads the license of each release of a project: out of its metadata file, else out of a wheel."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from urllib.parse import urljoin

from ecosystems.indexes import FetchContext, FindFile
from ecosystems.python import wheels
from ecosystems.python.body import Body, License, join, split
from ecosystems.python.licensing import metadata_files, stated
from ecosystems.python.names import WHEEL
from ecosystems.python.records import records
from ecosystems.records import Invalid, Record
from ecosystems.upstream import DigestMismatch, NotFound, TooSlow, optional

MOST_SILENT = 3
"""So many metadata files may keep silent before the others are no longer waited for."""


class LicenseReader:
    """Adds licenses to bodies. Threads share one, so that they all stop asking a silent server."""

    def __init__(self, root: str, context: FetchContext, *, find_file: FindFile) -> None:
        self._root, self._context, self._find_file = root, context, find_file
        self.broken: set[tuple[str, str]] = set()
        """Projects, each with a file whose metadata is not what the index says: it is asked for
        again, and until then the license is the wheel's."""
        self._silent = 0
        self._numbers = count()

    def licensed(self, body: bytes, before: bytes) -> bytes:
        """The body with the license of each release; what is known of it is not asked again.

        Metadata that cannot be had now raises, and the page stays as it was: license rules must
        not miss a release for it. Metadata that is not there, or is another than the index says,
        leaves the license to the wheel.
        """
        stored = split(body)
        licenses: dict[str, License] = dict(split(before).licenses) if before else {}
        listed = records(body, name=stored.name)
        for version, record in metadata_files(listed).items():
            if version not in licenses:
                try:
                    licenses[version] = self._in_metadata(record)
                # Another file's license must never count for this release.
                except DigestMismatch:
                    self.broken.add((stored.name, record.filename))
                # A wheel that is stored may still say it.
                except NotFound:
                    continue
        releases = self._in_stored_wheels(listed, licenses)
        # Releases that are gone leave no license behind.
        current = {version: licenses[version] for version in releases}
        return join(Body(stored.name, stored.files, stored.status, current))

    def _in_metadata(self, record: Record) -> License:
        path = self._context.folder / f"metadata-{next(self._numbers)}"
        url = urljoin(self._root, record.address)
        if self._silent >= MOST_SILENT:
            raise TooSlow(url, f"{MOST_SILENT} metadata files kept silent; no more is asked.")
        try:
            self._context.client.download(
                url,
                path,
                sha256=record.sha256,
                stop=self._context.stop,
                patience=optional.PATIENCE,
            )
            return stated(path.read_bytes())
        except TooSlow:
            # Without a lock: threads may count one too few, which costs one more wait.
            self._silent += 1
            raise
        finally:
            path.unlink(missing_ok=True)

    def _in_stored_wheels(
        self, listed: Iterable[Record | Invalid], licenses: dict[str, License]
    ) -> set[str]:
        """The releases whose license is known, after a look into the wheels that are stored."""
        licensed: set[str] = set()
        for record in listed:
            if not isinstance(record, Record) or record.version in licensed:
                continue
            if record.version not in licenses and record.filename.endswith(WHEEL):
                path = self._find_file(record.sha256)
                license_ = wheels.license_in(path) if path is not None else None
                if license_ is not None:
                    licenses[record.version] = license_
            if record.version in licenses:
                licensed.add(record.version)
        return licensed
