"""How long work is stopped and watched: the two callbacks it is given."""

from __future__ import annotations

from collections.abc import Callable

Stop = Callable[[], None]
"""Called between chunks; raises to end the work."""

Progress = Callable[[float, float], None]
"""Called with what is done and the total; a total that is not above 0 is unknown.

What is done falls back to 0 where a download starts over.
"""

ByteProgress = Callable[[int, int], None]
"""A `Progress` in bytes; a total of -1 is unknown."""


def never_stop() -> None:
    """A `Stop` that never stops."""


def no_progress(_done: float, _total: float) -> None:
    """A `Progress` that nobody watches."""
