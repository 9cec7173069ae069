"""How the files of a file source are fetched and verified."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache, partial
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urljoin

from django.conf import settings

from channels import connection_slots, retry_after
from channels.listed_from import ListedFrom, entry_of
from channels.models import Channel, FileSource
from channels.pins import HashedFile
from channels.secrets import unseal
from ecosystems import registry
from ecosystems.progress import ByteProgress, Stop
from ecosystems.upstream import (
    Client,
    ClientSettings,
    Credential,
    Digest,
    EgressPolicy,
    Limits,
    NotFound,
    Slots,
    UpstreamError,
)


@lru_cache(maxsize=8)
def _policy(allow: tuple[str, ...]) -> EgressPolicy:
    return EgressPolicy(allow)


def egress_policy() -> EgressPolicy:
    """The egress policy of this server."""
    return _policy(tuple(settings.UPSTREAM_ALLOW))


def client_for(
    credential: bytes | memoryview,
    proxy: bytes | memoryview,
    *,
    limits: Limits | None = None,
    slots: Slots = connection_slots.BACKGROUND,
) -> Client:
    """An HTTP client with these sealed secrets, under the egress policy.

    `slots`: `connection_slots.AWAITED` where somebody waits for the answer.
    """
    secret = unseal(credential)
    return Client(
        egress_policy(),
        ClientSettings(
            credential=Credential.load(secret) if secret else None,
            proxy=unseal(proxy) or None,
            limits=limits or settings.UPSTREAM_LIMITS,
            ca_files=settings.CA_FILES,
            backoff=retry_after.SHARED,
            slots=slots,
        ),
    )


def client_of(source: FileSource, *, slots: Slots = connection_slots.BACKGROUND) -> Client:
    """The client that fetches this source's files."""
    return client_for(source.credential, source.proxy, slots=slots)


def file_url(source: FileSource, filename: str, address: str = "") -> str:
    """The URL of one of the source's files; `address` is what its record says of it, if it does."""
    base = f"{source.base_url.rstrip('/')}/"
    return urljoin(base, address) if address else f"{base}{quote(filename)}"


SLACK = 16 * 1024 * 1024
"""Bytes by which a file may exceed twice its size where that is only a hint."""


class ListedFile(HashedFile, Protocol):
    """What an index says of a file; empty texts and -1 for what it does not say."""

    @property
    def size(self) -> int: ...
    @property
    def address(self) -> str: ...


def download(
    client: Client,
    source: FileSource,
    to: Path,
    *,
    section: str,
    file: ListedFile,
    stop: Stop,
    progress: ByteProgress | None = None,
    patience: float | None = None,
) -> Digest:
    """Download a file of the source to `to` and verify it, wherever the upstream has it by now.

    `patience`: as in `Client.download`.
    """
    ecosystem = registry.of_section(section)
    # A size that is only a hint bounds the download; the hash alone says whether it is right.
    hint = ecosystem.sizes_apart and bool(file.sha256 or file.md5 or file.checksum)
    download_from = partial(
        client.download,
        to=to,
        size=-1 if hint else file.size,
        most=2 * file.size + SLACK if hint and file.size >= 0 else None,
        sha256=file.sha256,
        md5=file.md5,
        checksum=file.checksum,
        stop=stop,
        progress=progress,
        patience=patience,
    )
    try:
        return download_from(file_url(source, file.filename, file.address))
    except NotFound:
        # CRAN moves a version to its archive when the next one comes, while it is listed here.
        moved = ecosystem.archive_address(section, file.filename)
        if not moved or moved == file.address:
            raise
        return download_from(file_url(source, file.filename, moved))


def has_same_bytes(
    client: Client, source: FileSource, path: Path, *, section: str, file: ListedFile, stop: Stop
) -> bool:
    """Whether the source proves to have the bytes at `path` as this file, by one small request.

    False also where it does not answer: then the file is downloaded, which tells more.
    """
    moved = registry.of_section(section).archive_address(section, file.filename)
    for address in dict.fromkeys((file.address, moved) if moved else (file.address,)):
        try:
            return client.has(file_url(source, file.filename, address), path, stop=stop)
        except NotFound:
            continue
        except UpstreamError:
            return False
    return False


def file_source_id_of(sources: Iterable[ListedFrom], filename: str) -> int | None:
    """The id of the file source that this file of a package row comes from."""
    entry = entry_of(sources, filename)
    return entry.file_source_id if entry else None


def get_or_create(
    base_url: str,
    *,
    credential: bytes = b"",
    proxy: bytes = b"",
    identity: str = "",
    channel: Channel | None = None,
) -> FileSource:
    """The row of this source; `identity` tells sealed secrets apart (they are salted)."""
    text = f"{base_url}\0{identity}\0{channel.pk if channel else ''}"
    key = hashlib.sha256(text.encode()).hexdigest()
    source, _ = FileSource.objects.get_or_create(
        key=key,
        defaults={
            "base_url": base_url,
            "credential": credential,
            "proxy": proxy,
            "channel": channel,
        },
    )
    return source
