"""Companions: small files that belong to others (a wheel's metadata, PEP 658).

Rule: where a companion cannot be had, its file stays listed without a word of it, until a run
has it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable

from channels import blobs
from channels.batches import BATCH_ROWS
from channels.models import UnavailableFile
from ecosystems import registry
from ecosystems.records import Record
from ecosystems.upstream import Digest, UpstreamError

Key = tuple[int, str, str]
"""The id of the file source, the name of the file it belongs to, and its own SHA-256."""


def key(file_source_id: int, record: Record) -> Key | None:
    """The key of a file's companion; None where it has none."""
    if not record.companions:
        return None
    return file_source_id, record.filename, record.companions[0].sha256


def unavailable(file_source_ids: Collection[int], names: Collection[str]) -> set[Key]:
    """The companions of these packages that could not be had."""
    rows = UnavailableFile.objects.filter(file_source__in=file_source_ids, name__in=names)
    return set(rows.values_list("file_source_id", "filename", "sha256"))


def record_unavailable(rows: Iterable[UnavailableFile]) -> None:
    """Store which companions could not be had, and why."""
    UnavailableFile.objects.bulk_create(
        rows,
        batch_size=BATCH_ROWS,
        update_conflicts=True,
        unique_fields=["file_source", "filename"],
        update_fields=["section", "name", "sha256", "message", "tried"],
    )


def extract(
    main_sha256: str, filename: str, sha256: str, *, family: str, purpose: str
) -> Digest | None:
    """Store a companion out of the file it belongs to, without a request to the upstream.

    None where that file is not stored, or does not hold it. Raises `UpstreamError` where it holds
    another than the index states: clients would be told one thing and install another.
    """
    path = blobs.path(main_sha256) if main_sha256 else None
    if path is None or not path.exists():
        return None
    data = registry.of_family(family).extract_companion(path, filename)
    if data is None:
        return None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise UpstreamError(filename, f"{filename} is not what its own file holds.", permanent=True)
    temp = blobs.temporary_path(purpose)
    try:
        temp.write_bytes(data)
        size = blobs.commit(temp, sha256, len(data))
    finally:
        temp.unlink(missing_ok=True)
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return Digest(sha256=sha256, md5=md5, size=size)
