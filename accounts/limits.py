"""How often somebody may do something: counters that all processes of the server share.

A counter belongs to a name, a key (an account, an address) and a window of time. It lives in the
cache: Redis, or the table of `accounts.cache` without it. A hit is counted before the work it
stands for, so that parallel requests cannot pass together.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import re
import time
from dataclasses import dataclass

from django.core.cache import cache

PATTERN = re.compile(r"([1-9][0-9]{0,8})/([1-9][0-9]{0,8})")
"""How a rate is written in settings and variables: `5/60` = five in sixty seconds."""

REMEMBERED = 10_000
_refused: dict[str, float] = {}
"""Counters that are over, as far as this process knows. Their names end with their window."""


@dataclass(frozen=True)
class Rate:
    """At most `amount` in `seconds`."""

    amount: int
    seconds: int

    @classmethod
    def parse(cls, text: str) -> Rate:
        """The rate of `5/60`; ValueError for other texts."""
        match = PATTERN.fullmatch(text.strip())
        if match is None:
            raise ValueError(text)
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.amount}/{self.seconds}"


class TooMany(Exception):
    """A limit is reached; the text is a sentence for the person, `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after


@dataclass(frozen=True)
class Hit:
    """One counted hit: the state of its counter, and the way to take it back."""

    cache_key: str
    rate: Rate
    number: int

    @property
    def over(self) -> bool:
        """Whether it is one more than the rate allows."""
        return self.number > self.rate.amount

    @property
    def first_over(self) -> bool:
        """Whether it is the very first one too many in this window."""
        return self.number == self.rate.amount + 1

    @property
    def retry_after(self) -> int:
        """The seconds until the window is over."""
        return _left(self.cache_key, self.rate)

    def take_back(self) -> None:
        """Count this hit no longer."""
        try:
            cache.incr(self.cache_key, -1)
        except ValueError:
            return  # The window is over and its counter gone.


def hit(name: str, key: str, rate: Rate) -> Hit:
    """Count one hit of `key`; the caller looks at `over`.

    The window begins with its first hit and ends when the counter expires.
    """
    cache_key = _key(name, key, rate)
    for _ in range(2):
        if cache.add(cache_key, 0, timeout=rate.seconds):
            cache.set(_ends(cache_key), int(time.time()) + rate.seconds, timeout=rate.seconds)
        try:
            return Hit(cache_key, rate, cache.incr(cache_key))
        except ValueError:
            continue  # It expired between the two calls.
    return Hit(cache_key, rate, 1)


def need(name: str, key: str, rate: Rate, message: str) -> Hit:
    """Count one hit of `key`, or raise `TooMany` with this message."""
    found = hit(name, key, rate)
    if found.over:
        raise TooMany(message, found.retry_after)
    return found


def need_setting(name: str, key: str, setting: str, message: str) -> None:
    """Count one hit against a rate as settings have it, "" for none; `{}` in `message` is the rate.

    Who is over it is refused from this process's memory until the window ends: a flood of
    refused requests costs no further look.
    """
    if not setting:
        return
    rate = Rate.parse(setting)
    cache_key = _key(name, key, rate)
    words = message.format(f"{rate.amount:,} in {rate.seconds:,} seconds")
    until = _refused.get(cache_key, 0.0) - time.monotonic()
    if until > 0:
        raise TooMany(words, math.ceil(until))
    found = hit(name, key, rate)
    if found.over:
        if len(_refused) >= REMEMBERED:
            _refused.clear()
        left = found.retry_after
        _refused[cache_key] = time.monotonic() + left
        raise TooMany(words, left)


def reached(name: str, key: str, rate: Rate) -> int:
    """The seconds until `key` may go on; 0 while the rate allows it. Counts nothing."""
    cache_key = _key(name, key, rate)
    number: int = cache.get(cache_key, 0)
    return _left(cache_key, rate) if number >= rate.amount else 0


def network(address: str) -> str:
    """The address as limits count it: of IPv6 its /64, as that is what one subscriber has."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


def _key(name: str, key: str, rate: Rate) -> str:
    digest = hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()[:32]
    return f"limit:{name}:{rate.seconds}:{digest}"


def _ends(cache_key: str) -> str:
    return f"{cache_key}:ends"


def _left(cache_key: str, rate: Rate) -> int:
    ends: int | None = cache.get(_ends(cache_key))
    left = rate.seconds if ends is None else ends - int(time.time())
    return min(max(left, 1), rate.seconds)
