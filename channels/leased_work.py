"""Work on a claimed row: it beats while the work goes on, and the row says how the work ended.

Runs, previews, publications and rollbacks all work this way, so one broad `except` is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from channels import internal_errors
from channels.errors import Interrupted, WrongState
from channels.lease import Fenced, Heartbeat, Leased
from channels.states import JobState


class Ending(NamedTuple):
    """How the work on a row ended: its final state, the text for people, and the cause."""

    state: JobState
    error: str
    cause: Exception


End = Callable[[Ending], bool]
"""Writes an ending to the row; whether the row was still this process's to end."""


@contextmanager
def working_on(row: Leased, end: End, *, raises: bool = True) -> Iterator[Heartbeat]:
    """Beat for a claimed row during the block, and end the row where the block raises.

    The block itself writes the end of work that succeeds. `raises`: the error goes on to the
    caller, but for `Fenced` where another process has the row: that one does the work.
    """
    with Heartbeat(row) as heartbeat:
        try:
            yield heartbeat
        # Not `BaseException`: where the process itself ends, the dispatcher finds the row.
        except Exception as error:
            still_ours = end(_ending(error, row))
            if raises and (still_ours or not isinstance(error, Fenced)):
                raise


def _ending(error: Exception, row: Leased) -> Ending:
    # Nothing went wrong, so there is nothing that people would have to read.
    if isinstance(error, Fenced | Interrupted):
        return Ending(JobState.STOPPED, "", error)
    if isinstance(error, WrongState):
        return Ending(JobState.STOPPED, str(error), error)
    if isinstance(error, internal_errors.EXPLAINED):
        return Ending(JobState.FAILED, str(error), error)
    work = f"{row._meta.verbose_name} {row.pk}"
    return Ending(JobState.FAILED, internal_errors.report(error, work), error)
