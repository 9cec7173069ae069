"""Asks what the saved rules say about a file now.

Rules live above channels, so whoever can judge registers here when it is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from channels.models import Channel


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules say about one file; `message` is a whole sentence for the client."""

    refused: bool
    message: str


Judge = Callable[[Channel, str, str], Verdict | None]

_judges: list[Judge] = []


def register(judge: Judge) -> None:
    """Let `judge(channel, section, filename)` speak; None means that it knows nothing of the file.

    The one registered last is asked.
    """
    _judges[:] = [judge]


def why(channel: Channel, section: str, filename: str) -> Verdict | None:
    """What the rules say now, None where nobody knows the file."""
    return _judges[0](channel, section, filename) if _judges else None
