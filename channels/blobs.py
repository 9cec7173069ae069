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

from channels.batches import BATCH_ROWS, batched
from channels.models import Blob, Channel, Provenance


@dataclass(frozen=True, slots=True)
class Audience:
    """Whom bytes are for: a channel, and how open it is (as `Blob.openness`)."""

    channel_id: int
    openness: int

    @property
    def required_openness(self) -> int:
        """How open bytes must be to be served to it without a `Provenance`."""
        # Never 0: what came for one private channel is not for the other private ones.
        return max(1, self.openness)

    @property
    def public(self) -> bool:
        return self.openness == Channel.Privacy.PUBLIC.openness


def readable_by(audience: Audience) -> QuerySet[Blob]:
    """The files whose bytes the audience may have: to know their hash is not enough."""
    proven = Provenance.objects.filter(blob=OuterRef("pk"), channel=audience.channel_id)
    rows = Blob.objects.filter(file=True, deleting=False)
    return rows.filter(Q(openness__gte=audience.required_openness) | Exists(proven))


def path(sha256: str) -> Path:
    """Where the bytes with this hash lie."""
    return Path(settings.DATA) / "blobs" / sha256[:2] / sha256[2:4] / sha256


def temporary_path(purpose: str) -> Path:
    """A path for a new file that may become a blob; `purpose` only helps people who look."""
    # Under DATA as the blobs are: `commit` renames, which works within one filesystem only.
    folder = Path(settings.DATA) / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{purpose}-{secrets.token_hex(6)}.part"


def commit(temp: Path, sha256: str, size: int = -1) -> int:
    """Make a written temporary file durable under its hash; its size.

    `size`: how many bytes were hashed (-1: the file itself was). A disk that keeps fewer than it
    said would leave a bad file under a good name. The row is the caller's next step: `register`.
    """
    handle = os.open(temp, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        size_on_disk = os.fstat(handle).st_size
        if size not in (-1, size_on_disk):
            raise OSError(errno.EIO, f"the disk kept {size_on_disk:,} of {size:,} bytes")
        size = size_on_disk
        if touch(sha256, size):
            temp.unlink()
            return size
        # Before the rename: after a crash no empty or partial file may lie under the hash.
        os.fsync(handle)
    finally:
        os.close(handle)
    target = path(sha256)
    _make_folder(target.parent)
    temp.rename(target)
    # A rename is durable only once its folder is (fsync(2)); the row must not come before it.
    _sync_folder(target.parent)
    return size


def touch(sha256: str, size: int = -1) -> bool:
    """Whether the bytes are stored already, of this size (-1: any), row or not.

    Sets the file's time to now, so that clean-up leaves it until the caller has registered it.
    """
    target = path(sha256)
    try:
        os.utime(target, follow_symlinks=False)
        status = target.lstat()
        # A link was planted: what is behind it is not ours to give. `commit` replaces it.
        if not stat.S_ISREG(status.st_mode) or size not in (-1, status.st_size):
            return False
        # Whoever stored them may have died before the name was durable.
        _sync_folder(target.parent)
    except FileNotFoundError:
        return False
    return True


def delete_bytes(blob: Blob) -> bool:
    """Delete the bytes of an unreferenced blob; False if somebody has touched them since."""
    target = path(blob.sha256)
    aside = temporary_path("deleting")
    since = blob.unreferenced_at.timestamp() if blob.unreferenced_at else 0.0
    try:
        if target.stat().st_mtime >= since:
            return False
        target.rename(aside)
    except FileNotFoundError:
        return True
    # Once more out of everybody's reach: a touch between the look and the rename counts, too.
    if aside.stat().st_mtime >= since:
        aside.rename(target)
        return False
    aside.unlink()
    return True


def register(blobs: Sequence[Blob], audiences: Iterable[Audience] = ()) -> None:
    """Insert the rows of committed files; what was to be deleted stays.

    `audiences`: the channels whose own source brought these bytes, or proved to have them.
    """
    # In one order, so that two who register the same files do not block each other.
    blobs = sorted(blobs, key=lambda blob: blob.sha256)
    # The same bytes come for several mirrors at once; the row that is there already is as good.
    Blob.objects.bulk_create(blobs, batch_size=BATCH_ROWS, ignore_conflicts=True)
    digests = [blob.sha256 for blob in blobs]
    unreferenced = Blob.objects.filter(Q(unreferenced_at__isnull=False) | Q(deleting=True))
    for batch in batched(digests):
        unreferenced.filter(sha256__in=batch).update(unreferenced_at=None, deleting=False)
    for audience in dict.fromkeys(audiences):
        _grant(digests, audience)


def _grant(digests: Sequence[str], audience: Audience) -> None:
    """Let the audience have these bytes from now on."""
    for batch in batched(digests):
        # Only upwards: what once came for a public channel stays public.
        rows = Blob.objects.filter(sha256__in=batch, openness__lt=audience.openness)
        rows.update(openness=audience.openness)
        if not audience.public:
            Provenance.objects.bulk_create(
                [Provenance(blob_id=digest, channel_id=audience.channel_id) for digest in batch],
                ignore_conflicts=True,
            )


def store(
    temp: Path,
    sha256: str,
    *,
    md5: str = "",
    file: bool = False,
    audiences: Iterable[Audience] = (),
    size: int = -1,
) -> Blob:
    """Commit one file and write its row."""
    size = commit(temp, sha256, size)
    blob = Blob(sha256=sha256, md5=md5, size=size, file=file)
    register([blob], audiences)
    return blob


def existing(digests: Iterable[str]) -> set[str]:
    """Which of these SHA-256 are stored, whoever may have them."""
    # Not what is being deleted: its bytes may be gone before the caller uses them.
    rows = Blob.objects.filter(sha256__in=list(digests), deleting=False)
    return set(rows.values_list("sha256", flat=True))


def available(digests: Iterable[str], audience: Audience) -> dict[str, int]:
    """Which of these SHA-256 (or MD5, where an index has no better) the audience may have now.

    Each with its size.
    """
    sizes: dict[str, int] = {}
    asked = [digest for digest in digests if digest]
    # A passive mirror asks for every file it lists, and at first none is stored.
    if not asked or not Blob.objects.filter(file=True).exists():
        return sizes
    # CRAN states an MD5 only; the length of a hash tells its kind.
    for field, length in (("sha256", 64), ("md5", 32)):
        of_kind = [digest for digest in asked if len(digest) == length]
        for batch in batched(of_kind):
            sizes.update(_available(field, batch, audience))
    return sizes


def _available(field: str, digests: list[str], audience: Audience) -> Iterator[tuple[str, int]]:
    """Plain SQL: the ORM's way of passing values costs more than the look-up itself."""
    placeholders = ",".join(["%s"] * len(digests))
    table = connection.ops.quote_name(Blob._meta.db_table)
    provenance = connection.ops.quote_name(Provenance._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {field}, size FROM {table} WHERE {field} IN ({placeholders})"
            " AND file = %s AND deleting = %s AND (openness >= %s OR EXISTS"
            f" (SELECT 1 FROM {provenance} WHERE blob_id = sha256 AND channel_id = %s))",
            [*digests, True, False, audience.required_openness, audience.channel_id],
        )
        yield from cursor.fetchall()


def _make_folder(folder: Path) -> None:
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    # From the top, each made durable in the one above it: a crash leaves no folder out of reach.
    for new in reversed(missing):
        # Another process may make it between the look and this line.
        new.mkdir(exist_ok=True)
        _sync_folder(new.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder on the blobs' filesystem that goes with the block."""
    folder = Path(settings.DATA) / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix="fetch-") as name:
        yield Path(name)
