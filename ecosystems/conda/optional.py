"""Files beside an index that it can do without: they delay a run by seconds at most.

Rule: only the upstream's word that there is none (404, 410) takes such a file away; whatever
else happens, its last good state stays, and a warning says so.
"""

from __future__ import annotations

import time
from pathlib import Path
from weakref import WeakSet

from ecosystems.base import BadIndex, Stop
from ecosystems.upstream import Client, NotFound, TooSlow, UpstreamError

PATIENCE = 5.0
"""Seconds without a byte."""

_slow: WeakSet[Client] = WeakSet()
"""Clients whose upstream kept silent once: in the same step it is not waited for again."""


def bring(
    client: Client, url: str, path: Path, *, stop: Stop, cap: int | None = None
) -> tuple[bool, str]:
    """Whether the file lies at `path` now, and what went wrong; (False, "") where there is none."""
    if client in _slow:
        return False, "the server kept silent when it was asked for another such file"
    since = time.monotonic()

    def wait() -> None:
        stop()
        if time.monotonic() - since > PATIENCE:
            raise TooSlow(url, f"The server sent nothing in {PATIENCE:.0f} seconds.")

    def progress(_done: int, _total: int) -> None:
        nonlocal since
        since = time.monotonic()

    try:
        client.fetch_index(url, path, stop=wait, progress=progress, cap=cap, once=True)
    except NotFound:
        return False, ""
    except (UpstreamError, BadIndex) as error:
        if isinstance(error, TooSlow):
            _slow.add(client)
        path.unlink(missing_ok=True)
        return False, str(error)
    return True, ""
