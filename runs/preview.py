"""A preview: how a mirror's body would turn out, before anything is saved.

Computed in a worker from a fresh or a stored index; it never touches the channel.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.caller import Caller
from accounts.limits import TooMany
from accounts.models import User
from channels import filter_forms, internal_errors, notify, readership
from channels.blobs import scratch
from channels.lease import Fenced, Heart
from channels.models import Channel
from channels.rules import narrowed
from channels.states import ACTIVE, JobState
from ecosystems.base import Ecosystem
from ecosystems.errors import BadIndex
from filters.models import Filter
from mirrors import form_warnings, services, source_urls
from mirrors.models import Kind, Mirror, Preview, Snapshot, Upstream
from publishing.diff import ContentDifference, compare
from publishing.inputs import Inputs, gather, mirror_inputs, on_demand
from publishing.tallies import file_counts, planned
from runs.fetch import Fetch

log = logging.getLogger(__name__)

NEW = 2**62
"""The id of a mirror that is not saved: younger than all others, so they win a file name."""
LOOK_SECONDS = 0.5
WAIT_SECONDS = 15
"""After which a user with too many previews may try again."""


class Cancelled(Exception):
    """Nobody waits for the preview any more."""


def begin(
    channel: Channel, body: services.Body, *, asker: Caller, mirror: Mirror | None = None
) -> Preview:
    """A preview of a mirror's body, checked as if it were saved; `mirror` is the edited one."""
    kept = mirror.upstream if mirror else None
    kind = kept.kind if kept else body.get("mirror_type") or Kind.CONDA.value
    mode = mirror.mode if mirror else body.get("mirror_mode") or Mirror.Mode.PASSIVE.value
    services.check_kind(kind)
    services.check_mode(mode)
    filters = body.get("filters")
    if filters is None and mirror:
        filters = mirror.filter.terms
    checked = filter_forms.checked(filters or {}, "mirror", kind)
    owner = mirror.owner if mirror else asker.user
    source, proxy = services.check_source(
        body, channel=channel, owner=owner, actor=asker, kept=kept
    )
    return request(
        channel,
        upstream=source_urls.upstream_for(kind, source, proxy),
        mode=mode,
        terms=checked,
        asker=asker.user,
        mirror=mirror,
    )


def request(
    channel: Channel,
    *,
    upstream: Upstream,
    mode: str,
    terms: dict[str, Any],
    asker: User,
    mirror: Mirror | None = None,
) -> Preview:
    """A preview to be worked out; `mirror` is the one that is being edited, if any."""
    with transaction.atomic():
        _lock(asker.pk)
        _check_room(asker)
        preview = Preview.objects.create(
            channel=channel,
            mirror=mirror,
            asker=asker,
            body={"upstream": upstream.pk, "mode": mode, "filters": terms},
        )
        transaction.on_commit(lambda: notify.preview(preview.pk))
    return preview


def _lock(asker: int) -> None:
    """One at a time for each user: what is counted now still holds when it is written."""
    User.objects.select_for_update().get(pk=asker)


def _check_room(asker: User) -> None:
    waiting = Preview.objects.filter(asker=asker, state__in=ACTIVE).count()
    if waiting >= settings.LIMIT_PREVIEWS:
        raise TooMany(
            f"You have {waiting} previews that wait or run, and more are not taken. Cancel one, "
            "or let one end.",
            WAIT_SECONDS,
        )


def cancel(preview: Preview) -> None:
    """Nobody wants it any more; the worker sees it within a second."""
    rows = Preview.objects.filter(pk=preview.pk, state__in=ACTIVE)
    rows.update(state=JobState.CANCELLED, ended_at=timezone.now())


def execute(pk: int, *, interrupted: Callable[[], bool]) -> None:
    """Work a pending preview out, if nobody else does."""
    preview = (
        Preview.objects.select_related("channel", "mirror__owner__role", "asker__role")
        .filter(pk=pk)
        .first()
    )
    if preview is None or not _claimed(preview):
        return
    try:
        _work(preview, interrupted)
    finally:
        _wake_next(preview)


def _claimed(preview: Preview) -> bool:
    """Whether it is this process's now; of each user one runs at a time."""
    with transaction.atomic():
        _lock(preview.asker_id)
        others = Preview.objects.filter(asker=preview.asker_id, state=JobState.RUNNING)
        if others.exists():
            return False
        return preview.claim(state=JobState.RUNNING, started_at=timezone.now())


def _wake_next(ended: Preview) -> None:
    rows = Preview.objects.filter(asker=ended.asker_id, state=JobState.PENDING).order_by("pk")
    following = rows.values_list("pk", flat=True).first()
    if following is not None and following != ended.pk:
        notify.preview(following)


def _work(preview: Preview, interrupted: Callable[[], bool]) -> None:
    pk = preview.pk
    with Heart(preview) as heart:
        try:
            result = _result(preview, _Progress(preview, heart, interrupted))
            _end(preview, JobState.COMPLETED, result=result, percent=100)
        except Cancelled:
            log.info("preview %s was cancelled", pk)
        except Fenced:
            return
        except internal_errors.EXPLAINED as error:
            _end(preview, JobState.FAILED, error=str(error))
        except Exception as error:  # noqa: BLE001 - `crash.words` writes it to the log
            _end(preview, JobState.FAILED, error=internal_errors.words(error, f"preview {pk}"))


def check_source(preview: Preview, upstream: Upstream, actor: Caller) -> None:
    """Raise `BadIndex` unless the source may be read now, by who asks and the mirror's owner."""
    source = upstream.channel
    owner = preview.mirror.owner if preview.mirror else preview.asker
    if source is not None and not readership.may_mirror(source, owner=owner, actor=actor):
        raise BadIndex("The source is a channel of this server that may not be read.")


def may_see(preview: Preview, who: Caller) -> bool:
    """Whether `who` made the preview and may still read what it is about."""
    upstream = Upstream.objects.select_related("channel__parent").filter(
        pk=preview.body.get("upstream")
    )
    source = upstream[0].channel if upstream else None
    return preview.asker_id == who.user.pk and (
        source is None or readership.may_mirror(source, owner=who.user, actor=who)
    )


class _Progress:
    """Shows how far the preview is, and ends it when nobody wants it."""

    def __init__(self, preview: Preview, heart: Heart, interrupted: Callable[[], bool]) -> None:
        self.preview = preview
        self._heart = heart
        self._interrupted = interrupted
        self._written = 0.0
        self.activity = ""
        self.share = (0.0, 100.0)

    def stop(self) -> None:
        self._heart.check()
        if self._interrupted():
            # Unless it was cancelled meanwhile.
            mine = Preview.objects.filter(
                pk=self.preview.pk, fence=self.preview.fence, state=JobState.RUNNING
            )
            mine.update(state=JobState.PENDING, owner="")
            raise Cancelled
        self._write(None)

    def show(self, done: float, total: float) -> None:
        start, width = self.share
        self._write(start + width * min(done / total, 1) if total > 0 else start)

    def _write(self, percent: float | None) -> None:
        now = time.monotonic()
        if now - self._written < LOOK_SECONDS:
            return
        self._written = now
        rows = Preview.objects.filter(
            pk=self.preview.pk, fence=self.preview.fence, state=JobState.RUNNING
        )
        fields: dict[str, Any] = {"activity": self.activity}
        if percent is not None:
            fields["percent"] = int(percent)
        if not rows.update(**fields):
            raise Cancelled


def _end(preview: Preview, state: JobState, **fields: Any) -> None:
    rows = Preview.objects.filter(pk=preview.pk, fence=preview.fence, state=JobState.RUNNING)
    rows.update(state=state, ended_at=timezone.now(), **fields)


def _result(preview: Preview, progress: _Progress) -> dict[str, Any]:
    terms = preview.body["filters"]
    upstream = Upstream.objects.select_related("channel__parent").get(pk=preview.body["upstream"])
    check_source(preview, upstream, Caller(preview.asker))
    channel = Channel.objects.select_related("filter", "parent__filter").get(pk=preview.channel_id)
    active = preview.body["mode"] == Mirror.Mode.ACTIVE
    ecosystem = narrowed(channel, upstream.kind, terms, active=active)
    snapshots = _snapshots(upstream, terms, ecosystem, progress)
    mirror = preview.mirror or Mirror(
        pk=NEW, channel=channel, name="this mirror", filter=Filter(terms=terms)
    )
    mirror.upstream, mirror.mode = upstream, preview.body["mode"]
    mine = mirror_inputs(mirror, terms, snapshots)
    now = gather(channel)
    others = [one for one in now.mirrors if one.mirror.pk != mirror.pk]
    inputs = Inputs(channel, now.channel_rules, (*others, mine))
    progress.activity, progress.share = "Filter remote packages", (60.0, 40.0)
    difference = compare(
        channel,
        [(inputs.section(ecosystem, section), None) for section in inputs.sections(ecosystem)],
        stop=progress.stop,
        progress=progress.show,
        mirror_id=mirror.pk,
    )
    shape = _shape(difference, mirror, snapshots)
    shape["warnings"] += form_warnings.idle_rules(channel, upstream.kind, terms)
    return shape


def _snapshots(
    upstream: Upstream, terms: dict[str, Any], ecosystem: Ecosystem, progress: _Progress
) -> dict[str, Snapshot]:
    with scratch() as work:
        fetch = Fetch(
            upstream,
            terms.get("subdirs") or [],
            stop=progress.stop,
            work=work,
            row=progress.preview,
            ecosystem=ecosystem,
        )
        progress.activity, progress.share = "Fetch remote index", (0.0, 30.0)
        fetch.fetch(progress.show)
        progress.activity, progress.share = "Read remote packages", (30.0, 30.0)
        fetch.read(progress.show)
    return {section: snap for section, snap in fetch.snapshots.items() if snap is not None}


def _shape(
    difference: ContentDifference, mirror: Mirror, snapshots: dict[str, Snapshot]
) -> dict[str, Any]:
    counts = file_counts([difference.tallies.get(mirror.pk, {})], snapshots.values())
    count = {
        "active": counts["active"],
        "passive": counts["passive"],
        "active_planned": planned(counts, mirror),
        "stays": counts["stays"],
        "license_unknown": counts["license_unknown"],
        "mirror_filtered": counts["mirror_filtered"],
        "channel_filtered": counts["channel_filtered"],
    }
    shown = asdict(difference)
    shown.pop("tallies")
    return {
        **shown,
        "count": count,
        "listed": counts["listed"],
        "sections": sorted(snapshots),
        "warnings": [
            text for one in snapshots.values() for text in (*one.warnings, *_unknown(one))
        ],
    }


def _unknown(snapshot: Snapshot) -> list[str]:
    """What cannot be told of an index that lists names only."""
    if not on_demand(snapshot):
        return []
    return [
        "Files are counted from the first time that a client asks for their project on; what rules"
        " about versions, licenses and dates leave out is unknown until asked."
    ]
