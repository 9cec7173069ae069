"""What people do with mirrors: create, edit, delete.

Every verb is one transaction that checks all of the form, writes the event, and asks for a
publication, so that an edit acts at once. Bodies are the API's: `mirror_name, source_root,
mirror_mode, mirror_type, cron, cron_timezone, filters, run_now, proxy`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.caller import Caller
from accounts.models import User
from channels import access, filter_forms, readership
from channels import services as channel_manage
from channels.errors import WrongState
from channels.filter_forms import Problems, Stale
from channels.models import Channel, Generation
from channels.rules import limited_ecosystem
from ecosystems import registry
from filters.models import Filter
from history.models import EventType, record
from mirrors import cron as schedule
from mirrors import form_warnings, periodic_tasks, run_control, source_urls
from mirrors.models import Cause, Mirror, MirrorType, Upstream

LONGEST_NAME = 200
MONTHLY = "0 0 1 * *"
NOT_READABLE = "The source is a channel of this server that you may not read."
_LIKE_ID = re.compile(r"[0-9]+|[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_UNFIT = re.compile(r"[/\x00-\x1f\x7f]")

Body = Mapping[str, Any]


P = ParamSpec("P")
Result = TypeVar("Result")


def read_first(
    verb: Callable[Concatenate[Any, Body, P], Result],
) -> Callable[Concatenate[Any, Body, P], Result]:
    """A verb in one transaction, before which all filters that it looks at are read.

    A run that is asked for with a change counts as one that is asked for by itself.
    """

    @wraps(verb)
    def prepared(of: Any, body: Body, /, *args: P.args, **kwargs: P.kwargs) -> Result:
        with filter_forms.parsing_once():
            _read(of, body)
            if body.get("run_now") and isinstance(of, Mirror):
                run_control.count_run(of)
            with transaction.atomic():
                return verb(of, body, *args, **kwargs)

    return prepared


def _read(of: Channel | Mirror, body: Body) -> None:
    """Read the body's filter and those of the mirror and its channel."""
    mirror = of if isinstance(of, Mirror) else None
    channel = of.channel if isinstance(of, Mirror) else of
    kind = mirror.kind if mirror else body.get("mirror_type") or MirrorType.CONDA
    check_kind(kind)
    filters: Body = mirror.filter.terms if mirror else {}
    if body.get("filters") is not None:
        filters = body["filters"]
    # What is wrong with them is kept, and told by the verb beside the other fields.
    with suppress(ValidationError):
        if mirror is None or body.get("filters") is not None:
            filters = filter_forms.validated(filters, "mirror", kind)
        form_warnings.between(filters, channel, kind)


@read_first
def create(channel: Channel, body: Body, *, owner: User, actor: Caller | None = None) -> Mirror:
    """A new mirror in `channel`; with `run_now` its first run is pending.

    `actor` is the owner with the limits of their token, if they came with one.
    """
    actor = actor or Caller(owner)
    if not Channel.objects.select_for_update().filter(pk=channel.pk, deleted_at=None).exists():
        raise WrongState("This channel was deleted.")
    mirror = Mirror(channel=channel, owner=owner, filter=Filter(), next_run_at=None)
    kind = body.get("mirror_type") or MirrorType.CONDA
    mirror.mode = body.get("mirror_mode") or Mirror.Mode.PASSIVE
    checked: dict[str, Any] = {}
    problems = Problems()
    with problems.collected():
        check_mode(mirror.mode)
    with problems.collected():
        _set_name(mirror, body.get("mirror_name") or "")
    with problems.collected():
        _set_frequency(
            mirror,
            body.get("cron") or MONTHLY,
            body.get("cron_timezone") or settings.DEFAULT_CRON_TIMEZONE,
        )
    with problems.collected():
        checked = filter_forms.validated(body.get("filters") or {}, "mirror", kind)
    with problems.collected():
        mirror.upstream = _upstream(body, kind, mirror, actor=actor)
    problems.raise_any()
    filter_forms.save_filter(mirror.filter, checked, by="mirror", kind=kind)
    mirror.filter_id = mirror.filter.pk
    _save_new(mirror)
    _connect(mirror, body, actor=actor)
    mirror.warnings = form_warnings.of(mirror)
    mirror.save(update_fields=["warnings"])
    _saved(mirror, EventType.MIRROR_CREATED, owner.get_username(), after=state(mirror))
    if body.get("run_now"):
        _run(mirror, owner.get_username(), cause=Cause.CREATE)
    return mirror


@read_first
def edit(mirror: Mirror, body: Body, *, actor: Caller | str, expected: int | None = None) -> Mirror:
    """Change what `body` has; absent keys keep their value, `filters` is replaced whole.

    `actor`: who acts, with the limits of their token. A bare name is this server's own work,
    which the owner's rights alone decide about.
    """
    by = actor if isinstance(actor, Caller) else None
    actor = by.name if by else str(actor)
    mirror = _locked(mirror, expected)
    _check_reader(mirror, body, by)
    before = state(mirror)
    problems, upstream = Problems(), mirror.upstream
    _set_changed(mirror, body, problems)
    with problems.collected():
        upstream = _upstream(body, mirror.kind, mirror, actor=by, kept=mirror.upstream)
    problems.raise_any()
    if upstream.pk != mirror.upstream_id:
        if (upstream.url, upstream.channel_id) != (mirror.upstream.url, mirror.upstream.channel_id):
            mirror.skip_guard, mirror.held = True, {}
        mirror.upstream = upstream
    _connect(mirror, body, actor=by)
    mirror.warnings = form_warnings.of(mirror)
    mirror.version += 1
    mirror.save(
        update_fields=[
            "name", "cron", "cron_timezone", "next_run_at", "upstream", "skip_guard", "held",
            "warnings", "version", "updated_at",
        ]
    )  # fmt: skip
    _saved(mirror, EventType.MIRROR_UPDATED, actor, before=before, after=state(mirror))
    if body.get("run_now") or _wants_more(mirror):
        _run(mirror, actor, cause=Cause.EDIT)
    return mirror


def _set_changed(mirror: Mirror, body: Body, problems: Problems) -> None:
    """Give the mirror the name, frequency and filter of the body, where it has them."""
    for key, value, label in (
        ("mirror_mode", mirror.mode, "mode"),
        ("mirror_type", mirror.kind, "type"),
    ):
        with problems.collected():
            _check_fixed(body, key, value, label)
    if body.get("mirror_name") is not None and body["mirror_name"] != mirror.name:
        with problems.collected():
            _set_name(mirror, body["mirror_name"])
    if body.get("cron") is not None or body.get("cron_timezone") is not None:
        cron = mirror.cron if body.get("cron") is None else body["cron"]
        with problems.collected():
            _set_frequency(mirror, cron, body.get("cron_timezone") or mirror.cron_timezone)
    if body.get("filters") is not None:
        with problems.collected():
            filters = filter_forms.validated(body["filters"], "mirror", mirror.kind)
            filter_forms.save_filter(mirror.filter, filters, by="mirror", kind=mirror.kind)


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
    _saved(mirror, EventType.MIRROR_DELETED, actor, name=name, before=before)


@transaction.atomic
def delete_channel(channel: Channel, *, actor: str, expected: int | None = None) -> None:
    """Delete a channel together with its mirrors."""
    mirrors = Mirror.objects.filter(channel=channel, deleted_at=None)
    # Rows are locked mirror before channel, as edits of mirrors do.
    for mirror in mirrors.all():
        delete(mirror, actor=actor)
    channel_manage.delete(channel, actor=actor, expected=expected)
    for late in mirrors.all():
        delete(late, actor=actor)


def state(mirror: Mirror) -> dict[str, Any]:
    """What events tell about a mirror's settings; no secret is in it."""
    return {
        "mirror_name": mirror.name,
        "mirror_mode": str(mirror.mode),
        "mirror_type": str(mirror.kind),
        "source_root": source_urls.shown(mirror.upstream),
        "proxy": source_urls.shown_proxy(mirror.upstream),
        "cron": mirror.cron,
        "cron_timezone": mirror.cron_timezone,
        "filters": filter_forms.shortened(mirror.filter.terms),
    }


def check_source(
    body: Body,
    *,
    channel: Channel,
    owner: User | None,
    actor: Caller | None,
    kept: Upstream | None = None,
) -> tuple[source_urls.Source, str]:
    """The source and proxy that a body means beside what is kept; nothing is written."""
    if body.get("source_root") is None and kept is None:
        raise ValidationError({"source_root": "Say where to mirror from."})
    text = (
        source_urls.shown(kept) if kept and body.get("source_root") is None else body["source_root"]
    )
    source = source_urls.checked(text, into=channel, owner=owner, actor=actor, kept=kept)
    said = body.get("proxy")
    if said is None:
        said = (source_urls.shown_proxy(kept) or "") if kept else ""
    proxy = source_urls.checked_proxy(said, kept)
    return source_urls.with_proxy(source, proxy, kept), proxy


def _upstream(
    body: Body, kind: str, mirror: Mirror, *, actor: Caller | None, kept: Upstream | None = None
) -> Upstream:
    if kept and body.get("source_root") is None and body.get("proxy") is None:
        return kept
    source, proxy = check_source(
        body, channel=mirror.channel, owner=mirror.owner, actor=actor, kept=kept
    )
    return source_urls.upstream_for(kind, source, proxy)


def may_read_source(mirror: Mirror, actor: Caller) -> bool:
    """Whether `actor` may read the channel of this server that the mirror reads, if it does.

    Whoever may not must neither widen what it brings nor have it run.
    """
    source = mirror.upstream.channel
    return source is None or access.may_read(actor.user, actor.token, source)


def _check_reader(mirror: Mirror, body: Body, actor: Caller | None) -> None:
    if actor and body.get("source_root") is None and not may_read_source(mirror, actor):
        raise _invalid("source_root", NOT_READABLE)


def _connect(mirror: Mirror, body: Body, *, actor: Caller | None) -> None:
    """Note which channel of this server the mirror reads, and for whom."""
    wish = form_warnings.wish_of(mirror)
    wanted = body.get(readership.FIELD)
    if wish is not None:
        readership.link(wish, more_readers=wanted, actor=actor)
    elif wanted:
        raise _invalid(readership.FIELD, "This is about sources that are channels of this server.")


def _set_name(mirror: Mirror, name: str) -> None:
    name = name.strip()
    if not name or len(name) > LONGEST_NAME:
        raise _invalid("mirror_name", f"A mirror's name has 1 to {LONGEST_NAME} characters.")
    if _UNFIT.search(name) or name in (".", ".."):
        raise _invalid("mirror_name", "A mirror's name has no slash and no control character.")
    if _LIKE_ID.fullmatch(name):
        raise _invalid("mirror_name", "A mirror's name must not look like an id.")
    taken = Mirror.objects.filter(name=name).exclude(pk=mirror.pk)
    if taken.exists():
        raise WrongState(f"A mirror of the name {name} exists on this server.")
    mirror.name = name


def _check_frequency(cron: str, zone: str) -> None:
    try:
        schedule.check(" ".join(cron.split()), zone)
    except ValueError as error:
        field = "cron_timezone" if "time zone" in str(error) else "cron"
        raise _invalid(field, str(error)) from error


def _set_frequency(mirror: Mirror, cron: str, zone: str) -> None:
    cron = " ".join(cron.split())
    _check_frequency(cron, zone)
    if (cron, zone) != (mirror.cron, mirror.cron_timezone) or mirror.next_run_at is None:
        mirror.next_run_at = schedule.next_fire(cron, zone, timezone.now())
    mirror.cron, mirror.cron_timezone = cron, zone


def check_mode(mode: str) -> None:
    """Raise ValidationError unless `mode` is one that mirrors have."""
    if mode not in Mirror.Mode.values:
        raise _invalid("mirror_mode", "The mode of a mirror is active or passive.")


def check_kind(kind: str) -> None:
    """Raise ValidationError unless this server can mirror packages of this type."""
    if kind not in MirrorType.values:
        raise _invalid(
            "mirror_type", f"The type of a mirror is one of {', '.join(MirrorType.values)}."
        )
    if kind not in registry.kinds():
        raise _invalid(
            "mirror_type", f"This server cannot mirror {MirrorType(kind).label} packages yet."
        )


def _check_fixed(body: Body, key: str, value: str, label: str) -> None:
    if body.get(key) not in (None, value):
        raise _invalid(key, f"The {label} of a mirror never changes; create another mirror.")


def _locked(mirror: Mirror, expected: int | None) -> Mirror:
    rows = Mirror.objects.filter(pk=mirror.pk, deleted_at=None).select_for_update(of=("self",))
    found = rows.select_related(
        "filter", "upstream__channel__parent", "owner", "channel__filter", "channel__parent__filter"
    ).first()
    if found is None:
        raise WrongState("This mirror was deleted meanwhile.")
    if expected is not None and found.version != expected:
        raise Stale
    return found


def _save_new(mirror: Mirror) -> None:
    try:
        with transaction.atomic():
            mirror.save()
    except IntegrityError as error:
        raise WrongState(f"A mirror of the name {mirror.name} exists on this server.") from error


def _saved(mirror: Mirror, event: EventType, actor: str, *, name: str = "", **meta: Any) -> None:
    periodic_tasks.keep(mirror)
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


def _wants_more(mirror: Mirror) -> bool:
    """Whether the rules speak of a part of the index that was not fetched."""
    kind, active = mirror.kind, mirror.active
    scope = limited_ecosystem(mirror.channel, kind, mirror.filter.terms, active=active).scope
    return mirror.accepted.exclude(snapshot__scope=scope).exists()


def _run(mirror: Mirror, actor: str, *, cause: Cause) -> None:
    """Run now; while a run is going, once more after it."""
    try:
        run_control.request_run(mirror, cause=cause, actor=actor)
    except WrongState:
        Mirror.objects.filter(pk=mirror.pk).update(run_again=True)
        mirror.run_again = True


def _invalid(field: str, message: str) -> ValidationError:
    return ValidationError({field: message})
