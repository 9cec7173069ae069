"""Asks for publications where advisories say something else than what channels were judged by.

    advisory_changes.request()

Call it after an import, a curation or an edit of the mapping; the dispatcher does in every round,
so a change is not lost whatever happens in between. No upstream is asked for anything: the
publications judge the snapshots that are here, and of those only the packages concerned.
"""

from __future__ import annotations

from django.db import transaction
from django.db.models import F

from advisories import change_log
from advisories.models import ChangeCounter
from channels.models import Channel, Generation
from channels.rules import channel_rules, mirror_rules
from filters.rules import Rules
from history.models import EventType, record
from mirrors.models import Mirror
from publishing import advisory_index
from publishing.changed_names import NamesByFamily, lists_any, packages_named
from publishing.file_advisories import Need, need_of

NAMED = 100
"""Packages that an event names; as many as the events of publications name files."""
MOST_INDEXED = 20
"""Of so many changed names the caller waits until pages show them: a curation, not an import."""


def request() -> list[Channel]:
    """Have the channels published that list, or leave out, packages that changed.

    The channels; nothing at all where nothing has changed since the last call.
    """
    requested, number = _open_changes()
    if requested >= number:
        return []
    every = change_log.names_since(requested)
    malware = change_log.names_since(requested, malware_only=True)
    channels = [
        channel
        for channel, need in _channels_by_need()
        if lists_any(channel, every if need is Need.ALL else malware)
    ]
    # Counter and requests together: a crash in between neither loses a change nor asks twice.
    with transaction.atomic():
        counter = ChangeCounter.objects.filter(pk=change_log.ROW, requested=requested)
        if not counter.update(requested=number):
            return []  # Another process asks for the same at this moment.
        for channel in channels:
            # Each for itself: a subchannel that has nothing of it judges nothing.
            channel.request_publication(subchannels=False)
            _record_event(channel, every)
        if channels:
            # Answers that web processes remember may name files that are to leave.
            Generation.rise()
    if sum(map(len, every.values())) <= MOST_INDEXED:
        _index(requested)
    return channels


def _index(before: int) -> None:
    """Have pages show a change of a few packages at once; workers do what takes longer."""
    # Only channels that were up to date: others have more to catch up on than a caller should
    # wait for.
    for channel in Channel.objects.alive().filter(
        indexed_advisories=before, indexed_revision=F("current")
    ):
        advisory_index.update(channel)


def _record_event(channel: Channel, names: NamesByFamily) -> None:
    """Say in the channel's history which of its packages advisories say something new of."""
    packages = sorted({row.name for row in packages_named(channel, names)})
    record(
        EventType.CVE_UPDATED,
        channel_id=channel.pk,
        data={"channel": channel.path, "packages": len(packages)},
        meta={"names": packages[:NAMED]},
    )


def _open_changes() -> tuple[int, int]:
    """Up to which change publications were asked for, and the number of the last one."""
    counter = ChangeCounter.objects.filter(pk=change_log.ROW).first()
    return (counter.requested, counter.number) if counter else (0, 0)


def _channels_by_need() -> list[tuple[Channel, Need]]:
    """Every channel whose rules look at advisories, and at which."""
    rules: dict[int, list[Rules]] = {}
    mirrors = Mirror.objects.filter(deleted_at=None, channel__deleted_at=None)
    for mirror in mirrors.select_related("filter", "upstream"):
        rules.setdefault(mirror.channel_id, []).append(
            mirror_rules(mirror.kind, mirror.filter.terms)
        )
    channels = Channel.objects.filter(pk__in=rules).select_related("filter", "parent__filter")
    by_need: list[tuple[Channel, Need]] = []
    for channel in channels.order_by("pk"):
        own = [rule for family in channel_rules(channel).values() for rule in family]
        need = need_of([*rules[channel.pk], *own])
        if need is not Need.NOTHING:
            by_need.append((channel, need))
    return by_need
