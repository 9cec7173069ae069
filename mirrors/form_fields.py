"""The fields of a mirror's form: each is checked, refused with a sentence, and set.

Bodies are the API's: `mirror_name, source_root, mirror_mode, mirror_type, cron, cron_timezone,
filters, minimum_age_days, age_exceptions, replaced_files, run_now, proxy,
publish_to_more_readers`. In an edit an absent key keeps its value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.utils import timezone

from accounts.caller import Caller
from accounts.models import User
from channels import filter_forms, readership
from channels.errors import WrongState
from channels.models import Channel
from channels.validation import Problems
from ecosystems import registry
from filters.rules.age_form import AGE_FIELDS
from mirrors import cron as schedule
from mirrors import form_warnings, replaced_files, source_urls
from mirrors.models import Mirror, MirrorType, Upstream

LONGEST_NAME = 200
# An address of a mirror has its name or its id, so that no name may be taken for an id.
_LIKE_ID = re.compile(r"[0-9]+|[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_FORBIDDEN = re.compile(r"[/\x00-\x1f\x7f]")

Body = Mapping[str, Any]


def field_error(field: str, message: str) -> ValidationError:
    """What is wrong with one field of the form."""
    return ValidationError({field: message})


def name_taken(name: str) -> WrongState:
    """Another mirror of the server has this name."""
    return WrongState(f"A mirror of the name {name} exists on this server.")


def check_mode(mode: str) -> None:
    """Raise ValidationError unless `mode` is one that mirrors have."""
    if mode not in Mirror.Mode.values:
        raise field_error("mirror_mode", "The mode of a mirror is active or passive.")


def set_replaced_files(mirror: Mirror, kind: str, value: str | None) -> None:
    """Set what becomes of replaced files; None keeps it, and is the type's default at first."""
    if value is None:
        mirror.replaced_files = mirror.replaced_files if mirror.pk else replaced_files.default(kind)
    elif value not in Mirror.ReplacedFiles.values:
        raise field_error("replaced_files", "Replaced files are to follow or to hold.")
    elif kind == MirrorType.PYTHON and value == replaced_files.FOLLOW:
        raise field_error(
            "replaced_files",
            "Files of Python indexes never change under their names: those that do are held.",
        )
    else:
        mirror.replaced_files = value


def terms_of(body: Body, stored: Body | None = None) -> Body | None:
    """The filter that a body means, with the fields on age, which may stand beside `filters`.

    None where it says nothing of it. Absent fields on age keep their value.
    """
    age = {field: body[field] for field in AGE_FIELDS if body.get(field) is not None}
    if body.get("filters") is None and not age:
        return None
    before = stored or {}
    if body.get("filters") is None:
        return {**before, **age}
    kept = {field: before[field] for field in AGE_FIELDS if field in before}
    return {**kept, **body["filters"], **age}


def check_kind(kind: str) -> None:
    """Raise ValidationError unless this server can mirror packages of this type."""
    if kind not in MirrorType.values:
        names = ", ".join(MirrorType.values)
        raise field_error("mirror_type", f"The type of a mirror is one of {names}.")
    if kind not in registry.kinds():
        label = MirrorType(kind).label
        raise field_error("mirror_type", f"This server cannot mirror {label} packages yet.")


def check_source(
    body: Body,
    *,
    channel: Channel,
    owner: User | None,
    actor: Caller | None,
    stored: Upstream | None = None,
) -> tuple[source_urls.Source, str]:
    """The source and proxy that a body means, beside what is stored; nothing is written."""
    url, proxy_url = body.get("source_root"), body.get("proxy")
    # As it is shown, with ***, which stands for the stored login: it stays where nothing is sent.
    if stored is not None:
        url = source_urls.redacted_url(stored) if url is None else url
        proxy_url = source_urls.redacted_proxy(stored) if proxy_url is None else proxy_url
    if url is None:
        raise field_error("source_root", "Say where to mirror from.")
    source = source_urls.parse_source(url, into=channel, owner=owner, actor=actor, stored=stored)
    proxy = source_urls.parse_proxy(proxy_url or "", stored)
    return source_urls.with_proxy(source, proxy, stored), proxy


def upstream_of(
    body: Body, kind: str, mirror: Mirror, *, actor: Caller | None, stored: Upstream | None = None
) -> Upstream:
    """The upstream that the body means; the stored one where it names neither source nor proxy."""
    if stored and body.get("source_root") is None and body.get("proxy") is None:
        return stored
    source, proxy = check_source(
        body, channel=mirror.channel, owner=mirror.owner, actor=actor, stored=stored
    )
    return source_urls.upstream_for(kind, source, proxy)


def set_name(mirror: Mirror, name: str) -> None:
    """Name the mirror; ValidationError, or WrongState where another mirror has the name."""
    name = name.strip()
    if not name or len(name) > LONGEST_NAME:
        raise field_error("mirror_name", f"A mirror's name has 1 to {LONGEST_NAME} characters.")
    if _FORBIDDEN.search(name) or name in (".", ".."):
        raise field_error("mirror_name", "A mirror's name has no slash and no control character.")
    if _LIKE_ID.fullmatch(name):
        raise field_error("mirror_name", "A mirror's name must not look like an id.")
    if Mirror.objects.filter(name=name).exclude(pk=mirror.pk).exists():
        raise name_taken(name)
    mirror.name = name


def set_schedule(mirror: Mirror, cron: str, zone: str) -> None:
    """Set when the mirror runs, and the next time; ValidationError where that is no schedule."""
    cron = " ".join(cron.split())
    try:
        schedule.check(cron, zone)
    except ValueError as error:
        # Only the sentence about the zone names it; all others are about the five fields.
        field = "cron_timezone" if "time zone" in str(error) else "cron"
        raise field_error(field, str(error)) from error
    # An edit that repeats the schedule must not move a run that is due right now.
    if (cron, zone) != (mirror.cron, mirror.cron_timezone) or mirror.next_run_at is None:
        mirror.next_run_at = schedule.next_fire(cron, zone, timezone.now())
    mirror.cron, mirror.cron_timezone = cron, zone


def apply_changes(mirror: Mirror, body: Body, problems: Problems) -> None:
    """Give the mirror the name, schedule and filter of the body, where it has them."""
    for key, value, label in (
        ("mirror_mode", mirror.mode, "mode"),
        ("mirror_type", mirror.kind, "type"),
    ):
        with problems.collected():
            _check_unchanged(body, key, value, label)
    if body.get("mirror_name") is not None and body["mirror_name"] != mirror.name:
        with problems.collected():
            set_name(mirror, body["mirror_name"])
    if body.get("cron") is not None or body.get("cron_timezone") is not None:
        cron = mirror.cron if body.get("cron") is None else body["cron"]
        with problems.collected():
            set_schedule(mirror, cron, body.get("cron_timezone") or mirror.cron_timezone)
    if body.get("replaced_files") is not None:
        with problems.collected():
            set_replaced_files(mirror, mirror.kind, body["replaced_files"])
    terms = terms_of(body, mirror.filter.terms)
    if terms is not None:
        with problems.collected():
            filters = filter_forms.validated(terms, "mirror", mirror.kind)
            filter_forms.save_filter(mirror.filter, filters, by="mirror", kind=mirror.kind)


def link_source(mirror: Mirror, body: Body, *, actor: Caller | None) -> None:
    """Note which channel of this server the mirror reads, and for whom."""
    use = form_warnings.source_use(mirror)
    more_readers = body.get(readership.FIELD)
    if use is not None:
        readership.link(use, more_readers=more_readers, actor=actor)
    elif more_readers:
        message = "This is about sources that are channels of this server."
        raise field_error(readership.FIELD, message)


def _check_unchanged(body: Body, key: str, value: str, label: str) -> None:
    if body.get(key) not in (None, value):
        raise field_error(key, f"The {label} of a mirror never changes; create another mirror.")
