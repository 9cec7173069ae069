"""Tell the workers that a row waits. A lost knock loses nothing: the rows are found anyway.

`tasks` hangs the real bells here when it is imported, so that nothing in the
domain knows Celery.
"""

from __future__ import annotations

from collections.abc import Callable


def _nobody(_pk: int) -> None:
    """Before a bell is hung the dispatcher alone finds the rows."""


run: Callable[[int], None] = _nobody
channel: Callable[[int], None] = _nobody
preview: Callable[[int], None] = _nobody
