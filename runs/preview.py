"""A preview: how a mirror's body would turn out, before anything is saved.

Computed in a worker from a fresh or a stored index; it never touches the channel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.caller import Caller
from accounts.limits import TooMany
from accounts.models import User
from channels import filter_forms, notify, readership
from channels.leased_work import Ending, working_on
from channels.models import Channel
from channels.states import ACTIVE, JobState
from mirrors import form_fields, source_urls
from mirrors.models import Mirror, MirrorType, Preview, Upstream
from runs.context import HandBack
from runs.preview_result import PreviewProgress, preview_result

WAIT_SECONDS = 15
"""After which a user with too many previews may try again."""


def begin(
    channel: Channel, body: form_fields.Body, *, asker: Caller, mirror: Mirror | None = None
) -> Preview:
    """A preview of a mirror's body, checked as if it were saved; `mirror` is the edited one."""
    current = mirror.upstream if mirror else None
    kind = current.kind if current else body.get("mirror_type") or MirrorType.CONDA.value
    mode = mirror.mode if mirror else body.get("mirror_mode") or Mirror.Mode.PASSIVE.value
    form_fields.check_kind(kind)
    form_fields.check_mode(mode)
    stored = mirror.filter.terms if mirror else {}
    filters = form_fields.terms_of(body, stored)
    checked = filter_forms.validated(stored if filters is None else filters, "mirror", kind)
    owner = mirror.owner if mirror else asker.user
    source, proxy = form_fields.check_source(
        body, channel=channel, owner=owner, actor=asker, stored=current
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
        # A worker that is woken before the commit finds no row.
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
    # One that was handed back waits for another worker: this one shuts down.
    if following is not None and following != ended.pk:
        notify.preview(following)


def _work(preview: Preview, interrupted: Callable[[], bool]) -> None:
    def end(ending: Ending) -> bool:
        if isinstance(ending.cause, HandBack):
            return _write_state(preview, JobState.PENDING, owner="")
        return _end(preview, ending.state, error=ending.error)

    with working_on(preview, end, raises=False) as heart:
        progress = PreviewProgress(preview, heart, interrupted)
        result = preview_result(preview, progress)
        _end(preview, JobState.COMPLETED, result=result, percent=100)


def may_see(preview: Preview, who: Caller) -> bool:
    """Whether `who` made the preview and may still read what it is about."""
    upstream = Upstream.objects.select_related("channel__parent").filter(
        pk=preview.body.get("upstream")
    )
    source = upstream[0].channel if upstream else None
    # The result names files of the source, which this user may no longer be allowed to read.
    return preview.asker_id == who.user.pk and (
        source is None or readership.may_mirror(source, owner=who.user, actor=who)
    )


def _end(preview: Preview, state: JobState, **fields: object) -> bool:
    return _write_state(preview, state, ended_at=timezone.now(), **fields)


def _write_state(preview: Preview, state: JobState, **fields: object) -> bool:
    """Whether it was still ours: neither cancelled nor given to another owner."""
    rows = Preview.objects.filter(pk=preview.pk, fence=preview.fence, state=JobState.RUNNING)
    return bool(rows.update(state=state, **fields))
