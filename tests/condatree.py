"""A conda channel in memory: real packages, real indexes, on a real port.

    with FakeConda() as conda:
        conda.add("noarch", "six", "1.16.0", license="MIT")
        conda.publish()
        ... conda.channel + "/noarch/repodata.json.zst" ...

Packages are complete enough to be solved, fetched and linked by real clients.
"""

from __future__ import annotations

import bz2
import hashlib
import io
import json
import ssl
import tarfile
import zipfile
from collections.abc import Iterable, Sequence
from typing import Any

import zstandard

from tests.upstream import FakeUpstream

Record = dict[str, Any]
BUILT = 1_700_000_000_000
"""The build time of packages that name none: 2023-11-14."""
FORMS = ("json", "zst", "bz2")
_FIXED_ZIP_TIME = (2023, 11, 14, 0, 0, 0)


class FakeConda(FakeUpstream):
    """A channel below `root`; `add` what it has, then `publish`."""

    def __init__(
        self, root: str = "/channel", *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(host=host, tls=tls)
        self.root = root
        self._records: dict[str, dict[str, Record]] = {}
        self._publications = 0

    @property
    def channel(self) -> str:
        """The channel's address."""
        return f"{self.url}{self.root}"

    def path(self, subdir: str, filename: str) -> str:
        """Where a file of a subdir lies on the server."""
        return f"{self.root}/{subdir}/{filename}"

    def add(
        self,
        subdir: str,
        name: str,
        version: str,
        *,
        build: str = "0",
        ext: str = ".conda",
        build_number: int = 0,
        license: str | None = "MIT",
        license_family: str | None = None,
        timestamp: int | None = BUILT,
        depends: Sequence[str] = (),
        constrains: Sequence[str] | None = None,
        payload: int = 0,
        extra: Record | None = None,
    ) -> str:
        """Build a package and list it at the next `publish`; returns its file name.

        `payload`: bytes of padding in its one file. `extra`: further keys of
        the record (None takes a key out).
        """
        index: Record = {
            "arch": None,
            "build": build,
            "build_number": build_number,
            "constrains": None if constrains is None else list(constrains),
            "depends": list(depends),
            "license": license,
            "license_family": license_family,
            "name": name,
            "noarch": "generic" if subdir == "noarch" else None,
            "subdir": subdir,
            "timestamp": timestamp,
            "version": version,
        }
        index = {key: value for key, value in index.items() if value is not None}
        stem = f"{name}-{version}-{build}"
        body = _package(stem, index, ext, payload=payload)
        record = index | {
            "md5": hashlib.md5(body).hexdigest(),
            "sha256": hashlib.sha256(body).hexdigest(),
            "size": len(body),
        }
        self._records.setdefault(subdir, {})[f"{stem}{ext}"] = record
        self.set(self.path(subdir, f"{stem}{ext}"), body)
        if extra:
            self.change(subdir, f"{stem}{ext}", **extra)
        return f"{stem}{ext}"

    def subdir(self, name: str) -> None:
        """A subdir that is there, with or without packages."""
        self._records.setdefault(name, {})

    def record(self, subdir: str, filename: str) -> Record:
        """A file's record as it is listed."""
        return dict(self._records[subdir][filename])

    def records(self, subdir: str) -> dict[str, Record]:
        """All records of a subdir."""
        return {name: dict(record) for name, record in self._records.get(subdir, {}).items()}

    def change(self, subdir: str, filename: str, **values: Any) -> None:
        """Change what the index says about a file (None takes a key out); the file stays."""
        record = {**self._records[subdir][filename], **values}
        kept = {key: value for key, value in sorted(record.items()) if value is not None}
        self._records[subdir][filename] = kept

    def unlist(self, subdir: str, filename: str) -> None:
        """Take a file out of the index, at the next `publish`; the file stays fetchable."""
        del self._records[subdir][filename]

    def drop(self, subdir: str, filename: str) -> None:
        """Take a file out of the index and off the server."""
        self.unlist(subdir, filename)
        self.remove(self.path(subdir, filename))

    def publish(
        self,
        *,
        forms: Iterable[str] = FORMS,
        indented: bool = False,
        base_url: str | None = None,
        removed: Sequence[str] = (),
        extra: Record | None = None,
    ) -> None:
        """Write the index of every subdir, in these forms and no others.

        `extra`: further keys at the top level of each index.
        """
        wanted = set(forms)
        self._publications += 1
        moment = BUILT / 1000 + 60.0 * self._publications
        for subdir in self._records:
            text = self.index(
                subdir, indented=indented, base_url=base_url, removed=removed, extra=extra
            )
            body = text.encode()
            stem = self.path(subdir, "repodata.json")
            made = {
                "": body if "json" in wanted else None,
                ".zst": zstandard.compress(body, 1) if "zst" in wanted else None,
                ".bz2": bz2.compress(body, 1) if "bz2" in wanted else None,
            }
            for suffix, data in made.items():
                if data is None:
                    self.remove(stem + suffix)
                else:
                    kind = "application/octet-stream" if suffix else "application/json"
                    self.set(stem + suffix, data, content_type=kind, last_modified=moment)

    def index(
        self,
        subdir: str,
        *,
        indented: bool = False,
        base_url: str | None = None,
        removed: Sequence[str] = (),
        extra: Record | None = None,
    ) -> str:
        """The text of a subdir's repodata.json."""
        records = self._records.get(subdir, {})
        info: Record = {"subdir": subdir}
        if base_url is not None:
            info["base_url"] = base_url
        document: Record = {
            "info": info,
            "packages": {n: r for n, r in records.items() if n.endswith(".tar.bz2")},
            "packages.conda": {n: r for n, r in records.items() if n.endswith(".conda")},
            "removed": list(removed),
            "repodata_version": 1 if base_url is None else 2,
            **(extra or {}),
        }
        if indented:
            return json.dumps(document, indent=2)
        return json.dumps(document, separators=(",", ":"))


def _package(stem: str, index: Record, ext: str, *, payload: int) -> bytes:
    """The bytes of a package with one file, the same for the same arguments."""
    path = f"share/{index['name']}/payload.txt"
    content = f"{stem}\n".encode() + b"." * payload
    listed = {
        "_path": path,
        "path_type": "hardlink",
        "sha256": hashlib.sha256(content).hexdigest(),
        "size_in_bytes": len(content),
    }
    about = {"license": index.get("license", ""), "summary": f"{index['name']} for tests"}
    info = {
        "info/about.json": json.dumps(about).encode(),
        "info/files": f"{path}\n".encode(),
        "info/index.json": json.dumps(index, sort_keys=True).encode(),
        "info/paths.json": json.dumps({"paths": [listed], "paths_version": 1}).encode(),
    }
    if ext == ".tar.bz2":
        return bz2.compress(_tar({**info, path: content}), 1)
    if ext != ".conda":
        raise ValueError(f"No package ends in {ext}.")
    return _conda(stem, _tar(info), _tar({path: content}))


def _conda(stem: str, info: bytes, files: bytes) -> bytes:
    """The outer ZIP of a .conda file: nothing in it is compressed twice."""
    parts = {
        "metadata.json": b'{"conda_pkg_format_version": 2}',
        f"pkg-{stem}.tar.zst": zstandard.compress(files, 1),
        f"info-{stem}.tar.zst": zstandard.compress(info, 1),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in parts.items():
            archive.writestr(zipfile.ZipInfo(name, _FIXED_ZIP_TIME), data)
    return buffer.getvalue()


def _tar(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(data), BUILT // 1000
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()
