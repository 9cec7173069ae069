"""Operations of the vendor's API that this server does not have: 405, with a sentence.

Not 404: the vendor's client reads that as "sign in again".
"""

from __future__ import annotations

import re

from django.http import HttpRequest
from ninja import Router

from accounts.errors import ApiError

router = Router()

NOTHING_HERE = "There is nothing at this address."
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_CHANNEL = r"channels/[^/]+(/subchannels/[^/]+|/[^/]+)?"

UNSUPPORTED = (
    (rf"POST {_CHANNEL}/artifacts", "This server does not take uploads."),
    (
        rf"PUT {_CHANNEL}/artifacts/bulk",
        "This server does not copy, move or delete packages in bulk.",
    ),
    (
        r"\w+ system/settings",
        "This server is configured with environment variables; see docs/configuration.md.",
    ),
    (r"\w+ system/blob_cleanup", "This server cleans up automatically."),
    (r"\w+ diagnose/.*", "This server does not diagnose blobs."),
    (r"\w+ reports/.*", "This server does not make reports yet."),
    (r"GET auth/authorize", "Single sign-on is not configured; use POST /api/auth/login."),
    (
        r"POST namespaces/.*/sharing",
        "Channels cannot be shared with single users; use roles and privacy.",
    ),
    (rf"\w+ {_CHANNEL}/groups(/.*)?", "This server has no groups yet."),
    (
        rf"\w+ {_CHANNEL}/artifacts/[^/]+/[^/]+/(readme|dependencies)",
        "This server does not read package contents yet.",
    ),
    (r"\w+ (account/)?groups(/.*)?", "This server has no groups yet."),
    (
        r"\w+ policies(/.*)?",
        "This server has no policies; use the filters of mirrors and channels.",
    ),
)


def explain(method: str, path: str) -> str | None:
    """Why this server does not have an operation; None for one that the vendor has neither."""
    operation = f"{method} {path.strip('/')}"
    for pattern, sentence in UNSUPPORTED:
        # The whole address: a pattern must not answer for what is below it.
        if re.fullmatch(pattern, operation):
            return sentence
    return None


# Without authentication: a 401 would have clients sign in for what is not there afterwards.
@router.api_operation(METHODS, "/{path:path}", auth=None, include_in_schema=False)
def unsupported(request: HttpRequest, path: str) -> None:
    """Every address that no other operation has."""
    sentence = explain(request.method or "GET", path)
    if sentence:
        raise ApiError(405, sentence)
    raise ApiError(404, NOTHING_HERE)
