"""One parser for each kind of environment variable, with the sentence for a bad value.

A parser takes the variable's name and its text, None where the variable is absent or empty, and
returns the value or raises `BadEnvironment`.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
import zoneinfo
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

from ecosystems.upstream.authorities import add_authorities
from ecosystems.upstream.egress import AllowPattern

T = TypeVar("T")
Parser = Callable[[str, str | None], T]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MIN_SECRET_KEY_LENGTH = 32
MIN_PASSWORD_LENGTH = 12
"""As for every other user, see AUTH_PASSWORD_VALIDATORS."""

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_RATE = re.compile(r"[1-9][0-9]{0,8}/[1-9][0-9]{0,8}")
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


class BadEnvironment(Exception):
    """A variable that cannot be used; its text is for the operator."""

    def __init__(self, name: str, value: str, expected: str) -> None:
        super().__init__(f"{name}={value!r} cannot be used: {expected}.")
        self.name = name


def flag(name: str, text: str | None) -> bool:
    """`1` or `0`, and the usual other words for them."""
    value = (text or "0").lower()
    if value not in _TRUE | _FALSE:
        raise BadEnvironment(name, value, "1 or 0 expected")
    return value in _TRUE


def choice(default: str, *others: str) -> Parser[str]:
    """One of a few words, whatever their case."""
    words = (default, *others)

    def parse(name: str, text: str | None) -> str:
        value = default if text is None else text.lower()
        if value not in words:
            raise BadEnvironment(name, text or "", f"{' or '.join(words)} expected")
        return value

    return parse


def integer(default: int, *, low: int, high: int) -> Parser[int]:
    """A whole number from `low` to `high`."""

    def parse(name: str, text: str | None) -> int:
        if text is None:
            return default
        # Nine digits: int() refuses thousands of them with an error of its own.
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise BadEnvironment(name, text, f"a whole number from {low} to {high} expected")
        return int(text)

    return parse


def number(default: float) -> Parser[float]:
    """A number above 0, with or without a fraction."""

    def parse(name: str, text: str | None) -> float:
        if text is None:
            return float(default)
        # Not float() alone, which takes "nan" and "inf".
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) or float(text) <= 0:
            raise BadEnvironment(name, text, "a number above 0 expected")
        return float(text)

    return parse


def rate(default: str) -> Parser[str]:
    """`60/60` (requests and seconds); "" where the operator wants no limit."""

    def parse(name: str, text: str | None) -> str:
        value = (text or default).lower()
        if value == "off":
            return ""
        if not _RATE.fullmatch(value):
            expected = "a rate like 60/60 (so many requests in so many seconds), or off, expected"
            raise BadEnvironment(name, value, expected)
        return value

    return parse


def password(name: str, text: str | None) -> str | None:
    """A password that is long enough."""
    if text is not None and len(text) < MIN_PASSWORD_LENGTH:
        raise BadEnvironment(name, "***", f"at least {MIN_PASSWORD_LENGTH} characters expected")
    return text


def secret_key(name: str, text: str | None) -> str | None:
    """A key that is long enough."""
    if text is not None and len(text) < MIN_SECRET_KEY_LENGTH:
        expected = f"at least {MIN_SECRET_KEY_LENGTH} characters nobody can guess expected"
        raise BadEnvironment(name, "***", expected)
    return text


def listen_host(name: str, text: str | None) -> str:
    """An IP address or a host name; only this machine's own by default."""
    value = text or "127.0.0.1"
    if not _HOST_NAME.fullmatch(value) and not _is_ip_address(value):
        raise BadEnvironment(name, value, "an IP address or a host name expected")
    return value


def url(*schemes: str) -> Parser[str | None]:
    """An address with one of these schemes; it may carry a login."""

    def parse(name: str, text: str | None) -> str | None:
        if text is None:
            return None
        try:
            parts = urlsplit(text)
            valid = parts.scheme in schemes and bool(parts.hostname or parts.scheme == "unix")
            # `port` raises ValueError for a number above 65535.
            valid = valid and parts.port != 0
        except ValueError:
            valid = False
        if not valid:
            expected = f"an address like {schemes[0]}://host[:port] expected"
            raise BadEnvironment(name, _without_login(text), expected)
        return text

    return parse


def feed_url(name: str, text: str | None) -> str | None:
    """An address to fetch from; without a login, as administrators see it."""
    value = url("https", "http")(name, text)
    if value is not None and "@" in urlsplit(value).netloc:
        expected = "an address without a login expected"
        raise BadEnvironment(name, _without_login(value), expected)
    return value


def origin_url(name: str, text: str | None) -> str | None:
    """An address of scheme, host and port alone."""
    value = url("http", "https")(name, text)
    if value is None:
        return None
    parts = urlsplit(value)
    if parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise BadEnvironment(name, value, "scheme://host[:port] without more expected")
    return value.rstrip("/")


def database(name: str, text: str | None) -> dict[str, object] | None:
    """An address of a database, as an entry of Django's DATABASES."""
    if text is None:
        return None
    shown = _without_login(text)
    expected = "postgres://user:password@host:port/name or sqlite:////path/to/file expected"
    # django-environ understands many more databases than this server works with.
    if text.partition("://")[0] not in ("postgres", "postgresql", "sqlite"):
        raise BadEnvironment(name, shown, expected)
    try:
        config: dict[str, object] = environ.Env.db_url_config(text)
    except (ValueError, ImproperlyConfigured) as error:
        raise BadEnvironment(name, shown, expected) from error
    if not config["NAME"]:
        raise BadEnvironment(name, shown, expected)
    return config


def allow_patterns(default: tuple[str, ...]) -> Parser[tuple[str, ...]]:
    """The patterns of an allow-list, separated by commas."""

    def parse(name: str, text: str | None) -> tuple[str, ...]:
        if text is None:
            return default
        patterns = tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())
        for pattern in patterns:
            try:
                AllowPattern.parse(pattern)
            except ValueError as error:
                # Its text names the pattern before the colon, as ours does.
                expected = str(error).partition(": ")[2].rstrip(".")
                raise BadEnvironment(name, pattern, expected) from error
        return patterns

    return parse


def networks(name: str, text: str | None) -> tuple[Network, ...]:
    """IP addresses and networks, separated by commas."""
    parts = [part.strip() for part in (text or "").split(",") if part.strip()]
    return tuple(_network(name, part) for part in parts)


def certificates(name: str, text: str | None) -> str | None:
    """The path of a file (or folder) of certificate authorities that OpenSSL can read."""
    if text is not None:
        try:
            add_authorities(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), text)
        except OSError as error:
            expected = f"a file of certificates in PEM format expected ({error})"
            raise BadEnvironment(name, text, expected) from error
    return text


def time_zone(name: str, text: str | None) -> str:
    """A name of the tz database."""
    value = text or "UTC"
    try:
        zoneinfo.ZoneInfo(value)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError) as error:
        expected = "a time zone like Europe/Berlin or UTC expected"
        raise BadEnvironment(name, value, expected) from error
    return value


def folder(_name: str, text: str | None) -> Path | None:
    """An absolute path, which need not exist."""
    return Path(text).expanduser().absolute() if text else None


def _network(name: str, text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        expected = "addresses or networks like 10.0.0.0/8 separated by commas expected"
        raise BadEnvironment(name, text, expected) from error


def _without_login(address: str) -> str:
    """Such addresses may carry a password, and the text of an error ends up in logs."""
    return re.sub(r"//[^/]*@", "//***@", address)


def _is_ip_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
