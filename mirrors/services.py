"""What people do with mirrors: create, edit, delete.

Every verb is one transaction that checks all of the form (`mirrors.form_fields`), writes the
event, and asks for a publication, so that an edit acts at once.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.caller import Caller
from accounts.models import User
from channels import access, filter_forms
from channels import services as channel_services
from channels.errors import Stale, WrongState
from channels.models import Channel, Generation
from channels.rules import limited_ecosystem
from channels.validation import Problems
from filters.models import Filter
from history.models import EventType, record
from mirrors import cron, form_warnings, periodic_tasks, replaced_files, run_control, source_urls
from mirrors.form_fields import (
    Body,
    apply_changes,
    check_kind,
    check_mode,
    field_error,
    link_source,
    name_taken,
    set_name,
    set_replaced_files,
    set_schedule,
    terms_of,
    upstream_of,
)
from mirrors.models import Cause, Mirror, MirrorType

NOT_READABLE = "The source is a channel of this server that you may not read."

P = ParamSpec("P")
Target = TypeVar("Target", Channel, Mirror)


def filters_parsed_first(
    verb: Callable[Concatenate[Target, Body, P], Mirror],
) -> Callable[Concatenate[Target, Body, P], Mirror]:
    """A verb in one transaction, before which every filter that it looks at is parsed.

    A list of 100,000 specs takes seconds, and on SQLite nobody else writes during a transaction.
    """

    @wraps(verb)
    def prepared(target: Target, body: Body, /, *args: P.args, **kwargs: P.kwargs) -> Mirror:
        with filter_forms.parsing_once():
            _parse_filters(target, body)
            # A run that is asked for with a change counts as one that is asked for by itself; the
            # count must not be rolled back with a change that is refused.
            if body.get("run_now") and isinstance(target, Mirror):
                run_control.count_run(target)
            with transaction.atomic():
                return verb(target, body, *args, **kwargs)

    return prepared


def _parse_filters(target: Channel | Mirror, body: Body) -> None:
    """Parse the body's filter and those of the mirror and its channel."""
    mirror = target if isinstance(target, Mirror) else None
    channel = target.channel if isinstance(target, Mirror) else target
    kind = mirror.kind if mirror else body.get("mirror_type") or MirrorType.CONDA
    check_kind(kind)
    filters: Body = mirror.filter.terms if mirror else {}
    terms = terms_of(body, filters)
    filters = filters if terms is None else terms
    # What is wrong with them is remembered, and the verb raises it together with other fields.
    with suppress(ValidationError):
        if mirror is None or terms is not None:
            filters = filter_forms.validated(filters, "mirror", kind)
        form_warnings.filter_conflicts(filters, channel, kind)


@filters_parsed_first
def create(channel: Channel, body: Body, *, owner: User, actor: Caller | None = None) -> Mirror:
    """A new mirror in `channel`; with `run_now` its first run is pending.

    `actor` is the owner with the limits of their token, if they came with one.
    """
    actor = actor or Caller(owner)
    # Locked, so that the channel is not deleted while a mirror is added to it.
    if not Channel.objects.select_for_update().filter(pk=channel.pk, deleted_at=None).exists():
        raise WrongState("This channel was deleted.")
    kind = body.get("mirror_type") or MirrorType.CONDA
    mirror = Mirror(channel=channel, owner=owner, filter=Filter(), next_run_at=None)
    mirror.mode = body.get("mirror_mode") or Mirror.Mode.PASSIVE
    filters: dict[str, Any] = {}
    problems = Problems()
    with problems.collected():
        check_mode(mirror.mode)
    with problems.collected():
        set_name(mirror, body.get("mirror_name") or "")
    with problems.collected():
        zone = body.get("cron_timezone") or settings.DEFAULT_CRON_TIMEZONE
        set_schedule(mirror, body.get("cron") or cron.MONTHLY, zone)
    with problems.collected():
        filters = filter_forms.validated(terms_of(body) or {}, "mirror", kind)
    with problems.collected():
        set_replaced_files(mirror, kind, body.get("replaced_files"))
    with problems.collected():
        mirror.upstream = upstream_of(body, kind, mirror, actor=actor)
    problems.raise_any()
    filter_forms.save_filter(mirror.filter, filters, by="mirror", kind=kind)
    mirror.filter_id = mirror.filter.pk
    _insert(mirror)
    link_source(mirror, body, actor=actor)
    # Only now: what the source's link allows is part of the warnings, and it names the mirror.
    mirror.warnings = form_warnings.of(mirror)
    mirror.save(update_fields=["warnings"])
    _publish_change(mirror, EventType.MIRROR_CREATED, owner.get_username(), after=state(mirror))
    if body.get("run_now"):
        _run(mirror, owner.get_username(), cause=Cause.CREATE)
    return mirror


@filters_parsed_first
def edit(mirror: Mirror, body: Body, *, actor: Caller | str, expected: int | None = None) -> Mirror:
    """Change what `body` has; absent keys keep their value, `filters` is replaced whole.

    `actor`: who acts, with the limits of their token. A bare name is this server's own work,
    which the owner's rights alone decide about. `Stale` where the version is not `expected`.
    """
    caller = actor if isinstance(actor, Caller) else None
    name = caller.name if caller else str(actor)
    mirror = _locked(mirror, expected)
    _check_reader(mirror, body, caller)
    before = state(mirror)
    problems, upstream = Problems(), mirror.upstream
    apply_changes(mirror, body, problems)
    with problems.collected():
        upstream = upstream_of(body, mirror.kind, mirror, actor=caller, stored=mirror.upstream)
    problems.raise_any()
    if upstream.pk != mirror.upstream_id:
        # Another credential or proxy reads the same packages: the guard goes on comparing them.
        if (upstream.url, upstream.channel_id) != (mirror.upstream.url, mirror.upstream.channel_id):
            mirror.skip_guard, mirror.held = True, {}
        mirror.upstream = upstream
    link_source(mirror, body, actor=caller)
    mirror.warnings = form_warnings.of(mirror)
    mirror.version += 1
    mirror.save(
        update_fields=[
            "name", "cron", "cron_timezone", "next_run_at", "upstream", "skip_guard", "held",
            "warnings", "version", "updated_at", "replaced_files",
        ]
    )  # fmt: skip
    if mirror.replaced_files == replaced_files.FOLLOW != before["replaced_files"]:
        with suppress(WrongState):  # Nothing is held.
            replaced_files.release(mirror, actor=name)
    _publish_change(mirror, EventType.MIRROR_UPDATED, name, before=before, after=state(mirror))
    if body.get("run_now") or _needs_more_of_index(mirror):
        _run(mirror, name, cause=Cause.EDIT)
    return mirror


@transaction.atomic
def delete(mirror: Mirror, *, actor: str, expected: int | None = None) -> None:
    """Stop its run and mark it deleted: its packages leave with the next publication."""
    mirror = _locked(mirror, expected)
    run_control.stop(mirror, actor=actor)
    before = state(mirror)
    name = mirror.name
    # No living mirror has a slash in its name, so the name is free for another at once.
    mirror.name = f"{name}/{mirror.pk}"
    mirror.deleted_at = timezone.now()
    mirror.next_run_at, mirror.run_again = None, False
    mirror.version += 1
    mirror.save(
        update_fields=["name", "deleted_at", "next_run_at", "run_again", "version", "updated_at"]
    )
    _publish_change(mirror, EventType.MIRROR_DELETED, actor, name=name, before=before)


@transaction.atomic
def delete_channel(channel: Channel, *, actor: str, expected: int | None = None) -> None:
    """Delete a channel together with its mirrors."""
    mirrors = Mirror.objects.filter(channel=channel, deleted_at=None)
    # Rows are locked mirror before channel, as edits of mirrors do; the other way round the two
    # would wait for each other.
    for mirror in mirrors.all():
        delete(mirror, actor=actor)
    channel_services.delete(channel, actor=actor, expected=expected)
    # From here on the channel is locked; one that was created before that goes, too.
    for late_mirror in mirrors.all():
        delete(late_mirror, actor=actor)


def state(mirror: Mirror) -> dict[str, Any]:
    """What events tell about a mirror's settings; no secret is in it."""
    return {
        "mirror_name": mirror.name,
        "mirror_mode": str(mirror.mode),
        "mirror_type": str(mirror.kind),
        "source_root": source_urls.redacted_url(mirror.upstream),
        "proxy": source_urls.redacted_proxy(mirror.upstream),
        "cron": mirror.cron,
        "cron_timezone": mirror.cron_timezone,
        "replaced_files": str(mirror.replaced_files),
        "filters": filter_forms.shortened(mirror.filter.terms),
    }


def may_read_source(mirror: Mirror, actor: Caller) -> bool:
    """Whether `actor` may read the channel of this server that the mirror reads, if it does.

    Whoever may not must neither widen what it brings nor have it run.
    """
    source = mirror.upstream.channel
    return source is None or access.may_read(actor.user, actor.token, source)


def _check_reader(mirror: Mirror, body: Body, actor: Caller | None) -> None:
    # A new source is checked by itself, and so is the way out of one that may not be read.
    if actor and body.get("source_root") is None and not may_read_source(mirror, actor):
        raise field_error("source_root", NOT_READABLE)


def _locked(mirror: Mirror, expected: int | None) -> Mirror:
    # PostgreSQL locks no rows of the nullable side of a join, so the lock names the mirror alone.
    rows = Mirror.objects.filter(pk=mirror.pk, deleted_at=None).select_for_update(of=("self",))
    locked = rows.select_related(
        "filter", "upstream__channel__parent", "owner", "channel__filter", "channel__parent__filter"
    ).first()
    if locked is None:
        raise WrongState("This mirror was deleted meanwhile.")
    if expected is not None and locked.version != expected:
        raise Stale
    return locked


def _insert(mirror: Mirror) -> None:
    try:
        # A savepoint: on PostgreSQL an error would end the whole transaction.
        with transaction.atomic():
            mirror.save()
    except IntegrityError as error:
        # Another form took the name since `set_name` looked.
        raise name_taken(mirror.name) from error


def _publish_change(
    mirror: Mirror, event: EventType, actor: str, *, name: str = "", **meta: object
) -> None:
    """What every change entails: the periodic task, the event, a publication."""
    periodic_tasks.update_task(mirror)
    record(
        event,
        actor=actor,
        channel_id=mirror.channel_id,
        mirror_id=mirror.pk,
        data={
            "mirror": name or mirror.name,
            "mirror_id": mirror.pk,
            "channel": mirror.channel.path,
        },
        meta=meta,
    )
    mirror.channel.request_publication()
    Generation.rise()


def _needs_more_of_index(mirror: Mirror) -> bool:
    """Whether the rules speak of a part of the index that was not fetched."""
    kind, active = mirror.kind, mirror.active
    scope = limited_ecosystem(mirror.channel, kind, mirror.filter.terms, active=active).scope
    return mirror.accepted.exclude(snapshot__scope=scope).exists()


def _run(mirror: Mirror, actor: str, *, cause: Cause) -> None:
    """Run now; while a run is going, once more after it."""
    try:
        run_control.request_run(mirror, cause=cause, actor=actor)
    except WrongState:
        # The run that is going began with the form as it was before.
        Mirror.objects.filter(pk=mirror.pk).update(run_again=True)
        mirror.run_again = True
