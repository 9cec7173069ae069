"""What two headers of answers mean, however servers write them."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote


def encoded(location: str) -> str:
    """A `Location` as an address: servers leave spaces, quotes and raw UTF-8 in it.

    The header's bytes were read as Latin-1, so that encoding gives them back.
    """
    return quote(location.strip().encode("latin-1"), safe="%/?#[]@!$&'()*+,;=:~")


def retry_after(text: str) -> float | None:
    """Seconds that a Retry-After header asks for; None where it makes no sense."""
    text = text.strip()
    digits = text.removeprefix("-")
    if digits.isascii() and digits.isdigit():
        return max(0.0, float(text))
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    # RFC 9110, 5.6.7: HTTP dates are in GMT.
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
