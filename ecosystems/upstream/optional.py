"""Optional files of an index: they delay a run by seconds at most.

Rule: only the upstream's word that there is none (404, 410) takes such a file away; whatever
else happens, its last good state stays, and a warning says so.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from weakref import WeakSet

from ecosystems.errors import BadIndex
from ecosystems.progress import Stop
from ecosystems.upstream.client import Client, FetchedFile, NotModified
from ecosystems.upstream.errors import NotFound, TooSlow, UpstreamError

PATIENCE = 5.0
"""Seconds that such a file may keep silent, or be too slow."""

# Weak: a client lives for one step, and what is remembered of it ends with it.
_slow: WeakSet[Client] = WeakSet()
"""Clients whose upstream kept silent once: in the same step it is not waited for again."""


def fetch(
    client: Client,
    url: str,
    path: Path,
    *,
    stop: Stop,
    etag: str = "",
    last_modified: str = "",
    cap: int | None = None,
) -> FetchedFile | NotModified:
    """Ask once for such a file, conditionally; raises as `Client.fetch_index` does."""
    if client in _slow:
        raise TooSlow(url, "The server kept silent when it was asked for another such file.")
    try:
        return client.fetch_index(
            url,
            path,
            etag=etag,
            last_modified=last_modified,
            stop=stop,
            cap=cap,
            patience=PATIENCE,
        )
    except TooSlow:
        # The other files of this step would each cost the same wait.
        _slow.add(client)
        raise


def fetch_checked(
    client: Client,
    url: str,
    path: Path,
    *,
    stop: Stop,
    check: Callable[[Path], object],
    cap: int | None = None,
) -> tuple[bool, str]:
    """Whether the file lies at `path` now, and what went wrong; (False, "") where there is none.

    `check` raises BadIndex for a file that cannot be read: that is as good as none now.
    """
    try:
        fetch(client, url, path, stop=stop, cap=cap)
        check(path)
    except NotFound:
        return False, ""
    except (UpstreamError, BadIndex) as error:
        # A part of a file, or one that failed the check, must not be taken for the file.
        path.unlink(missing_ok=True)
        return False, str(error)
    return True, ""
