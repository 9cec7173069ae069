"""Small files that go with others, a wheel's metadata, and that cannot be had: none is offered.

Rule: the file that they go with stays listed, without a word of them, until a run has them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable

from channels import blobs
from channels.models import UnavailableFile
from ecosystems import registry
from ecosystems.records import Record
from ecosystems.upstream import Digest, UpstreamError

BATCH = 500

Key = tuple[int, str, str]
"""The id of the origin, the name of the file that it goes with, and its own SHA-256."""


def key(origin_id: int, record: Record) -> Key | None:
    """Of what goes with this file; None for nothing."""
    return (origin_id, record.filename, record.companions[0].sha256) if record.companions else None


def known(origins: Collection[int], names: Collection[str]) -> set[Key]:
    """Those of these packages that are withheld."""
    rows = UnavailableFile.objects.filter(file_source__in=origins, name__in=names)
    return set(rows.values_list("file_source_id", "filename", "sha256"))


def note(rows: Iterable[UnavailableFile]) -> None:
    """Remember what cannot be had, and why."""
    UnavailableFile.objects.bulk_create(
        rows,
        batch_size=BATCH,
        update_conflicts=True,
        unique_fields=["file_source", "filename"],
        update_fields=["section", "name", "sha256", "message", "tried"],
    )


def out_of(whole: str, filename: str, sha256: str, *, family: str, purpose: str) -> Digest | None:
    """A small file out of the one that it goes with, whose SHA-256 is `whole`: no request.

    None where that is not here, or does not tell. Raises `UpstreamError` where it holds another
    than the index states: clients would be told one thing and install another.
    """
    path = blobs.path(whole) if whole else None
    if path is None or not path.exists():
        return None
    data = registry.of_family(family).extract_companion(path, filename)
    if data is None:
        return None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise UpstreamError(filename, f"{filename} is not what its own file holds.", permanent=True)
    temp = blobs.temporary(purpose)
    try:
        temp.write_bytes(data)
        size = blobs.settle(temp, sha256, len(data))
    finally:
        temp.unlink(missing_ok=True)
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return Digest(sha256=sha256, md5=md5, size=size)
