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
MAX_SPECS = 200_000
"""Specs of mirrors that are read again when a channel changes: somebody waits for the answer.
Mirrors beyond it say that they were not compared."""

Filters = Mapping[str, Any]


def of(mirror: Mirror) -> list[str]:
    """The warnings, in sentences."""
    of_filters = filter_conflicts(mirror.filter.terms, mirror.channel, mirror.kind)
    use = source_use(mirror)
    of_readers = readership.warnings([use])[use.mirror] if use else ""
    return _all(mirror, of_filters, of_readers)


def update_for_channel(channel: Channel) -> None:
    """The channel's filter or privacy changed: say what that does to its mirrors and readers'."""
    family = [channel.pk, *channel.subchannels.values_list("pk", flat=True)]
    rows = Mirror.objects.filter(Q(channel__in=family) | Q(upstream__channel__in=family))
    rows = rows.filter(deleted_at=None).order_by("channel_id", "pk")
    ids = list(rows.values_list("pk", flat=True))
    channels: dict[int, _ChannelFilters] = {}
    specs_left = MAX_SPECS
    for start in range(0, len(ids), BATCH):
        mirrors = _loaded(ids[start : start + BATCH])
        # In the order of channels, so only the last one goes on in the next batch.
        channels = _channel_filters({mirror.channel_id for mirror in mirrors}, channels)
        specs_left = _update(mirrors, channels, specs_left)


def filter_conflicts(filters: Filters, channel: Channel, kind: str) -> list[str]:
    """What the filter of a mirror and those of its channel make empty between them."""
    of_mirror, of_channel = compared(filters, [row.terms for row in channel.filters])

    def find() -> list[str]:
        rules = filter_forms.compiled_rules(of_mirror, "mirror", kind)
        channel_rules = [
            filter_forms.compiled_rules(terms, "channel", kind) for terms in of_channel
        ]
        return conflicts(rules, channel_rules, kind=kind_of(kind) or "")

    return filter_forms.cached_conflicts([of_mirror, *of_channel], kind, find)


def source_use(mirror: Mirror) -> readership.SourceUse | None:
    """What a mirror of a channel of this server asks of it; None for other sources."""
    source = mirror.upstream.channel
    if source is None:
        return None
    # A mirror that is not saved yet has no id, and no link of another mirror has the id 0.
    return readership.SourceUse(mirror.channel, source, mirror.pk or 0, mirror.owner)


def _loaded(ids: Sequence[int]) -> list[Mirror]:
    rows = Mirror.objects.filter(pk__in=ids).order_by("channel_id", "pk")
    return list(rows.select_related("filter", "upstream__channel__parent", "owner"))


def _channel_filters(
    channels: set[int], loaded: Mapping[int, _ChannelFilters]
) -> dict[int, _ChannelFilters]:
    """The filters of these channels; those that are loaded already stay."""
    new = Channel.objects.select_related("filter", "parent__filter").filter(
        pk__in=channels - loaded.keys()
    )
    still_needed = {pk: filters for pk, filters in loaded.items() if pk in channels}
    return still_needed | {channel.pk: _ChannelFilters(channel) for channel in new}


def _update(
    mirrors: Sequence[Mirror], channels: Mapping[int, _ChannelFilters], specs_left: int
) -> int:
    """Find and save the warnings; how many specs of mirrors may still be read."""
    for mirror in mirrors:
        # One object for all of its mirrors: its filter is loaded once.
        mirror.channel = channels[mirror.channel_id].channel
    of_readers = readership.warnings(filter(None, map(source_use, mirrors)))
    changed = []
    for mirror in mirrors:
        filters: Filters = mirror.filter.terms
        specs = len(filters.get("only_specs") or ()) + len(filters.get("projects") or ())
        not_compared = [NOT_COMPARED] if specs > specs_left else []
        if not_compared:
            filters = {**filters, "only_specs": [], "projects": []}
        else:
            specs_left -= specs
        of_filters = channels[mirror.channel_id].conflicts(filters, mirror.kind) + not_compared
        warnings = _all(mirror, of_filters, of_readers.get(mirror.pk, ""))
        # Most edits change nothing for most mirrors, and each row that is written costs a lock.
        if warnings != mirror.warnings:
            mirror.warnings = warnings
            changed.append(mirror)
    Mirror.objects.bulk_update(changed, ["warnings"])
    return specs_left


def _all(mirror: Mirror, of_filters: Sequence[str], of_readers: str) -> list[str]:
    return [
        *of_filters,
        *_without_noarch(mirror),
        *([of_readers] if of_readers else []),
        *cron.warnings(mirror.cron, mirror.cron_timezone),
    ]


def _without_noarch(mirror: Mirror) -> Iterator[str]:
    subdirs = mirror.filter.terms.get("subdirs")
    if mirror.kind == MirrorType.CONDA and subdirs and "noarch" not in subdirs:
        yield (
            "The platform noarch is not chosen; packages of the other platforms often need "
            "packages of noarch."
        )


class _ChannelFilters:
    """The filters of one channel, compiled once for all of its mirrors."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._terms = [row.terms for row in channel.filters]
        self._rules: dict[tuple[str, bool], list[Rules]] = {}

    def conflicts(self, filters: Filters, kind: str) -> list[str]:
        """As `filter_conflicts` of this channel."""
        of_mirror, of_channel = compared(filters, self._terms)
        # What is looked at of the channel's depends on whether the mirror names packages.
        key = kind, of_channel is self._terms
        if key not in self._rules:
            self._rules[key] = [
                filter_forms.compiled_rules(terms, "channel", kind) for terms in of_channel
            ]
        rules = filter_forms.compiled_rules(of_mirror, "mirror", kind)
        return conflicts(rules, self._rules[key], kind=kind_of(kind) or "")
