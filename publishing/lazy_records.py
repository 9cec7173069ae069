"""Fetches a package's records when a client first asks for them.

A passive mirror of a large index lists names only. The package becomes a row of the revision
that was asked for, without a new revision and without an event; what an older or frozen
state cannot have had, by the time of its upload, is cut off.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import zstandard
from django.db import transaction
from django.db.models import QuerySet

from accounts import locks
from channels import blobs, connection_slots, revision_builder
from channels.errors import Missing
from channels.file_sources import client_for
from channels.models import FOREVER, Channel, Generation, Package, Revision
from channels.package_rows import Listing
from channels.rules import narrowed
from ecosystems.errors import BadIndex
from ecosystems.indexes import NAMES, FetchContext
from ecosystems.memo import Sized
from ecosystems.records import Record
from ecosystems.upstream import UpstreamError
from filters.rules import Reason, refused
from filters.rules.model import Rule
from mirrors.models import AcceptedSnapshot, FetchedPackage, Snapshot
from publishing.inputs import Input, Inputs, gather, on_demand
from publishing.judge import judge_name, resolve
from publishing.listings import listing
from publishing.outcomes import Judged

log = logging.getLogger(__name__)

_LOCKS = tuple(threading.Lock() for _ in range(64))
"""Enough that different packages seldom wait for each other."""
LOCK_SECONDS = 2.0
"""For a locked database: the thread answers clients who ask for what is here, too."""
NAMES_MEMORY = 128 * 1024 * 1024
NAME_BYTES = 120
"""What a name of a list weighs."""


def bring(channel: Channel, section: str, name: str, number: int) -> bool:
    """Have the package in revision `number`, if a mirror lists it.

    Whether there is a row now that was not there. Raises `Missing` with why there is none.
    """
    if not _any_names(channel, section):
        return False
    with locks.wait_at_most(LOCK_SECONDS):
        return _bring(channel, section, name, number)


def _bring(channel: Channel, section: str, name: str, number: int) -> bool:
    # A hundred clients at once are one request to the upstream.
    with _LOCKS[hash((channel.pk, name)) % len(_LOCKS)]:
        if _rows(channel, section, name, number).exists():
            return True
        inputs = gather(channel)
        revision = channel.revisions.filter(number=number).first()
        if revision is None:
            return False
        listing_it = [
            one for one in inputs.mirrors if _lists(one, section, name, revision=revision)
        ]
        fetched = [one for one in listing_it if not _refused(inputs, one, section, name)]
        if not fetched:
            _raise_refusal(inputs, listing_it, section, name)
            return False
        for one in fetched:
            _fetch(one, section, name)
        found = _judged(gather(channel), fetched[0], section, name, revision)
        return _insert(channel, fetched[0], section, found, number)


def _rows(channel: Channel, section: str, name: str, number: int) -> QuerySet[Package]:
    return Package.objects.at(number).filter(channel=channel, section=section, name=name)


def _any_names(channel: Channel, section: str) -> bool:
    """Whether any mirror of the channel lists names without their records."""
    accepted = AcceptedSnapshot.objects.filter(mirror__channel=channel, mirror__deleted_at=None)
    return accepted.filter(section=section, snapshot__extras__has_key=NAMES).exists()


def _lists(one: Input, section: str, name: str, *, revision: Revision) -> bool:
    """Whether a mirror that the revision was made of lists the name without its records."""
    snapshot = one.snapshots.get(section)
    if snapshot is None or not on_demand(snapshot):
        return False
    if str(one.mirror.pk) not in revision.inputs.get("mirrors", {}):
        return False
    return name in _names(blobs.path(snapshot.extras[NAMES]))


def _refused(inputs: Inputs, one: Input, section: str, name: str) -> Reason | None:
    family = one.ecosystem.family
    channels = inputs.channel_rules[family]
    return refused(section, name, mirror=one.rules, channels=channels, kind=family)


def _raise_refusal(inputs: Inputs, mirrors: list[Input], section: str, name: str) -> None:
    for one in mirrors:
        if reason := _refused(inputs, one, section, name):
            raise Missing(f"{name} is left out by the {reason.by}'s filter: {reason.detail}.")


_listed: Sized[frozenset[str]] = Sized(NAMES_MEMORY)


def _names(path: Path) -> frozenset[str]:
    return _listed.get(
        path,
        lambda: frozenset(path.read_text().split()),
        lambda names: NAME_BYTES * len(names),
    )


def _fetch(one: Input, section: str, name: str) -> None:
    """Have the records here, fetched by this call or by one before it."""
    snapshot, upstream = one.snapshots[section], one.mirror.upstream
    if _known(snapshot, name):
        return
    ecosystem = narrowed(one.mirror.channel, one.mirror.kind, one.mirror.filter.terms, active=False)
    try:
        client = client_for(upstream.credential, upstream.proxy, slots=connection_slots.AWAITED)
        with client, blobs.scratch() as work:
            context = FetchContext(client=client, folder=work)
            found = ecosystem.fetch_package(snapshot.address, name, context)
    except (UpstreamError, BadIndex) as error:
        log.warning("The page of %s was not fetched: %s", name, error)
        message = f"The page of {name} could not be fetched from the upstream."
        raise Missing(message, lasting=False, status=502) from error
    if found is None:
        raise Missing(f"The upstream lists {name} but has no page of it.", lasting=False)
    for text in found.warnings:
        # Until the next run, which looks at the page again, they stand in no mirror's warnings.
        log.warning("%s, the page of %s: %s", one.mirror, name, text)
    FetchedPackage.objects.update_or_create(
        upstream=upstream,
        section=section,
        name=name,
        defaults={"body": zstandard.compress(found.body, 1), "count": found.count},
    )


def _known(snapshot: Snapshot, name: str) -> bool:
    pages = FetchedPackage.objects.filter(
        upstream=snapshot.upstream_id, section=snapshot.section, name=name
    )
    return pages.filter(created_at__gt=snapshot.created_at).exists()


def _judged(inputs: Inputs, one: Input, section: str, name: str, revision: Revision) -> Listing:
    case = inputs.case(one.ecosystem, section)
    judged = judge_name(case, name)
    channel = inputs.channel
    if channel.frozen_at is not None or revision.number != channel.current:
        _cut(judged, revision)
    resolve(case, [judged])
    found = listing(case, judged)
    # The row stands for a state of the past; the next publication looks at it as it is then.
    found.stale = found.stale or channel.frozen_at is not None
    return found


def _cut(judged: Judged, revision: Revision) -> None:
    """Leave out what was uploaded after the revision was made, or nobody knows when."""
    then = int(revision.created_at.timestamp() * 1000)
    for part in judged.parts:
        for at, record in enumerate(part.records):
            if part.reasons[at] is None and isinstance(record, Record):
                time = record.timestamp
                if time is None or time > then:
                    why = f"it was uploaded after the revision {revision.number} was made"
                    part.reasons[at] = Reason("channel", Rule.DATE, why)


def _insert(channel: Channel, one: Input, section: str, found: Listing, number: int) -> bool:
    """Write the row, unless somebody else was quicker or the channel has moved on."""
    with transaction.atomic():
        now = Channel.objects.select_for_update(no_key=True).get(pk=channel.pk)
        if number == channel.current != now.current:
            return False
        if not _rows(channel, section, found.name, number).exists():
            until = FOREVER if number == now.current else number + 1
            revision_builder.insert(now, one.ecosystem, section, found, at=number, until=until)
            Generation.rise()
    return bool(found.body)
