"""Companions: small files that belong to others (a wheel's metadata, PEP 658).

Rule: where a companion cannot be had, its file stays listed without a word of it, until a run
has it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from functools import lru_cache

from channels import blobs
from channels.batches import BATCH_ROWS
from channels.models import UnavailableFile
from ecosystems import registry
from ecosystems.base import Ecosystem
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
        # A later try that fails replaces the reason of the earlier one.
        update_conflicts=True,
        unique_fields=["file_source", "filename"],
        update_fields=["section", "name", "sha256", "message", "tried"],
    )


def extract_own(
    sha256: str, filename: str, companions: Collection[object], *, family: str, purpose: str
) -> list[Digest]:
    """Store the companion that a stored file holds, where its index lists none (`companions`)."""
    name = registry.of_family(family).companion_name(filename)
    if companions or not name:
        return []
    data = registry.of_family(family).extract_companion(blobs.path(sha256), name)
    return [] if data is None else [_store(data, hashlib.sha256(data).hexdigest(), purpose)]


def own_digests(
    records: Iterable[Record], ecosystem: Ecosystem, audience: blobs.Audience
) -> dict[str, str]:
    """Of those files whose index lists no companion: the SHA-256 of theirs, where it is stored.

    By the SHA-256 of the file itself.
    """
    digests = {
        record.sha256: digest
        for record in records
        if not record.companions and (name := ecosystem.companion_name(record.filename))
        if (digest := _own_digest(ecosystem.family, record.sha256, name))
    }
    # Only what is stored can be served: a digest alone would promise clients a file.
    stored = blobs.available(digests.values(), audience)
    return {sha256: digest for sha256, digest in digests.items() if digest in stored}


@lru_cache(maxsize=65536)
def _own_digest(family: str, sha256: str, name: str) -> str:
    """Cached, because equal hashes are equal files."""
    data = registry.of_family(family).extract_companion(blobs.path(sha256), name)
    return "" if data is None else hashlib.sha256(data).hexdigest()


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
    return _store(data, sha256, purpose)


def _store(data: bytes, sha256: str, purpose: str) -> Digest:
    temp = blobs.temporary_path(purpose)
    try:
        temp.write_bytes(data)
        size = blobs.commit(temp, sha256, len(data))
    finally:
        temp.unlink(missing_ok=True)
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return Digest(sha256=sha256, md5=md5, size=size)
