"""Keeps secrets out of the log, whoever writes the line, and every entry on one line of its own."""

from __future__ import annotations

import logging
import re

_TOKEN = re.compile(
    # Lower case and no longer: file hashes have 32, 40 or 64 digits, and stay readable.
    r"(?<![0-9a-fA-F])[0-9a-f]{48}(?![0-9a-fA-F])"
    # Only where a word begins, so that a long line is read once.
    r"|(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}={0,2}\.[A-Za-z0-9_-]{8,}={0,2}\.[A-Za-z0-9_-]*"
)
"""A client's token, and the JSON Web Token of a person who signed in (`eyJ` begins its header).

conda puts them into addresses (`/t/<token>/`), which Django logs.
"""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""What begins another line, moves a terminal's cursor or turns the direction of text."""


class RedactionFilter(logging.Filter):
    """Stars for tokens, escapes for control characters; no traceback for a foreign host."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        shown = _CONTROL.sub(_escaped, _TOKEN.sub("***", text))
        if shown != text:
            record.msg, record.args = shown, ()
        if record.name == "django.security.DisallowedHost":
            # Anybody can send any Host header, as often as they like.
            record.exc_info = None
        return True


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
