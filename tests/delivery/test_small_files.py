"""Small files are read at once, whole and of their size, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from delivery import small_files
from delivery.responses import Damaged, Entity, send

HANDLES = Path("/proc/self/fd")
GET = {"REQUEST_METHOD": "GET"}


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """On a disk: a file system in memory cannot tell what of a file is in memory."""
    with TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "file"
    found.write_bytes(b"0123456789")
    return found


def entity(path: Path, size: int, *, packed: bool = False) -> Entity:
    return Entity('"e"', size, "text/plain", "max-age=1", False, path, packed=packed)


def test_a_file_of_its_size_is_read_and_another_is_not(file: Path) -> None:
    assert small_files.read(str(file), 10) == b"0123456789"
    assert small_files.read(str(file), 9) is None
    assert small_files.read(str(file), 11) is None


def test_an_empty_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert small_files.read(str(tmp_path / "empty"), 0) == b""


def test_a_part_is_read_only_if_the_file_has_all_of_it(file: Path) -> None:
    assert small_files.read_part(str(file), 2, 3) == b"234"
    assert small_files.read_part(str(file), 8, 3) is None


def test_a_large_file_is_named_and_not_read(tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(small_files.LARGEST))
    reply, _ = send(GET, entity(large, small_files.LARGEST))
    assert (reply.body, reply.path, reply.length) == (b"", large, small_files.LARGEST)
    part, _ = send({**GET, "HTTP_RANGE": "bytes=0-9"}, entity(large, small_files.LARGEST))
    assert (part.status, part.body, part.path) == (206, bytes(10), None)


def test_what_the_system_has_not_in_memory_is_named(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def would_wait(*_: object) -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "preadv", would_wait)
    reply, _ = send(GET, entity(file, 10))
    assert (reply.body, reply.path, reply.length) == (b"", file, 10)


@pytest.mark.parametrize("asked", [{}, {"HTTP_RANGE": "bytes=0-1"}])
@pytest.mark.parametrize("size", [9, 11])
def test_a_file_of_another_size_is_damaged(file: Path, size: int, asked: dict[str, str]) -> None:
    with pytest.raises(Damaged):
        send({**GET, **asked}, entity(file, size))


def test_a_file_that_is_gone_is_said_to_be(file: Path) -> None:
    file.unlink()
    with pytest.raises(FileNotFoundError):
        send(GET, entity(file, 10))


def test_no_handle_stays_open(file: Path) -> None:
    handles = len(list(HANDLES.iterdir()))
    for _ in range(20):
        small_files.read(str(file), 10)
        small_files.read(str(file), 9)
    assert len(list(HANDLES.iterdir())) == handles
