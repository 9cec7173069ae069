"""Asks for a package that is listed by its name only, when a client wants it.

Upstreams are known above channels, so whoever can fetch registers here when it is loaded.
"""

from __future__ import annotations

from collections.abc import Callable

from channels.models import Channel

Bring = Callable[[Channel, str, str, int], bool]

_bringers: list[Bring] = []


def register(bring: Bring) -> None:
    """Let `bring(channel, section, name, revision)` have the package's row in that revision.

    It says whether there is a row now that was not there, or raises `content.Missing` with why
    not. The one registered last is asked.
    """
    _bringers[:] = [bring]


def bring(channel: Channel, section: str, name: str, revision: int) -> bool:
    """Whether the package is in the revision now and was not before."""
    return bool(_bringers) and _bringers[0](channel, section, name, revision)
