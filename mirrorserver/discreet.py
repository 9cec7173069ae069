"""Keeps secrets out of the log, whoever writes the line, and forged hosts short."""

from __future__ import annotations

import logging
import re

_SECRET = re.compile(
    r"(?<![0-9a-fA-F])[0-9a-f]{48}(?![0-9a-fA-F])"
    # Only where a word begins, so that a long line is read once.
    r"|(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}={0,2}\.[A-Za-z0-9_-]{8,}={0,2}\.[A-Za-z0-9_-]*"
)
"""A client's token, and one of a person who signed in: conda puts them into addresses."""


class Discreet(logging.Filter):
    """Stars for tokens; no traceback for a request that names another host."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if _SECRET.search(text):
            record.msg, record.args = _SECRET.sub("***", text), ()
        if record.name == "django.security.DisallowedHost":
            record.exc_info = None
        return True
