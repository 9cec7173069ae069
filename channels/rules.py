"""The rules of channels and mirrors: their saved filters, compiled once per process."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from channels.filter_forms import By, cached_rules
from channels.models import Channel
from ecosystems import registry
from ecosystems.base import Ecosystem
from ecosystems.indexes import FetchLimits
from ecosystems.memo import Sized
from filters.rules import Rules, compared, compile_rules, lenient
from filters.rules.form import LICENSE_LISTS

RULES_MEMORY = 128 * 1024 * 1024
RULE_BYTES = 1700
"""What an entry of a filter weighs once it is compiled."""

_rules: Sized[Rules] = Sized(RULES_MEMORY)


def channel_rules(channel: Channel) -> dict[str, tuple[Rules, ...]]:
    """The channel's rules, then its parent's, as each artifact family reads them."""
    return {
        ecosystem.family: _family_rules(channel, ecosystem.kind)
        for ecosystem in map(registry.get, registry.kinds())
    }


def _family_rules(channel: Channel, kind: str) -> tuple[Rules, ...]:
    return tuple(_compiled(_Terms.of(row.terms), kind, "channel") for row in channel.filters)


def mirror_rules(kind: str, terms: Mapping[str, Any]) -> Rules:
    """A mirror's rules as its type reads them."""
    return _compiled(_Terms.of(terms), kind, "mirror")


@dataclass(frozen=True, slots=True)
class _Terms:
    """Terms known by their hash."""

    key: str
    terms: Mapping[str, Any] = field(compare=False)

    @classmethod
    def of(cls, terms: Mapping[str, Any]) -> _Terms:
        return cls(hashlib.sha256(msgspec.json.encode(terms)).hexdigest(), terms)


def _compiled(terms: _Terms, kind: str, by: By) -> Rules:
    """Kept, because every client that asks for a refused file is told the rule."""
    entries = sum(len(value) for value in terms.terms.values() if isinstance(value, list))

    def made() -> Rules:
        if (rules := cached_rules(terms.terms, by, kind)) is not None:
            return rules
        spec = registry.get(kind).parse_spec
        return compile_rules(terms.terms, spec=lenient(spec) if by == "channel" else spec, by=by)

    return _rules.get((terms.key, kind, by), made, lambda _: RULE_BYTES * (10 + entries))


def limited_ecosystem(
    channel: Channel, kind: str, terms: Mapping[str, Any], *, active: bool
) -> Ecosystem:
    """The ecosystem, fetching no more than a mirror with these terms can use."""
    ecosystem = registry.get(kind)
    every = [row.terms for row in channel.filters]
    # What excludes and includes specs decides later; reading long lists takes time.
    mine, _ = compared(terms, every)
    licenses = any(form.get(key) for form in (terms, *every) for key in LICENSE_LISTS)
    only = mirror_rules(kind, mine).only.specs
    return ecosystem.limited_to(FetchLimits(only=only, active=active, licenses=licenses))
