"""The inputs of a channel's content, as saved now: mirrors, snapshots, rules."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import NotRequired, TypedDict

from advisories import change_log
from channels import access, blobs
from channels.models import Channel
from channels.rules import channel_rules, mirror_rules
from ecosystems import registry
from ecosystems.base import Ecosystem
from ecosystems.indexes import NAMES
from ecosystems.memo import Sized
from ecosystems.pack import Layered, Pack
from filters.rules import Rules
from filters.rules.form import Terms
from mirrors import appearances, replaced_files
from mirrors.models import AcceptedSnapshot, FetchedPackage, Mirror, Snapshot
from mirrors.replaced_files import HeldDigests
from publishing.outcomes import SectionInputs, Source
from publishing.published_records import PublishedSection


class MirrorIdentity(TypedDict):
    """What a mirror's part of a channel's content depends on."""

    rules: str
    """Digest of its compiled filter."""
    active: bool
    sections: dict[str, int]
    """Snapshot ids by section."""
    extras: dict[str, dict[str, str]]
    """SHA-256 of optional index files by section and name; "" is what lies beside the sections."""
    stays: NotRequired[list[str]]
    """Sections whose earlier optional files stay beside the new ones."""


class Identity(TypedDict):
    """What a channel's content depends on, as `Revision.inputs` keeps it.

    Equal identities (and equal present files) mean equal content.
    """

    channel: list[str] | None
    """Digests of the channel's compiled filters; None where nothing has been judged."""
    mirrors: dict[str, MirrorIdentity]
    """By mirror id."""
    advisories: NotRequired[int]
    """The number of the last change of advisories that was judged; see `advisories.change_log`."""


@dataclass(frozen=True, slots=True)
class MirrorInputs:
    """One mirror of a channel: its compiled rules and its accepted snapshots by section."""

    mirror: Mirror
    ecosystem: Ecosystem
    rules: Rules
    snapshots: dict[str, Snapshot]
    held: Mapping[str, HeldDigests] = field(default_factory=dict)
    """Replaced files that wait for a release, by section."""

    @property
    def identity(self) -> MirrorIdentity:
        """What its part of the content depends on."""
        return {
            "rules": self.rules.digest,
            "active": self.mirror.active,
            "sections": {section: snap.pk for section, snap in sorted(self.snapshots.items())},
            "extras": {section: extras for section, extras in self.extras() if extras},
        }

    def extras(self) -> list[tuple[str, dict[str, str]]]:
        """What goes with the index of each section; "" is what lies beside the sections."""
        sections = [(section, snap.extras) for section, snap in sorted(self.snapshots.items())]
        return [("", self.mirror.upstream.extras), *sections]


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that decides what a channel lists."""

    channel: Channel
    channel_rules: dict[str, tuple[Rules, ...]]
    """By artifact family: each reads the specs in its own way."""
    mirrors: tuple[MirrorInputs, ...]
    advisories: int = 0
    """The number of the last change of advisories, read before any of them is."""
    now: int = field(default_factory=appearances.now)
    """The time that ages are counted to, in milliseconds since 1970."""

    def identity(self) -> Identity:
        """What the content depends on."""
        return {
            "channel": [
                rules.digest
                for ecosystem in self.ecosystems()
                for rules in self.channel_rules[ecosystem.family]
            ],
            "mirrors": {str(inputs.mirror.pk): inputs.identity for inputs in self.mirrors},
            "advisories": self.advisories,
        }

    def ecosystems(self) -> list[Ecosystem]:
        """The types that occur, each once."""
        return list({inputs.ecosystem.kind: inputs.ecosystem for inputs in self.mirrors}.values())

    def sections(self, ecosystem: Ecosystem) -> list[str]:
        """The sections of one type that any mirror has a snapshot of."""
        names = {
            section
            for inputs in self.mirrors
            if inputs.ecosystem.kind == ecosystem.kind
            for section in inputs.snapshots
        }
        return sorted(names)

    def section(
        self, ecosystem: Ecosystem, section: str, *, names: Collection[str] | None = None
    ) -> SectionInputs:
        """What is to be judged in one section.

        `names`: the packages that will be asked for, None = any.
        """
        sources = tuple(
            Source(
                mirror_id=inputs.mirror.pk,
                mirror_name=inputs.mirror.name,
                active=inputs.mirror.active,
                rules=inputs.rules,
                pack=records(inputs.snapshots[section], names),
                file_source_id=inputs.snapshots[section].file_source_id,
                # A passive mirror never waits for files, so nothing of before has to stay.
                incomplete=inputs.mirror.active and inputs.mirror.incomplete,
                history=appearances.history_of(inputs.snapshots[section].file_source.base_url),
                held=inputs.held.get(section, {}),
                stamps=ecosystem.may_stamp(inputs.snapshots[section].extras),
            )
            for inputs in self.mirrors
            if inputs.ecosystem.kind == ecosystem.kind and section in inputs.snapshots
        )
        return SectionInputs(
            ecosystem,
            section,
            sources,
            self.channel_rules[ecosystem.family],
            PublishedSection(self.channel.pk, self.channel.current, ecosystem, section),
            access.audience(self.channel),
            self.now,
        )


def published_identity(channel: Channel) -> Identity:
    """The identity that the current revision was judged by."""
    current = channel.revisions.filter(number=channel.current).first()
    # The first revision was built, not judged.
    return Identity(**(current.inputs if current and current.inputs else _NOTHING))


_NOTHING = Identity(channel=None, mirrors={})


def gather(channel: Channel) -> Inputs:
    """The channel's inputs as they are saved now."""
    advisories = change_log.last_number()
    # By age: where two list one file name, the older mirror's counts.
    mirrors = Mirror.objects.filter(channel=channel, deleted_at=None).order_by("pk")
    mirrors = mirrors.select_related("upstream", "filter")
    snapshots: dict[int, dict[str, Snapshot]] = {}
    accepted = AcceptedSnapshot.objects.filter(mirror__channel=channel, mirror__deleted_at=None)
    for row in accepted.select_related("snapshot__file_source"):
        snapshots.setdefault(row.mirror_id, {})[row.section] = row.snapshot
    return Inputs(
        channel=channel,
        channel_rules=channel_rules(channel),
        mirrors=tuple(
            mirror_inputs(mirror, mirror.filter.terms, snapshots.get(mirror.pk, {}))
            for mirror in mirrors
        ),
        # What changes from now on may or may not be judged; the next publication judges it.
        advisories=advisories,
    )


def mirror_inputs(mirror: Mirror, terms: Terms, snapshots: dict[str, Snapshot]) -> MirrorInputs:
    """A mirror judged by `terms`; sections that the terms do not ask for fall away."""
    ecosystem = registry.get(mirror.kind)
    asked = set(ecosystem.sections(terms.get("subdirs") or []))
    return MirrorInputs(
        mirror=mirror,
        ecosystem=ecosystem,
        rules=mirror_rules(mirror.kind, terms),
        snapshots={key: value for key, value in snapshots.items() if key in asked},
        held=replaced_files.held_in([mirror.pk]).get(mirror.pk, {}),
    )


def with_terms(inputs: Inputs, mirror_id: int, terms: Terms) -> Inputs:
    """The inputs with one mirror judged by the terms its run began with."""
    mirrors = tuple(
        mirror_inputs(current.mirror, terms, current.snapshots)
        if current.mirror.pk == mirror_id
        else current
        for current in inputs.mirrors
    )
    return replace(inputs, mirrors=mirrors)


PACKS_MEMORY = 192 * 1024 * 1024
NAME_BYTES = 300
"""What a name in an opened pack weighs."""

_packs: Sized[Pack] = Sized(PACKS_MEMORY)


def on_demand(snapshot: Snapshot) -> bool:
    """Whether the index lists names whose records are fetched when first asked for."""
    return NAMES in snapshot.extras


def records(snapshot: Snapshot, names: Collection[str] | None) -> Pack | Layered:
    """The snapshot's records, with those that were asked for since."""
    opened = pack(snapshot.pack_id)
    if not on_demand(snapshot):
        return opened
    rows = FetchedPackage.objects.filter(
        # Older ones are of an earlier state of the index; the next client has them fetched anew.
        upstream=snapshot.upstream_id,
        section=snapshot.section,
        created_at__gt=snapshot.created_at,
    )
    if names is not None:
        rows = rows.filter(name__in=names)
    later = {row.name: (bytes(row.body), row.count) for row in rows}
    return Layered(opened, later) if later else opened


def pack(sha256: str) -> Pack:
    """A snapshot's pack, opened once per process."""
    path = blobs.path(sha256)
    # By path, which holds the digest: a pack's bytes never change, so none has to be dropped.
    return _packs.get(path, lambda: Pack(path), lambda pack: NAME_BYTES * len(pack.names()))
