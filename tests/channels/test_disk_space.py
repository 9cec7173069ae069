"""Room on the disk is reserved: bytes that somebody counts on are free for nobody else."""

from __future__ import annotations

import shutil
import threading
from contextlib import suppress
from types import SimpleNamespace

import pytest
from django.conf import LazySettings
from django.db import connection

from channels import disk_space
from channels.disk_space import STEP, DiskReservation, FileReservation
from channels.errors import NoSpace
from channels.lease import Fenced, Heartbeat
from channels.models import Fetch

pytestmark = pytest.mark.django_db(transaction=True)

KEPT = 1000
"""Bytes that stay free."""


class Disk:
    """A disk that has so many bytes free."""

    def __init__(self) -> None:
        self.free = KEPT + 1000

    def write(self, part: FileReservation, done: int, *, total: int, more: int) -> None:
        """`more` bytes of a file come, which make `done` of `total`."""
        self.free -= more
        part.progress(done, total)


@pytest.fixture
def disk(settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> Disk:
    settings.MIN_FREE_BYTES = KEPT
    disk = Disk()
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=disk.free))
    monkeypatch.setattr(disk_space, "WRITE_SECONDS", 0.0)
    return disk


def claimed(key: str) -> Fetch:
    row = Fetch.objects.create(key=key)
    assert row.claim(state="running")
    return row


def reserved(row: Fetch) -> int:
    return Fetch.objects.get(pk=row.pk).reserved


def test_what_one_has_reserved_another_does_not_get(disk: Disk) -> None:
    disk_space.reserve(claimed("first"), 700)
    second = claimed("second")
    with pytest.raises(NoSpace) as refused:
        disk_space.reserve(second, 301)
    assert str(refused.value) == (
        "The disk has no room: this needs 301 bytes beside a reserve of 1,000 that stays free; "
        "the disk has 2,000, of which 700 are reserved for other downloads."
    )
    assert reserved(second) == 0
    disk_space.reserve(second, 300)
    with pytest.raises(NoSpace):
        disk_space.require_space(1)


def test_ones_own_reservation_is_part_of_what_one_needs(disk: Disk) -> None:
    row = claimed("first")
    disk_space.reserve(row, 700)
    disk_space.reserve(row, 1000)
    with pytest.raises(NoSpace):
        disk_space.reserve(row, 1001)
    assert reserved(row) == 1000


def test_whoever_has_no_row_any_more_reserves_nothing(disk: Disk) -> None:
    row = claimed("first")
    Fetch.objects.filter(pk=row.pk).update(fence=row.fence + 1)
    with pytest.raises(Fenced):
        disk_space.reserve(row, 700)
    assert reserved(row) == 0


def test_rows_that_wait_or_whose_owner_died_count_no_longer(disk: Disk) -> None:
    alive, dead, waiting = claimed("alive"), claimed("dead"), claimed("waiting")
    with Heartbeat(alive):
        for row in (alive, dead, waiting):
            Fetch.objects.filter(pk=row.pk).update(reserved=100)
        Fetch.objects.filter(pk=waiting.pk).update(state="pending")
        # A process that dies leaves its lock file, and the kernel unlocks it.
        dead.lock_path.touch()
        disk_space.require_space(900)
        with pytest.raises(NoSpace):
            disk_space.require_space(901)
        assert dead.claim(from_states=("running",), state="running")
        assert dead.reserved == 0


def test_what_is_written_leaves_the_reservation(disk: Disk) -> None:
    row = claimed("first")
    room = DiskReservation(row)
    room.expect(900)
    room.settle()
    with FileReservation(room, 600) as part:
        disk.write(part, 400, total=600, more=400)
        room.settle()
        assert reserved(row) == 500
        disk_space.require_space(100)
        with pytest.raises(NoSpace):
            disk_space.require_space(101)
        disk.write(part, 600, total=600, more=200)
    room.settle()
    assert reserved(row) == 300
    disk_space.require_space(100)
    room.close()
    assert reserved(row) == 0
    disk_space.require_space(400)


def test_a_file_that_fails_needs_nothing_any_more(disk: Disk) -> None:
    row = claimed("first")
    room = DiskReservation(row)
    room.expect(900)
    room.settle()
    with suppress(ConnectionError), FileReservation(room, 600) as part:
        disk.write(part, 400, total=600, more=400)
        disk.free += 400
        raise ConnectionError
    room.settle()
    assert reserved(row) == 300


def test_a_file_that_is_begun_anew_asks_for_its_room_again(disk: Disk) -> None:
    row = claimed("first")
    room = DiskReservation(row)
    room.expect(1000)
    room.settle()
    part = FileReservation(room, 1000)
    disk.write(part, 900, total=1000, more=900)
    room.settle()
    # What was here is thrown away, and another takes the room before this one sees it.
    disk.write(part, 100, total=1000, more=-800)
    disk_space.reserve(claimed("second"), 500)
    with pytest.raises(NoSpace, match=r"needs 900 bytes.*500 are reserved for other"):
        room.settle()


def test_a_size_that_the_index_does_not_state_is_reserved_when_the_answer_states_it(
    disk: Disk,
) -> None:
    row = claimed("first")
    room = DiskReservation(row)
    part = FileReservation(room, -1)
    room.settle()
    assert reserved(row) == 0
    disk.write(part, 100, total=800, more=100)
    room.settle()
    assert reserved(row) == 700
    with pytest.raises(NoSpace):
        disk_space.require_space(201)
    other = FileReservation(room, -1)
    disk.write(other, 1, total=202, more=1)
    with pytest.raises(NoSpace):
        room.settle()


def test_a_size_that_nobody_states_is_reserved_step_by_step(disk: Disk) -> None:
    disk.free = KEPT + STEP + 100
    row = claimed("first")
    room = DiskReservation(row)
    part = FileReservation(room, -1)
    disk.write(part, 10, total=-1, more=10)
    room.settle()
    assert reserved(row) == STEP - 10
    disk.write(part, STEP, total=-1, more=STEP - 10)
    with pytest.raises(NoSpace):
        room.settle()


def test_nothing_comes_any_more_once_less_is_free_than_stays_so(disk: Disk) -> None:
    row = claimed("first")
    room = DiskReservation(row)
    room.expect(100)
    room.settle()
    disk.free = KEPT - 1
    with pytest.raises(NoSpace, match="the disk has 999"):
        room.settle()


def test_of_many_who_ask_at_once_only_those_get_room_for_whom_there_is(disk: Disk) -> None:
    rows = [claimed(str(number)) for number in range(8)]
    together = threading.Barrier(len(rows))

    def ask(row: Fetch) -> None:
        together.wait(60)
        try:
            disk_space.reserve(row, 300)
        except NoSpace:
            pass
        finally:
            connection.close()

    threads = [threading.Thread(target=ask, args=(row,)) for row in rows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(reserved(row) for row in rows) == [0] * 5 + [300] * 3
