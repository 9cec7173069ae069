"""The inputs of a channel's content, as saved now: mirrors, snapshots, rules."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from channels import access, blobs
from channels.filter_forms import By, kept_rules
from channels.models import Channel
from ecosystems import registry
from ecosystems.base import NAMES, Ecosystem
from ecosystems.memo import Sized
from ecosystems.pack import Layered, Pack
from filters.rules import Rules, compared, compile_rules, lenient
from filters.rules.form import LICENSE_LISTS
from mirrors.models import Accepted, Mirror, Page, Snapshot
from publishing.outcomes import Case, Source
from publishing.published import Earlier


@dataclass(frozen=True, slots=True)
class Input:
    """One mirror of a channel: its compiled rules and its accepted snapshots by section."""

    mirror: Mirror
    ecosystem: Ecosystem
    rules: Rules
    snapshots: dict[str, Snapshot]

    @property
    def identity(self) -> dict[str, Any]:
        """What its part of the content depends on, as `Revision.inputs` keeps it."""
        return {
            "rules": self.rules.digest,
            "active": self.mirror.active,
            "sections": {section: snap.pk for section, snap in sorted(self.snapshots.items())},
            "extras": {section: extras for section, extras in self.extras() if extras},
        }

    def extras(self) -> list[tuple[str, dict[str, str]]]:
        """What goes with the index of each section; "" is what lies beside the sections."""
        found = [(section, snap.extras) for section, snap in sorted(self.snapshots.items())]
        return [("", self.mirror.upstream.extras), *found]


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that decides what a channel lists."""

    channel: Channel
    channel_rules: dict[str, tuple[Rules, ...]]
    """By artifact family: each reads the specs in its own way."""
    mirrors: tuple[Input, ...]

    def identity(self) -> dict[str, Any]:
        """Equal identities (and equal present files) mean equal content."""
        return {
            "channel": [
                rules.digest
                for ecosystem in self.ecosystems()
                for rules in self.channel_rules[ecosystem.family]
            ],
            "mirrors": {str(one.mirror.pk): one.identity for one in self.mirrors},
        }

    def ecosystems(self) -> list[Ecosystem]:
        """The types that occur, each once."""
        return list({one.ecosystem.kind: one.ecosystem for one in self.mirrors}.values())

    def sections(self, ecosystem: Ecosystem) -> list[str]:
        """The sections of one type that any mirror has a snapshot of."""
        found = {
            section
            for one in self.mirrors
            if one.ecosystem.kind == ecosystem.kind
            for section in one.snapshots
        }
        return sorted(found)

    def case(
        self, ecosystem: Ecosystem, section: str, *, names: Collection[str] | None = None
    ) -> Case:
        """What is to be judged in one section.

        `names`: the packages that will be asked for, None = any.
        """
        sources = tuple(
            Source(
                mirror_id=one.mirror.pk,
                mirror_name=one.mirror.name,
                active=one.mirror.active,
                rules=one.rules,
                pack=records(one.snapshots[section], names),
                origin_id=one.snapshots[section].origin_id,
                incomplete=one.mirror.active and one.mirror.incomplete,
            )
            for one in self.mirrors
            if one.ecosystem.kind == ecosystem.kind and section in one.snapshots
        )
        return Case(
            ecosystem,
            section,
            sources,
            self.channel_rules[ecosystem.family],
            Earlier(self.channel.pk, self.channel.current, ecosystem, section),
            access.audience(self.channel),
        )


def gather(channel: Channel) -> Inputs:
    """The channel's inputs as they are saved now."""
    mirrors = Mirror.objects.filter(channel=channel, deleted=None).order_by("pk")
    mirrors = mirrors.select_related("upstream", "filter")
    snapshots: dict[int, dict[str, Snapshot]] = {}
    accepted = Accepted.objects.filter(mirror__channel=channel, mirror__deleted=None)
    for row in accepted.select_related("snapshot"):
        snapshots.setdefault(row.mirror_id, {})[row.section] = row.snapshot
    return Inputs(
        channel=channel,
        channel_rules=channel_rules(channel),
        mirrors=tuple(
            one_input(mirror, mirror.filter.terms, snapshots.get(mirror.pk, {}))
            for mirror in mirrors
        ),
    )


def one_input(mirror: Mirror, terms: Mapping[str, Any], snapshots: dict[str, Snapshot]) -> Input:
    """A mirror judged by `terms`; sections that the terms do not ask for fall away."""
    ecosystem = registry.get(mirror.kind)
    asked = set(ecosystem.sections(terms.get("subdirs") or []))
    return Input(
        mirror=mirror,
        ecosystem=ecosystem,
        rules=mirror_rules(mirror.kind, terms),
        snapshots={key: value for key, value in snapshots.items() if key in asked},
    )


def as_begun(inputs: Inputs, mirror_id: int, terms: Mapping[str, Any]) -> Inputs:
    """The inputs with one mirror judged by the terms its run began with."""
    return Inputs(
        inputs.channel,
        inputs.channel_rules,
        tuple(
            one_input(one.mirror, terms, one.snapshots) if one.mirror.pk == mirror_id else one
            for one in inputs.mirrors
        ),
    )


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


RULES_MEMORY = 128 * 1024 * 1024
RULE_BYTES = 1700
"""What an entry of a filter weighs once it is compiled."""
PACKS_MEMORY = 192 * 1024 * 1024
NAME_BYTES = 300
"""What a name in an opened pack weighs."""

_rules: Sized[Rules] = Sized(RULES_MEMORY)
_packs: Sized[Pack] = Sized(PACKS_MEMORY)


def _compiled(terms: _Terms, kind: str, by: By) -> Rules:
    """Kept, because every client that asks for a refused file is told the rule."""
    entries = sum(len(value) for value in terms.terms.values() if isinstance(value, list))

    def made() -> Rules:
        if (rules := kept_rules(terms.terms, by, kind)) is not None:
            return rules
        spec = registry.get(kind).spec
        return compile_rules(terms.terms, spec=lenient(spec) if by == "channel" else spec, by=by)

    return _rules.get((terms.key, kind, by), made, lambda _: RULE_BYTES * (10 + entries))


def narrowed(channel: Channel, kind: str, terms: Mapping[str, Any], *, active: bool) -> Ecosystem:
    """The ecosystem, fetching no more than a mirror with these terms can use."""
    ecosystem = registry.get(kind)
    every = [row.terms for row in channel.filters]
    # What excludes and includes specs decides later; reading long lists takes time.
    mine, _ = compared(terms, every)
    licenses = any(one.get(key) for one in (terms, *every) for key in LICENSE_LISTS)
    return ecosystem.narrowed(mirror_rules(kind, mine).only.specs, active=active, licenses=licenses)


def on_demand(snapshot: Snapshot) -> bool:
    """Whether the index lists names whose records are fetched when first asked for."""
    return NAMES in snapshot.extras


def records(snapshot: Snapshot, names: Collection[str] | None) -> Pack | Layered:
    """The snapshot's records, with those that were asked for since."""
    opened = pack(snapshot.pack_id)
    if not on_demand(snapshot):
        return opened
    rows = Page.objects.filter(
        upstream=snapshot.upstream_id, section=snapshot.section, created__gt=snapshot.created
    )
    if names is not None:
        rows = rows.filter(name__in=names)
    later = {row.name: (bytes(row.body), row.count) for row in rows}
    return Layered(opened, later) if later else opened


def pack(sha256: str) -> Pack:
    """A snapshot's pack, opened once per process."""
    path = blobs.path(sha256)
    return _packs.get(path, lambda: Pack(path), lambda pack: NAME_BYTES * len(pack.names()))
