"""Keeps secrets out of the log, whoever writes the line, and every entry on one line of its own."""

from __future__ import annotations

import logging
import re

_SECRET = re.compile(
    r"(?<![0-9a-fA-F])[0-9a-f]{48}(?![0-9a-fA-F])"
    # Only where a word begins, so that a long line is read once.
    r"|(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}={0,2}\.[A-Za-z0-9_-]{8,}={0,2}\.[A-Za-z0-9_-]*"
)
"""A client's token, and one of a person who signed in: conda puts them into addresses."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""What begins another line, moves a terminal's cursor or turns the direction of text."""


class Discreet(logging.Filter):
    """Stars for tokens, escapes for control characters; no traceback for a foreign host."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        shown = _CONTROL.sub(_escaped, _SECRET.sub("***", text))
        if shown != text:
            record.msg, record.args = shown, ()
        if record.name == "django.security.DisallowedHost":
            record.exc_info = None
        return True


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
