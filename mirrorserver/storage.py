"""The data folder, as the server needs it: probed at the start, looked at by `/health/ready`.

What the folder's filesystem cannot do is found by doing it, before anything depends on
it. Bytes are renamed from `tmp/` into `blobs/`, linked and synchronized; locks hold rows.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
from pathlib import Path

FOLDERS = ("tmp", "blobs", "locks")


class Unfit(Exception):
    """The data folder cannot be used; the text is for the operator."""


def probe(data: Path) -> None:
    """Do once what the server does all the time; `Unfit` names what the folder cannot do."""
    try:
        for name in FOLDERS:
            _require_folder(data / name)
        _probe_files(data)
        _probe_locks(data / "locks")
    except OSError as error:
        raise Unfit(
            f"The data folder {data} cannot be used: {error.strerror or error} ({_path(error)})."
        ) from error


def problem(data: Path, reserve: int) -> str:
    """Why no file can be stored now, for everybody to read; "" where one can.

    `reserve`: so many bytes stay free, whatever comes.
    """
    try:
        (data / "tmp").mkdir(exist_ok=True)
        path = _write_file(data / "tmp", "health")
        path.unlink()
        free = shutil.disk_usage(data).free
    except OSError as error:
        return f"The data folder cannot be written: {error.strerror or 'unknown error'}."
    if free < reserve:
        return f"The disk has {free:,} bytes free, of which {reserve:,} are kept free."
    return ""


def _require_folder(folder: Path) -> None:
    if folder.is_symlink():
        raise Unfit(
            f"{folder} is a symbolic link. Set DATA to the folder that holds everything, or mount "
            "the disk there."
        )
    folder.mkdir(exist_ok=True)


def _probe_files(data: Path) -> None:
    """A file's way into the store: written, renamed, linked, durable."""
    temp, target = _write_file(data / "tmp", "probe"), data / "blobs" / f"probe-{_random()}"
    link = temp.with_suffix(".link")
    try:
        temp.rename(target)
        link.hardlink_to(target)
        handle = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise Unfit(
                f"{data / 'tmp'} and {data / 'blobs'} are on different filesystems; a file could "
                "not move from one to the other at once."
            ) from error
        raise
    finally:
        for path in (temp, target, link):
            path.unlink(missing_ok=True)


def _write_file(folder: Path, purpose: str) -> Path:
    """A new durable file of one byte."""
    path = folder / f"{purpose}-{_random()}.part"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        os.write(handle, b"\n")
        os.fsync(handle)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)
    return path


def _probe_locks(folder: Path) -> None:
    """A lock that one open file holds is refused to another."""
    path = _write_file(folder, "probe")
    try:
        with path.open() as first, path.open() as second:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            raise Unfit(
                f"Locks in {folder} hold nobody back, as on some network filesystems. The server "
                "needs a filesystem with flock."
            )
    finally:
        path.unlink(missing_ok=True)


def _random() -> str:
    return secrets.token_hex(6)


def _path(error: OSError) -> str:
    return str(error.filename or error.errno)
