"""What a mirror's form will do that its author probably does not want: `Mirror.warnings`.

The rule: what a channel's filter does to a thousand mirrors is found with a few queries for each
batch of them, its specs are read once, and those of the mirrors up to a bound.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.db.models import Q

from channels import filter_forms, readership
from channels.models import Channel
from filters.rules import Rules, compared, conflicts
from filters.rules.form import kind_of
from filters.rules.overlap import NOT_COMPARED
from mirrors import cron
from mirrors.models import Mirror, MirrorType

BATCH = 25
"""Mirrors that are loaded at once: the filter of each may have 100,000 specs."""
MOST_READ = 200_000
"""Specs of mirrors that are read again when a channel changes; of what is beyond it they say so."""

Terms = Mapping[str, Any]


def of(mirror: Mirror) -> list[str]:
    """The warnings, in sentences."""
    found = between(mirror.filter.terms, mirror.channel, mirror.kind)
    wish = wish_of(mirror)
    limited = readership.warnings([wish])[wish.mirror] if wish else ""
    return _all(mirror, found, limited)


def again(channel: Channel) -> None:
    """The channel's filter or privacy changed: say what that does to its mirrors and readers'."""
    family = [channel.pk, *channel.subchannels.values_list("pk", flat=True)]
    rows = Mirror.objects.filter(Q(channel__in=family) | Q(upstream__channel__in=family))
    rows = rows.filter(deleted_at=None).order_by("channel_id", "pk")
    ids = list(rows.values_list("pk", flat=True))
    sides: dict[int, _Sides] = {}
    left = MOST_READ
    for start in range(0, len(ids), BATCH):
        mirrors = _loaded(ids[start : start + BATCH])
        # In the order of channels, so only the last one goes on in the next batch.
        sides = _sides({mirror.channel_id for mirror in mirrors}, sides)
        left = _warn(mirrors, sides, left)


def between(filters: Terms, channel: Channel, kind: str) -> list[str]:
    """What the filter of a mirror and those of its channel make empty between them."""
    mine, theirs = compared(filters, [row.terms for row in channel.filters])

    def found() -> list[str]:
        rules = filter_forms.compiled_rules(mine, "mirror", kind)
        channels = [filter_forms.compiled_rules(one, "channel", kind) for one in theirs]
        return conflicts(rules, channels, kind=kind_of(kind) or "")

    return list(filter_forms.cached("conflicts", [mine, *theirs], kind, found))


def idle_rules(channel: Channel, kind: str, filters: Terms) -> list[str]:
    """Rules that leave nothing out, because this server does not have what they judge by."""
    if kind != MirrorType.CONDA:
        return []
    given = [("mirror", filters), *(("channel", row.terms) for row in channel.filters)]
    sentences = [
        f"The {by}'s CVE filters leave nothing out: this server has no advisories yet."
        for by, one in given
        if one.get("cve_score_threshold") is not None or one.get("exclude_non_curated_cve")
    ]
    return list(dict.fromkeys(sentences))


def wish_of(mirror: Mirror) -> readership.SourceUse | None:
    """What a mirror of a channel of this server asks of it."""
    source = mirror.upstream.channel
    if source is None:
        return None
    return readership.SourceUse(mirror.channel, source, mirror.pk or 0, mirror.owner)


def _loaded(ids: Sequence[int]) -> list[Mirror]:
    rows = Mirror.objects.filter(pk__in=ids).order_by("channel_id", "pk")
    return list(rows.select_related("filter", "upstream__channel__parent", "owner"))


def _sides(channels: set[int], old: Mapping[int, _Sides]) -> dict[int, _Sides]:
    """The filters of these channels; those that are read already stay."""
    new = Channel.objects.select_related("filter", "parent__filter").filter(
        pk__in=channels - old.keys()
    )
    kept = {pk: one for pk, one in old.items() if pk in channels}
    return kept | {channel.pk: _Sides(channel) for channel in new}


def _warn(mirrors: Sequence[Mirror], sides: Mapping[int, _Sides], left: int) -> int:
    """Find and save the warnings; how many specs of mirrors may still be read of `left`."""
    for mirror in mirrors:
        mirror.channel = sides[mirror.channel_id].channel
    limited = readership.warnings(filter(None, map(wish_of, mirrors)))
    changed = []
    for mirror in mirrors:
        filters = mirror.filter.terms
        specs = len(filters.get("only_specs") or ()) + len(filters.get("projects") or ())
        said = [NOT_COMPARED] if specs > left else []
        if said:
            filters = {**filters, "only_specs": [], "projects": []}
        else:
            left -= specs
        found = sides[mirror.channel_id].between(filters, mirror.kind) + said
        warnings = _all(mirror, found, limited.get(mirror.pk, ""))
        if warnings != mirror.warnings:
            mirror.warnings = warnings
            changed.append(mirror)
    Mirror.objects.bulk_update(changed, ["warnings"])
    return left


def _all(mirror: Mirror, found: Sequence[str], limited: str) -> list[str]:
    return [
        *found,
        *_without_noarch(mirror),
        *idle_rules(mirror.channel, mirror.kind, mirror.filter.terms),
        *([limited] if limited else []),
        *cron.warnings(mirror.cron, mirror.cron_timezone),
    ]


def _without_noarch(mirror: Mirror) -> Iterator[str]:
    subdirs = mirror.filter.terms.get("subdirs")
    if mirror.kind == MirrorType.CONDA and subdirs and "noarch" not in subdirs:
        yield (
            "The platform noarch is not chosen; packages of the other platforms often need "
            "packages of noarch."
        )


class _Sides:
    """The filters of one channel, compiled once for all of its mirrors."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._terms = [row.terms for row in channel.filters]
        self._rules: dict[tuple[str, bool], list[Rules]] = {}

    def between(self, filters: Terms, kind: str) -> list[str]:
        """As the function of this name."""
        mine, theirs = compared(filters, self._terms)
        # What is looked at of the channel's depends on whether the mirror names packages.
        key = kind, theirs is self._terms
        if key not in self._rules:
            self._rules[key] = [filter_forms.compiled_rules(one, "channel", kind) for one in theirs]
        rules = filter_forms.compiled_rules(mine, "mirror", kind)
        return conflicts(rules, self._rules[key], kind=kind_of(kind) or "")
