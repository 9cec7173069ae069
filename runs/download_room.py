"""The room on the disk that a run's downloads need, from an upstream or from a local channel."""

from __future__ import annotations

from channels import disk_space
from channels.disk_space import DiskReservation, FileReservation
from delivery.on_demand import refusals
from mirrors.models import Run
from publishing.download_plan import DownloadItem, DownloadPlan


class DownloadRoom:
    """Reserves what the files of an upstream need, before they come."""

    def __init__(self, run: Run) -> None:
        self._room = DiskReservation(run)

    def expect(self, plan: DownloadPlan) -> None:
        """Reserve room for all of a plan; raises `NoSpace`."""
        self._room.expect(plan.room)
        self._room.settle()

    def add(self, item: DownloadItem) -> None:
        """One more file will come, which no plan has counted."""
        self._room.expect(item.room)

    def parts(self, item: DownloadItem) -> list[FileReservation]:
        """The file and its companions, as the room expects them."""
        whole = FileReservation(self._room, -1 if item.stored else item.size)
        return [whole, *(FileReservation(self._room, file.size) for file in item.companions)]

    def settle(self) -> None:
        """Write what has changed; raises `NoSpace`."""
        self._room.settle()

    def close(self) -> None:
        """Nothing more comes."""
        self._room.close()


class LocalRoom(DownloadRoom):
    """For files of a channel of this server: whoever fetches such a file reserves its room."""

    def expect(self, plan: DownloadPlan) -> None:
        """Look that there is room; nothing is reserved."""
        disk_space.require_space(plan.room)
        refusals.forget_storage_failures()

    def add(self, item: DownloadItem) -> None:
        """Nothing is reserved."""

    def parts(self, item: DownloadItem) -> list[FileReservation]:
        """Parts of unknown size, which reserve nothing."""
        return [FileReservation(self._room, -1) for _ in (item, *item.companions)]


def room_for(run: Run) -> DownloadRoom:
    """The room for a run's downloads, by what its mirror reads."""
    local = run.mirror.upstream.is_local
    return LocalRoom(run) if local else DownloadRoom(run)
