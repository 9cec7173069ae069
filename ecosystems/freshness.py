"""How new an index is: the newest time that any of its records tells, in milliseconds."""

from __future__ import annotations

from collections.abc import Callable

from ecosystems.pack import Pack, PackWriter
from ecosystems.progress import Stop

STOP_EVERY = 1000


def newest_unchanged(
    old: Pack | None,
    writer: PackWriter,
    newest: int,
    *,
    read: Callable[[bytes], int],
    stop: Stop,
) -> int:
    """The newest time among the shards that are as they were; `newest`: of all others.

    They are read only where what changed is older than all there was: the newest may have gone,
    and then the index's time falls, which the guard must see.
    """
    previous_newest = old.meta.get("newest", 0) if old is not None else 0
    if old is None or not isinstance(previous_newest, int) or newest >= previous_newest:
        return 0
    newest_time = 0
    for number, (name, entry) in enumerate(writer.names().items()):
        if number % STOP_EVERY == 0:
            stop()
        before = old.names().get(name)
        if before is not None and before.digest == entry.digest:
            newest_time = max(newest_time, read(old.read(name)))
            # It cannot rise above what the whole index had.
            if newest_time >= previous_newest:
                break
    return newest_time
