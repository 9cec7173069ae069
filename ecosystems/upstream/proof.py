"""Asks an upstream to prove that it has a file that is stored here, without a download.

Rule: a part at a random place is asked for, because whoever knows a hash only cannot answer that;
a size, an ETag or the beginning of the file could be known or guessed.
"""

from __future__ import annotations

import hmac
import re
import secrets
from pathlib import Path

from ecosystems.progress import Stop
from ecosystems.upstream.response import Response
from ecosystems.upstream.session import Session

PART = 64 * 1024
"""So many bytes are asked for; smaller files as a whole."""
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


def proves(session: Session, url: str, path: Path, *, stop: Stop) -> bool:
    """Whether the upstream at `url` sends the same part as the file at `path` has."""
    size = path.stat().st_size
    length = min(size, PART)
    if not length:
        return False
    first = secrets.randbelow(size - length + 1)
    headers = {"Range": f"bytes={first}-{first + length - 1}"}
    with session.get(url, headers, stop=stop) as response:
        if response.encoding or not _is_part(response, first, length, size):
            return False
        received = _read(response, length, stop)
    with path.open("rb") as file:
        file.seek(first)
        # In constant time: how much of a guess was right must not show.
        return hmac.compare_digest(received, file.read(length))


def _is_part(response: Response, first: int, length: int, size: int) -> bool:
    """Whether the response is the requested part; a small file may come as a whole."""
    if response.status == 200:
        return length == size == response.length
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    # The total has to be right too: a longer file may begin with the same bytes.
    if response.status != 206 or match is None:
        return False
    return tuple(map(int, match.groups())) == (first, first + length - 1, size)


def _read(response: Response, length: int, stop: Stop) -> bytes:
    """The body, and one byte more where there is one, so that a longer one differs."""
    received = bytearray()
    while len(received) <= length and (chunk := response.read(length + 1 - len(received))):
        stop()
        received += chunk
    return bytes(received)
