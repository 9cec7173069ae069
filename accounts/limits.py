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

MAX_REMEMBERED = 10_000
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
        return _seconds_left(self.cache_key, self.rate)

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
    # The counter may expire between `add` and `incr`, but hardly twice within a moment.
    for _ in range(2):
        if cache.add(cache_key, 0, timeout=rate.seconds):
            # `add` tells one process that it opened the window, so the end is written once.
            cache.set(_end_key(cache_key), int(time.time()) + rate.seconds, timeout=rate.seconds)
        try:
            return Hit(cache_key, rate, cache.incr(cache_key))
        except ValueError:
            continue
    # A cache that loses keys at once must not lock everybody out.
    return Hit(cache_key, rate, 1)


def hit_or_raise(name: str, key: str, rate: Rate, message: str) -> Hit:
    """Count one hit of `key`, or raise `TooMany` with this message."""
    counted = hit(name, key, rate)
    if counted.over:
        raise TooMany(message, counted.retry_after)
    return counted


def hit_setting_or_raise(name: str, key: str, setting: str, message: str) -> None:
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
    counted = hit(name, key, rate)
    if counted.over:
        # Bounded, because a stranger chooses the keys. Forgetting costs a look at the cache each.
        if len(_refused) >= MAX_REMEMBERED:
            _refused.clear()
        left = counted.retry_after
        _refused[cache_key] = time.monotonic() + left
        raise TooMany(words, left)


def network(address: str) -> str:
    """The address as limits count it: of IPv6 its /64, as that is what one subscriber has."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        # A socket that takes both families shows IPv4 clients like this (RFC 4291 2.5.5.2).
        if ip.ipv4_mapped:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)


def _key(name: str, key: str, rate: Rate) -> str:
    # Hashed: a user name may be long and hold any character; the cache's table takes keys of 255.
    digest = hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()[:32]
    return f"limit:{name}:{rate.seconds}:{digest}"


def _end_key(cache_key: str) -> str:
    return f"{cache_key}:ends"


def _seconds_left(cache_key: str, rate: Rate) -> int:
    ends: int | None = cache.get(_end_key(cache_key))
    # None: the window ended meanwhile. Bounded, because setting the clock moves the end.
    left = rate.seconds if ends is None else ends - int(time.time())
    return min(max(left, 1), rate.seconds)
