"""Fetches a package's records when a client first asks for them.

A passive mirror of a large index lists names only. The package becomes a row of the revision
that was asked for, without a new revision and without an event; what an older or frozen
state cannot have had, by the time of its upload, is cut off.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from django.db import transaction
from django.db.models import QuerySet

from accounts import locks
from channels import blobs, connection_slots, package_rows, shards
from channels.errors import Missing, Refused
from channels.file_sources import client_for
from channels.models import FOREVER, Channel, Generation, Package, Revision
from channels.package_rows import Listing
from channels.rules import limited_ecosystem
from ecosystems.errors import BadIndex
from ecosystems.indexes import NAMES, FetchContext
from ecosystems.memo import Sized
from ecosystems.records import Record
from ecosystems.upstream import UpstreamError
from filters.rules import Reason, refused
from filters.rules.model import Rule
from mirrors import appearances
from mirrors.models import AcceptedSnapshot, FetchedPackage, Snapshot
from publishing.inputs import Inputs, MirrorInputs, gather, on_demand
from publishing.judge import apply_rules, decide_batch
from publishing.outcomes import PackageRecords
from publishing.package_listings import listing

log = logging.getLogger(__name__)

_LOCKS = tuple(threading.Lock() for _ in range(64))
"""Enough that different packages seldom wait for each other."""
LOCK_SECONDS = 2.0
"""For a locked database: the thread answers clients who ask for what is here, too."""
NAMES_MEMORY = 128 * 1024 * 1024
NAME_BYTES = 120
"""What a name of a list weighs."""


def ensure_package(channel: Channel, section: str, name: str, number: int) -> bool:
    """Have the package in revision `number`, if a mirror lists it.

    Whether there is a row now that was not there. Raises `Missing` with why there is none.
    """
    if not _lists_names_only(channel, section):
        return False
    with locks.wait_at_most(LOCK_SECONDS):
        return _ensure_package(channel, section, name, number)


def _ensure_package(channel: Channel, section: str, name: str, number: int) -> bool:
    # A hundred clients at once are one request to the upstream.
    with _LOCKS[hash((channel.pk, name)) % len(_LOCKS)]:
        # Again under the lock: whoever held it before may have fetched the same.
        if _rows(channel, section, name, number).exists():
            return True
        inputs = gather(channel)
        revision = channel.revisions.filter(number=number).first()
        # Deleted by retention since the client's path was looked up.
        if revision is None:
            return False
        mirrors = [
            mirror for mirror in inputs.mirrors if _lists(mirror, section, name, revision=revision)
        ]
        # Before the upstream is asked: for names that rules refuse nothing is fetched.
        allowed = [mirror for mirror in mirrors if not _refusal(inputs, mirror, section, name)]
        if not allowed:
            _raise_refusal(inputs, mirrors, section, name)
            return False
        for mirror in allowed:
            _fetch(mirror, section, name)
        # Gathered anew, with what was just fetched.
        package = _judged(gather(channel), allowed[0], section, name, revision)
        return _insert(channel, allowed[0], section, package, number)


def _rows(channel: Channel, section: str, name: str, number: int) -> QuerySet[Package]:
    return Package.objects.at(number).filter(channel=channel, section=section, name=name)


def _lists_names_only(channel: Channel, section: str) -> bool:
    """Whether any mirror of the channel lists names without their records."""
    accepted = AcceptedSnapshot.objects.filter(mirror__channel=channel, mirror__deleted_at=None)
    return accepted.filter(section=section, snapshot__extras__has_key=NAMES).exists()


def _lists(mirror: MirrorInputs, section: str, name: str, *, revision: Revision) -> bool:
    """Whether a mirror that the revision was made of lists the name without its records."""
    snapshot = mirror.snapshots.get(section)
    if snapshot is None or not on_demand(snapshot):
        return False
    if str(mirror.mirror.pk) not in revision.inputs.get("mirrors", {}):
        return False
    return name in _names(blobs.path(snapshot.extras[NAMES]))


def _refusal(inputs: Inputs, mirror: MirrorInputs, section: str, name: str) -> Reason | None:
    family = mirror.ecosystem.family
    channels = inputs.channel_rules[family]
    return refused(section, name, mirror=mirror.rules, channels=channels, kind=family)


def _raise_refusal(inputs: Inputs, mirrors: list[MirrorInputs], section: str, name: str) -> None:
    for mirror in mirrors:
        if reason := _refusal(inputs, mirror, section, name):
            text = f"{name} is left out by the {reason.by}'s filter: {reason.detail}."
            raise Refused(text, reason=text)


_name_lists: Sized[frozenset[str]] = Sized(NAMES_MEMORY)


def _names(path: Path) -> frozenset[str]:
    return _name_lists.get(
        path,
        lambda: frozenset(path.read_text().split()),
        lambda names: NAME_BYTES * len(names),
    )


def _fetch(mirror: MirrorInputs, section: str, name: str) -> None:
    """Have the records here, fetched by this call or by one before it."""
    snapshot, upstream = mirror.snapshots[section], mirror.mirror.upstream
    if _is_fetched(snapshot, name):
        return
    ecosystem = limited_ecosystem(
        mirror.mirror.channel, mirror.mirror.kind, mirror.mirror.filter.terms, active=False
    )
    try:
        client = client_for(upstream.credential, upstream.proxy, slots=connection_slots.AWAITED)
        with client, blobs.temporary_folder() as folder:
            context = FetchContext(client=client, folder=folder)
            package = ecosystem.fetch_package(snapshot.address, name, context)
    except (UpstreamError, BadIndex) as error:
        log.warning("The page of %s was not fetched: %s", name, error)
        message = f"The page of {name} could not be fetched from the upstream."
        # Not lasting: remembered for a moment only, so that clients get the page once the
        # upstream is back.
        raise Missing(message, lasting=False, status=502) from error
    if package is None:
        raise Missing(f"The upstream lists {name} but has no page of it.", lasting=False)
    for text in package.warnings:
        # Until the next run, which looks at the page again, they stand in no mirror's warnings.
        log.warning("%s, the page of %s: %s", mirror.mirror, name, text)
    _note_appearances(mirror, snapshot, section, name, package.body)
    FetchedPackage.objects.update_or_create(
        upstream=upstream,
        section=section,
        name=name,
        defaults={"body": shards.compress(package.body), "count": package.count},
    )


def _note_appearances(
    mirror: MirrorInputs, snapshot: Snapshot, section: str, name: str, body: bytes
) -> None:
    """Of files that state no time, nobody knows more than that they are there now."""
    history = appearances.history_of(snapshot.file_source.base_url)
    if history is not None:
        listed = mirror.ecosystem.records(body, section=section, name=name)
        appearances.write(list(appearances.rows_of(history, name, listed, appearances.now())))


def _is_fetched(snapshot: Snapshot, name: str) -> bool:
    pages = FetchedPackage.objects.filter(
        upstream=snapshot.upstream_id, section=snapshot.section, name=name
    )
    return pages.filter(created_at__gt=snapshot.created_at).exists()


def _judged(
    inputs: Inputs, mirror: MirrorInputs, section_name: str, name: str, revision: Revision
) -> Listing:
    section = inputs.section(mirror.ecosystem, section_name, names=[name])
    (package,) = apply_rules(section, [name])
    channel = inputs.channel
    if channel.frozen_at is not None or revision.number != channel.current:
        _exclude_later_uploads(package, revision)
    decide_batch(section, [package])
    result = listing(section, package)
    # The row stands for a state of the past; the next publication looks at it as it is then.
    result.stale = result.stale or channel.frozen_at is not None
    return result


def _exclude_later_uploads(package: PackageRecords, revision: Revision) -> None:
    """Leave out what was uploaded after the revision was made, or nobody knows when."""
    made_at = int(revision.created_at.timestamp() * 1000)
    detail = f"it was uploaded after the revision {revision.number} was made"
    for part in package.sources:
        for at, record in enumerate(part.records):
            if part.reasons[at] is None and isinstance(record, Record):
                uploaded_at = record.timestamp
                if uploaded_at is None or uploaded_at > made_at:
                    part.reasons[at] = Reason("channel", Rule.DATE, detail)


def _insert(
    channel: Channel, mirror: MirrorInputs, section: str, package: Listing, number: int
) -> bool:
    """Write the row, unless somebody else was quicker or the channel has moved on."""
    with transaction.atomic():
        locked = Channel.objects.select_for_update(no_key=True).get(pk=channel.pk)
        # A publication came first; the client's next request finds the new revision.
        if number == channel.current != locked.current:
            return False
        if not _rows(channel, section, package.name, number).exists():
            until = FOREVER if number == locked.current else number + 1
            package_rows.insert_listing(
                locked, mirror.ecosystem, section, package, at=number, until=until
            )
            if number == locked.current:
                first = package_rows.next_judge_at(locked, number)
                Channel.objects.filter(pk=locked.pk).update(next_judge_at=first)
            Generation.rise()
    # Also of a package that rules leave nothing of: its page then says which.
    return True
