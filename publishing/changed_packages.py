"""Which packages a publication judges again: those whose records, rules, advisories or present
files changed.

The others keep the row that they have.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from advisories import change_log
from advisories.catalog import curated_name
from channels.models import Channel, Document, Package
from ecosystems import pack as packs
from ecosystems import registry
from ecosystems.base import Ecosystem
from mirrors.models import Snapshot
from publishing.file_advisories import Need, need_of
from publishing.inputs import Identity, Inputs, on_demand, pack
from publishing.outcomes import SectionInputs


@dataclass(frozen=True, slots=True)
class ChangedSection:
    """A section of the channel, with the packages in it that are to be judged."""

    inputs: SectionInputs
    names: Collection[str]
    whole: bool
    """Whether these are all packages, so that what is not among them goes."""

    @property
    def section(self) -> str:
        return self.inputs.section


def changed_sections(channel: Channel, inputs: Inputs, published: Identity) -> list[ChangedSection]:
    """All sections that the channel has, or had until now; the root of each type comes last."""
    return [
        _changed_section(inputs, published, inputs.section(ecosystem, section))
        for ecosystem in _ecosystems(channel, inputs)
        for section in _section_names(channel, inputs, ecosystem)
    ]


def changed_scopes(
    inputs: Inputs, published: Identity, kind: str
) -> list[tuple[SectionInputs, set[str] | None]]:
    """The sections of one type, with the packages that `published` says nothing about."""
    ecosystem = registry.get(kind)
    sections = [inputs.section(ecosystem, name) for name in inputs.sections(ecosystem)]
    return [(section, changed_names(inputs, published, section)) for section in sections]


def _changed_section(inputs: Inputs, published: Identity, section: SectionInputs) -> ChangedSection:
    # The root has documents only.
    names = changed_names(inputs, published, section) if section.section else set()
    if names is None:
        return ChangedSection(section, section.names(), whole=True)
    return ChangedSection(section, names, whole=False)


def _ecosystems(channel: Channel, inputs: Inputs) -> list[Ecosystem]:
    """The type at the root, then whatever other types a mirror has, or has had until now."""
    rows = Package.objects.at(channel.current).filter(channel=channel)
    families = set(rows.order_by().values_list("family", flat=True).distinct())
    families.update(ecosystem.family for ecosystem in inputs.ecosystems())
    root = registry.at_root()
    return [root, *map(registry.of_family, sorted(families - {root.family}))]


def _section_names(channel: Channel, inputs: Inputs, ecosystem: Ecosystem) -> list[str]:
    listed = Package.objects.at(channel.current).filter(channel=channel, family=ecosystem.family)
    served = Document.objects.at(channel.current).filter(channel=channel).exclude(section="")
    names = {*inputs.sections(ecosystem), *listed.values_list("section", flat=True).distinct()}
    names.update(
        section
        for section in served.values_list("section", flat=True).distinct()
        if ecosystem.owns_section(section)
    )
    # The root comes last: its documents tell what the sections list.
    return [*sorted(names - {""}), ""]


def changed_names(inputs: Inputs, published: Identity, section: SectionInputs) -> set[str] | None:
    """The packages to be judged again; None = all of the section."""
    current = inputs.identity()
    # Rules of the channel decide about every file; which ones a change touches only judging
    # tells.
    if published["channel"] != current["channel"]:
        return None
    names: set[str] = set()
    before = {
        key for key, mirror in published["mirrors"].items() if section.section in mirror["sections"]
    }
    # A mirror that came or went: where it lists a file, another mirror's may be a duplicate.
    if before != {str(source.mirror_id) for source in section.sources}:
        return None
    for mirror_id in before:
        old, new = published["mirrors"][mirror_id], current["mirrors"][mirror_id]
        if old["rules"] != new["rules"] or old["active"] != new["active"]:
            return None
        snapshots = (old["sections"][section.section], new["sections"][section.section])
        changed = _changed_between(inputs.channel, section, *snapshots)
        if changed is None:
            return None
        names |= changed
    names |= _with_new_advisories(inputs.channel, section, since=published.get("advisories", 0))
    rows = Package.objects.at(inputs.channel.current).filter(
        channel=inputs.channel, section=section.section
    )
    now = datetime.fromtimestamp(inputs.now / 1000, UTC)
    # Two queries: each has an index of its own.
    # Stale records change without a new snapshot: their missing bytes may have come in the
    # meantime.
    for judged_again in (rows.filter(stale=True), rows.filter(judge_again_at__lte=now)):
        names.update(judged_again.values_list("name", flat=True))
    return names


def _with_new_advisories(channel: Channel, section: SectionInputs, *, since: int) -> set[str]:
    """The packages of which advisories say something else than when they were judged last."""
    rules = (*(source.rules for source in section.sources), *section.channel_rules)
    need = need_of(rules)
    if need is Need.NOTHING:
        return set()
    changed = change_log.names_since(since, malware_only=need is Need.MALWARE)
    if not changed:
        return set()
    family = section.ecosystem.family
    of_family = changed.pop(family, set())
    names = {name for name in section.names() if curated_name(family, name) in of_family}
    # Of conda's: purls name packages of other ecosystems, whose advisories are about them, too.
    return names | _with_purls(channel, section) if changed else names


def _with_purls(channel: Channel, section: SectionInputs) -> set[str]:
    rows = Package.objects.at(channel.current).filter(
        channel=channel, section=section.section, has_purls=True
    )
    return set(rows.values_list("name", flat=True))


def _changed_between(
    channel: Channel, section: SectionInputs, old_id: int, new_id: int
) -> set[str] | None:
    """The packages that differ between two snapshots; None where everything may."""
    if old_id == new_id:
        return set()
    old = Snapshot.objects.filter(pk=old_id).first()
    new = Snapshot.objects.get(pk=new_id)
    # Without the old snapshot, or with files of another place, no package is known to be the
    # same.
    if old is None or old.file_source_id != new.file_source_id:
        return None
    changes = packs.changed(pack(old.pack_id), pack(new.pack_id))
    names = {*changes.added, *changes.replaced, *changes.removed}
    return names | _gone(channel, section) if on_demand(new) else names


def _gone(channel: Channel, section: SectionInputs) -> set[str]:
    """Packages that are listed and that no source has: asked for between two snapshots."""
    rows = Package.objects.at(channel.current).filter(channel=channel, section=section.section)
    return set(rows.values_list("name", flat=True)).difference(section.names())
