"""Prepares the folder `DATA`: it exists, is the server's alone, and holds the secret key."""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from pathlib import Path

from mirrorserver.variables import BadEnvironment

OPEN_TO_OTHERS = 0o027
"""What nobody but its owner, and its group for reading, may do with `DATA`: nginx may need to."""
DATABASE_NAME = "mirrorserver.sqlite3"
OWN_NAMES = frozenset(
    {"secret.key", "blobs", "run", "tmp", "logs", "static", "broker", DATABASE_NAME}
)
"""What the server puts there itself: a folder that has one of them is the server's."""


def prepare(folder: Path) -> None:
    """Create the folder where it is missing and close it to others; raises `BadEnvironment`."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(folder, error) from error
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise BadEnvironment("DATA", str(folder), "a folder this user may write to expected")
    _close_to_others(folder)


def file_mask(folder: Path) -> int:
    """The umask for what is written below `folder`: its group may read it only if it lets it in."""
    return 0o027 if folder.stat().st_mode & stat.S_IXGRP else 0o077


def secret_key(file: Path) -> str:
    """The key in `file`, generated at the first call; raises `BadEnvironment`."""
    try:
        # O_CREAT without O_EXCL: web, worker and beat may start together. All open the same file,
        # the first to lock it writes the key, and the others read that one.
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+", encoding="ascii") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX)
            key = opened.read().strip()
            if not key:
                key = secrets.token_urlsafe(48)
                opened.write(key)
                opened.flush()
                # Stored logins are encrypted with it: it must survive a crash that they survive.
                os.fsync(opened.fileno())
            return key
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(file, error) from error


def _close_to_others(folder: Path) -> None:
    """Take a loose folder's rights from others; refuse one that is not the server's to close."""
    status = folder.stat()
    if not stat.S_IMODE(status.st_mode) & OPEN_TO_OTHERS:
        return
    # A sticky folder, as /tmp is one, is shared by design.
    owned = status.st_uid == os.geteuid() and not status.st_mode & stat.S_ISVTX
    names = {entry.name for entry in folder.iterdir()}
    if not owned or (names and not names & OWN_NAMES):
        raise BadEnvironment(
            "DATA",
            str(folder),
            "a folder of the server's own, which other users cannot read, expected; name an empty "
            f"one, or run: chmod go-w,o-rwx {folder}",
        )
    folder.chmod(stat.S_IMODE(status.st_mode) & ~OPEN_TO_OTHERS)


def _unusable(path: Path, error: Exception) -> BadEnvironment:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    expected = f"a folder this user may write to expected ({reason})"
    return BadEnvironment("DATA", str(path), expected)
