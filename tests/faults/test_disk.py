"""Family S: a disk that fails or lies, and links that lead elsewhere."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from channels import blobs
from channels.models import Blob, Refusal
from ecosystems.upstream import transfer
from tests import invariants, scene
from tests.faults.clients import get
from tests.sources import FILES, Source

pytestmark = pytest.mark.django_db(transaction=True)

ERRORS = (errno.EIO, errno.EROFS, errno.EMFILE, errno.EACCES)


def left(data: Path) -> list[Path]:
    """What lies in the folder of temporary files."""
    return [path for path in (data / "tmp").rglob("*") if path.is_file()]


@pytest.mark.parametrize("number", ERRORS, ids=errno.errorcode.get)
def test_S03_a_disk_that_fails_ends_the_run_and_changes_nothing(
    source: Source, data: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    mirror = source.mirror(scene.channel(), mirror_mode="active")
    asked: list[str] = []

    def refuses(temp: Path, sha256: str, size: int = -1) -> int:
        asked.append(sha256)
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr("runs.file_fetcher.blobs.commit", refuses)
        failed = scene.run_now(mirror)
    assert failed.state == "failed"
    assert os.strerror(number) in failed.error
    assert len(asked) == len(set(asked)), "no file is tried again on a disk that fails"
    assert not Blob.objects.filter(file=True).exists()
    assert left(data) == []
    invariants.check(mirror.channel)
    done = scene.run_now(mirror)
    assert (done.state, done.counts["active"]) == ("completed", FILES)
    invariants.check(mirror.channel)


class Liar:
    """A file that says it wrote everything and keeps the first bytes only."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        if self._file.tell() < 7:
            self._file.write(data[:7])
        return len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def lie(patch: pytest.MonkeyPatch) -> None:
    """Whatever is downloaded is written to a disk that lies."""
    honest = transfer.Sink.__init__
    patch.setattr(
        transfer.Sink, "__init__", lambda self, file, *more: honest(self, Liar(file), *more)
    )


def test_S06_bytes_that_the_disk_did_not_keep_get_no_name(data: Path) -> None:
    temp = blobs.temporary_path("test")
    temp.write_bytes(b"kept")
    digest = hashlib.sha256(b"kept and lost").hexdigest()
    with pytest.raises(OSError, match="the disk kept 4 of 13 bytes"):
        blobs.store(temp, digest, size=13)
    assert not blobs.path(digest).exists()
    assert not Blob.objects.exists()


def test_S06_a_client_gets_no_file_that_the_disk_keeps_in_part(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = source.mirror(scene.channel())
    scene.run_now(mirror)
    with monkeypatch.context() as patch:
        lie(patch)
        assert get(source)[0] >= 500
    assert not Blob.objects.filter(file=True).exists()
    Refusal.objects.all().delete()
    assert get(source) == (200, source.bytes())
    invariants.check(mirror.channel, fetch=True)


def test_S08_a_link_in_place_of_a_temporary_file_is_not_followed(data: Path) -> None:
    outside = data.parent / "outside"
    outside.write_bytes(b"not ours")
    digest = hashlib.sha256(b"not ours").hexdigest()
    temp = blobs.temporary_path("test")
    temp.symlink_to(outside)
    with pytest.raises(OSError, match="symbolic links"):
        blobs.store(temp, digest)
    assert not blobs.path(digest).exists()
    assert outside.read_bytes() == b"not ours"


def test_S08_a_link_in_place_of_a_stored_file_is_replaced_by_the_file(data: Path) -> None:
    outside = data.parent / "outside"
    outside.write_bytes(b"same size")
    digest = hashlib.sha256(b"true size").hexdigest()
    target = blobs.path(digest)
    target.parent.mkdir(parents=True)
    target.symlink_to(outside)
    assert not blobs.touch(digest)
    scene.stored(b"true size")
    assert not target.is_symlink()
    assert target.read_bytes() == b"true size"
    assert outside.read_bytes() == b"same size"
    invariants.stored()
