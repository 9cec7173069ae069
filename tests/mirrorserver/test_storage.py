"""Row S08: what a data folder must be able to do is tried at the start."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mirrorserver import storage
from mirrorserver.storage import FOLDERS, Unfit
from tests import machine
from tests.mirrorserver.server import PROJECT


def left(data: Path) -> list[Path]:
    return [path for path in data.rglob("*") if not path.is_dir()]


def test_S08_a_folder_that_can_do_everything_is_used_and_left_clean(data: Path) -> None:
    for _ in range(2):
        storage.probe(data)
        assert {path.name for path in data.iterdir()} == set(FOLDERS)
        assert left(data) == []


@pytest.mark.parametrize("name", FOLDERS)
def test_S08_a_planted_link_is_refused_and_not_followed(
    data: Path, tmp_path: Path, name: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (data / name).symlink_to(outside)
    with pytest.raises(Unfit, match=f"{name} is a symbolic link"):
        storage.probe(data)
    assert list(outside.iterdir()) == []


def test_S08_a_temporary_folder_on_another_filesystem_is_refused(tmp_path: Path) -> None:
    machine.program("mount")
    folder = tmp_path / "tmp"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True)
    if mounted.returncode:
        machine.lacks(f"a disk cannot be mounted: {mounted.stderr.decode().strip()}")
    try:
        with pytest.raises(Unfit, match="are on different filesystems"):
            storage.probe(tmp_path)
        assert left(tmp_path) == []
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def failing(number: int) -> Callable[..., Any]:
    def fails(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return fails


@pytest.mark.parametrize(
    ("target", "replacement", "words"),
    [
        # A filesystem that grants every lock to everybody, and one that grants none.
        ("fcntl.flock", lambda *_: None, "hold nobody back"),
        ("fcntl.flock", failing(errno.ENOLCK), "No locks available"),
        ("os.fsync", failing(errno.EIO), "Input/output error"),
        ("os.link", failing(errno.EPERM), "Operation not permitted"),
        ("os.write", failing(errno.ENOSPC), "No space left on device"),
    ],
)
def test_S08_what_the_filesystem_cannot_do_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, replacement: Any, words: str
) -> None:
    module, name = target.split(".")
    with monkeypatch.context() as patch:
        patch.setattr({"fcntl": fcntl, "os": os}[module], name, replacement)
        with pytest.raises(Unfit, match=words):
            storage.probe(tmp_path)
    assert left(tmp_path) == []


def test_S08_the_start_ends_with_the_sentence(data: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (data / "blobs").symlink_to(outside)
    done = subprocess.run(
        [sys.executable, "manage.py", "serve", "--only", "worker"],
        cwd=PROJECT,
        env={**os.environ, "DATA": str(data), "DATABASE_URL": "", "REDIS_URL": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert "blobs is a symbolic link" in done.stderr
    assert "Traceback" not in done.stderr
