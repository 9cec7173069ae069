"""Bytes by SHA-256 on the local disk.

Order of a write: room reserved (`channels.disk_space`), temporary file on the same filesystem,
bytes, fsync, rename, fsync of the folder, and only then the row. What is killed in between
leaves a file under `tmp/` or bytes without a row, never a row without bytes.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from django.conf import settings
from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet

from channels.models import Blob, Channel, Provenance

BATCH = 500


@dataclass(frozen=True, slots=True)
class Audience:
    """Whom bytes are for: a channel, and how open it is (as `Blob.openness`)."""

    channel_id: int
    openness: int

    @property
    def needed(self) -> int:
        """How open bytes must be to serve it without a `Provenance`."""
        return max(1, self.openness)

    @property
    def public(self) -> bool:
        return self.openness == Channel.Privacy.PUBLIC.openness


def servable(audience: Audience) -> QuerySet[Blob]:
    """The files whose bytes the audience may have: to know their hash is not enough."""
    mine = Provenance.objects.filter(blob=OuterRef("pk"), channel=audience.channel_id)
    rows = Blob.objects.filter(file=True, deleting=False)
    return rows.filter(Q(openness__gte=audience.needed) | Exists(mine))


def path(sha256: str) -> Path:
    """Where the bytes with this hash lie."""
    return Path(settings.DATA) / "blobs" / sha256[:2] / sha256[2:4] / sha256


def temporary(purpose: str) -> Path:
    """A path for a new file that may become a blob; `purpose` only helps people who look."""
    folder = Path(settings.DATA) / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{purpose}-{secrets.token_hex(6)}.part"


def settle(temp: Path, sha256: str, size: int = -1) -> int:
    """Make a written temporary file durable under its hash; its size.

    `size`: how many bytes were hashed (-1: the file itself was). A disk that keeps fewer than it
    said would leave a bad file under a good name. The row is the caller's next step: `register`.
    """
    handle = os.open(temp, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        kept = os.fstat(handle).st_size
        if size not in (-1, kept):
            raise OSError(errno.EIO, f"the disk kept {kept:,} of {size:,} bytes")
        size = kept
        if found(sha256, size):
            temp.unlink()
            return size
        os.fsync(handle)
    finally:
        os.close(handle)
    target = path(sha256)
    _make_folder(target.parent)
    temp.rename(target)
    _sync_folder(target.parent)
    return size


def found(sha256: str, size: int = -1) -> bool:
    """Whether the bytes lie here already, of this size (-1: any), row or not.

    Whoever has asked may register them: the touch keeps clean-up from taking them meanwhile.
    """
    target = path(sha256)
    try:
        os.utime(target, follow_symlinks=False)
        there = target.lstat()
        # A link was planted: what is behind it is not ours to give. The rename replaces it.
        if not stat.S_ISREG(there.st_mode) or size not in (-1, there.st_size):
            return False
        # Whoever put them here may have died before the name was durable.
        _sync_folder(target.parent)
    except FileNotFoundError:
        return False
    return True


def discard(blob: Blob) -> bool:
    """Delete the bytes of a blob that nothing needs; False if somebody has just found them."""
    target = path(blob.sha256)
    aside = temporary("going")
    since = blob.unreferenced_at.timestamp() if blob.unreferenced_at else 0.0
    try:
        if target.stat().st_mtime >= since:
            return False
        target.rename(aside)
    except FileNotFoundError:
        return True
    if aside.stat().st_mtime >= since:
        aside.rename(target)
        return False
    aside.unlink()
    return True


def register(blobs: Sequence[Blob], audiences: Iterable[Audience] = ()) -> None:
    """Insert the rows of settled files; what was on its way out is kept again.

    `audiences`: the channels whose own source brought these bytes, or proved to have them.
    """
    # In one order, so that two who register the same files do not block each other.
    blobs = sorted(blobs, key=lambda blob: blob.sha256)
    Blob.objects.bulk_create(blobs, batch_size=BATCH, ignore_conflicts=True)
    names = [blob.sha256 for blob in blobs]
    going = Blob.objects.filter(Q(unreferenced_at__isnull=False) | Q(deleting=True))
    for start in range(0, len(names), BATCH):
        going.filter(sha256__in=names[start : start + BATCH]).update(
            unreferenced_at=None, deleting=False
        )
    for audience in dict.fromkeys(audiences):
        _open(names, audience)


def _open(names: Sequence[str], audience: Audience) -> None:
    """Let the audience have these bytes from now on."""
    for start in range(0, len(names), BATCH):
        some = names[start : start + BATCH]
        rows = Blob.objects.filter(sha256__in=some, openness__lt=audience.openness)
        rows.update(openness=audience.openness)
        if not audience.public:
            Provenance.objects.bulk_create(
                [Provenance(blob_id=name, channel_id=audience.channel_id) for name in some],
                ignore_conflicts=True,
            )


def keep(
    temp: Path,
    sha256: str,
    *,
    md5: str = "",
    file: bool = False,
    audiences: Iterable[Audience] = (),
    size: int = -1,
) -> Blob:
    """Settle one file and write its row."""
    size = settle(temp, sha256, size)
    blob = Blob(sha256=sha256, md5=md5, size=size, file=file)
    register([blob], audiences)
    return blob


def stored(digests: Iterable[str]) -> set[str]:
    """Which of these SHA-256 lie here, whoever may have them."""
    rows = Blob.objects.filter(sha256__in=list(digests), deleting=False)
    return set(rows.values_list("sha256", flat=True))


def present(digests: Iterable[str], audience: Audience) -> dict[str, int]:
    """Which of these SHA-256 (or MD5, where an index has no better) the audience may have now.

    Each with its size.
    """
    found: dict[str, int] = {}
    wanted = [digest for digest in digests if digest]
    # A passive mirror asks for every file it lists, and at first none is here.
    if not wanted or not Blob.objects.filter(file=True).exists():
        return found
    for field, length in (("sha256", 64), ("md5", 32)):
        known = [digest for digest in wanted if len(digest) == length]
        for start in range(0, len(known), BATCH):
            found.update(_stored(field, known[start : start + BATCH], audience))
    return found


def _stored(field: str, digests: list[str], audience: Audience) -> Iterator[tuple[str, int]]:
    """Plain SQL: the ORM's way of passing values costs more than the look-up itself."""
    places = ",".join(["%s"] * len(digests))
    table = connection.ops.quote_name(Blob._meta.db_table)
    origin = connection.ops.quote_name(Provenance._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {field}, size FROM {table} WHERE {field} IN ({places})"
            " AND file = %s AND deleting = %s AND (openness >= %s OR EXISTS"
            f" (SELECT 1 FROM {origin} WHERE blob_id = sha256 AND channel_id = %s))",
            [*digests, True, False, audience.needed, audience.channel_id],
        )
        yield from cursor.fetchall()


def _make_folder(folder: Path) -> None:
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        new.mkdir(exist_ok=True)
        _sync_folder(new.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder on the blobs' filesystem that goes with the block."""
    folder = Path(settings.DATA) / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix="fetch-") as name:
        yield Path(name)
