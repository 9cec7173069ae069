"""Conditional and partial requests (RFC 9110, 13 and 14), for strong ETags."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import formatdate, parsedate_to_datetime
from typing import Any

UNSATISFIABLE = (-1, -1)
_SINGLE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*")


def http_date(seconds: float) -> str:
    """A moment as headers have it."""
    return formatdate(seconds, usegmt=True)


def unchanged(environ: Mapping[str, Any], etag: str, modified: str) -> bool:
    """Whether the client has it already. If-None-Match decides where it is sent.

    A date counts only when it is exactly ours: after a rollback the older bytes are the new ones.
    """
    tags = environ.get("HTTP_IF_NONE_MATCH")
    if tags is not None:
        return tags == etag or _names(tags, etag)
    since = environ.get("HTTP_IF_MODIFIED_SINCE")
    return since is not None and bool(modified) and _same_date(since, modified)


def parse_range(
    environ: Mapping[str, Any], size: int, *, etag: str, modified: str
) -> tuple[int, int]:
    """First and last byte to send: everything unless one range is asked of these very bytes.

    `UNSATISFIABLE` where the range begins behind the end.
    """
    everything = (0, size - 1)
    header = environ.get("HTTP_RANGE")
    if header is None or not _range_applies(environ, etag, modified):
        return everything
    match = _SINGLE.fullmatch(header)
    # RFC 9110, 14.2: a server may ignore a range. Several in one answer are not worth a multipart.
    if match is None or match[0] == "bytes=-":
        return everything
    first, last = match[1], match[2]
    if not first:
        if not last:
            return everything
        length = int(last)
        return (max(0, size - length), size - 1) if length and size else UNSATISFIABLE
    start = int(first)
    if last and int(last) < start:
        return everything
    if start >= size:
        return UNSATISFIABLE
    return start, min(int(last), size - 1) if last else size - 1


def _names(tags: str, etag: str) -> bool:
    # If-None-Match compares weakly (RFC 9110, 13.1.2), so a proxy that weakened the tag matches.
    listed = [tag.strip().removeprefix("W/") for tag in tags.split(",")]
    return "*" in listed or etag in listed


def _range_applies(environ: Mapping[str, Any], etag: str, modified: str) -> bool:
    # RFC 9110, 13.1.5: a part of other bytes would be joined to what the client has.
    condition = environ.get("HTTP_IF_RANGE")
    if condition is None or condition == etag:
        return True
    return bool(modified) and '"' not in condition and _same_date(condition, modified)


def _same_date(text: str, modified: str) -> bool:
    if text == modified:
        return True
    try:
        return parsedate_to_datetime(text) == parsedate_to_datetime(modified)
    except (ValueError, TypeError):
        return False
