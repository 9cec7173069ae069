"""The credentials in a request's headers, read alike for the API and for packages' clients.

RFC 9110 11.6.2 says what `Authorization` holds, RFC 7617 what its scheme `Basic` does.
"""

from __future__ import annotations

import base64
import binascii

TOKEN_PASSWORD = "x-auth-token"
"""What pip and R users write as the password when the user name is a token."""

BASIC = "basic"
TOKEN_SCHEMES = ("bearer", "token")
"""`token` is how the vendor's clients write it."""


def authorization(header: str) -> tuple[str, str]:
    """The scheme in small letters, and what follows it; two empty texts without the header."""
    scheme, _, text = header.partition(" ")
    return scheme.lower(), text.strip()


def basic_pair(text: str) -> tuple[str, str] | None:
    """User name and password of `Basic` credentials; None where they cannot be read."""
    try:
        pair = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    # No name and no password has a NUL, and PostgreSQL does not take one in a query.
    if "\x00" in pair:
        return None
    username, _, password = pair.partition(":")
    return username, password
