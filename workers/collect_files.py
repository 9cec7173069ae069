"""Files that no row knows: what processes that were killed left behind.

The rule: nothing goes that somebody holds or has touched within the grace time.
"""

from __future__ import annotations

import shutil
import time
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from channels import blobs
from channels.lease import is_locked
from channels.models import Blob

TEMPORARY_HOURS = 24
HOUR = 3600
# One an hour: a store may have millions of files, and listing them all takes long.
PARTS = 24


def sweep() -> None:
    """Temporary files and locks, and each hour another part of the store."""
    sweep_temporary()
    sweep_blobs(timezone.now().hour)


def sweep_blobs(part: int) -> None:
    """Delete bytes without a row, in one of the `PARTS` of the store."""
    limit = timezone.now() - timedelta(hours=settings.BLOB_GRACE_HOURS)
    root = Path(settings.DATA) / "blobs"
    for folder in root.glob("*/*") if root.exists() else ():
        if int(folder.parent.name, 16) % PARTS != part:
            continue
        old = [file.name for file in folder.iterdir() if _touched(file) < limit.timestamp()]
        stored = set(Blob.objects.filter(pk__in=old).values_list("pk", flat=True))
        for sha256 in old:
            if sha256 not in stored:
                # It looks at the file's time once more: somebody may bring these bytes just now.
                blobs.delete_bytes(Blob(sha256=sha256, unreferenced_at=limit))


def sweep_temporary() -> None:
    """Delete temporary files and folders, and locks of the dead, untouched for a day."""
    limit = time.time() - TEMPORARY_HOURS * HOUR
    for name in ("tmp", "locks"):
        folder = Path(settings.DATA) / name
        for path in folder.glob("*") if folder.exists() else ():
            # The newest within: a folder's own time does not change as its files grow.
            newest = max(map(_touched, (path, *path.rglob("*"))))
            # A lock is never written to, so its age says nothing while somebody holds it.
            if newest >= limit or (path.is_file() and is_locked(path)):
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _touched(path: Path) -> float:
    """When; now, where it has gone meanwhile."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()
