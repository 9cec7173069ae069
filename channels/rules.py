"""The rules of channels and mirrors: their saved filters, compiled once per process."""

from __future__ import annotations

import hashlib

import msgspec

from channels.filter_forms import By, Terms, cached_rules
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
    return tuple(_compiled(row.terms, kind, "channel") for row in channel.filters)


def mirror_rules(kind: str, terms: Terms) -> Rules:
    """A mirror's rules as its type reads them."""
    return _compiled(terms, kind, "mirror")


def _compiled(terms: Terms, kind: str, by: By) -> Rules:
    """Kept, because every client that asks for a refused file is told the rule."""
    # By what the terms say and not by the row's id, so that an edit has nothing to clear.
    key = hashlib.sha256(msgspec.json.encode(terms)).hexdigest(), kind, by
    entries = sum(len(value) for value in terms.values() if isinstance(value, list))

    def compile_terms() -> Rules:
        if (rules := cached_rules(terms, by, kind)) is not None:
            return rules
        spec = registry.get(kind).parse_spec
        # A mirror's specs have been checked as its type's, a channel's may be another type's.
        return compile_rules(terms, spec=lenient(spec) if by == "channel" else spec, by=by)

    return _rules.get(key, compile_terms, lambda _: RULE_BYTES * (10 + entries))


def limited_ecosystem(channel: Channel, kind: str, terms: Terms, *, active: bool) -> Ecosystem:
    """The ecosystem, fetching no more than a mirror with these terms can use."""
    ecosystem = registry.get(kind)
    of_channel = [row.terms for row in channel.filters]
    # What excludes and includes specs decides later; reading long lists takes time.
    decisive, _ = compared(terms, of_channel)
    licenses = any(form.get(key) for form in (terms, *of_channel) for key in LICENSE_LISTS)
    only = mirror_rules(kind, decisive).only.specs
    return ecosystem.limited_to(FetchLimits(only=only, active=active, licenses=licenses))
