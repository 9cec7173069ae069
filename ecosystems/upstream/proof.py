"""Asks an upstream to prove that it has a file whose bytes are here, without a download.

Rule: a part at a random place is asked for, because whoever knows a hash only cannot answer that;
a size, an ETag or the beginning of the file could be known or guessed.
"""

from __future__ import annotations

import hmac
import re
import secrets
from pathlib import Path

from ecosystems.base import Stop
from ecosystems.upstream.courier import Answer, Courier

PART = 64 * 1024
"""So many bytes are asked for; smaller files as a whole."""
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


def proves(courier: Courier, url: str, path: Path, *, stop: Stop) -> bool:
    """Whether the upstream at `url` sends the same part as the file at `path` has."""
    size = path.stat().st_size
    length = min(size, PART)
    if not length:
        return False
    first = secrets.randbelow(size - length + 1)
    headers = {"Range": f"bytes={first}-{first + length - 1}"}
    with courier.ask(url, headers, stop=stop) as answer:
        if answer.encoding or not _is_part(answer, first, length, size):
            return False
        received = _read(answer, length, stop)
    with path.open("rb") as file:
        file.seek(first)
        return hmac.compare_digest(received, file.read(length))


def _is_part(answer: Answer, first: int, length: int, size: int) -> bool:
    """Whether the answer is the part asked for; a small file may come as a whole."""
    if answer.status == 200:
        return length == size == answer.length
    match = _RANGE.fullmatch(answer.headers.get("Content-Range", "").strip())
    if answer.status != 206 or match is None:
        return False
    return tuple(map(int, match.groups())) == (first, first + length - 1, size)


def _read(answer: Answer, length: int, stop: Stop) -> bytes:
    """The body, and one byte more where there is one, so that a longer one differs."""
    received = bytearray()
    while len(received) <= length and (chunk := answer.read(length + 1 - len(received))):
        stop()
        received += chunk
    return bytes(received)
