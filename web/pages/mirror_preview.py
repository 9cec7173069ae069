"""Parts of the mirror form: Test connection, Preview, and the checks while people type.

Nothing here saves a mirror or touches its channel.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

from accounts.caller import Caller
from accounts.disconnect import disconnect_check
from accounts.permissions import Level
from channels import filter_forms
from channels.models import Channel
from channels.states import JobState
from ecosystems.errors import EcosystemError, SpecError
from filters.rules import conflicts
from filters.rules.form import SPEC_LISTS, kind_of
from mirrors import cron as schedule
from mirrors import form_fields, source_urls
from mirrors.models import Mirror, MirrorType, Preview, Upstream
from runs import connection_test, preview
from web.pages.channel_forms import add_errors
from web.pages.guards import signed_in, user_of
from web.pages.mirror_access import channel_for_mirrors
from web.pages.mirror_forms import CUSTOM, MirrorForm
from web.pages.rendering import render
from web.pages.spec_lists import split

# Three times show the rhythm of a schedule.
NEXT_TIMES = 3
MAX_PROBLEMS = 20
MAX_EXAMPLES = 20


@signed_in
@require_POST
def connection_result(request: HttpRequest, c: str, s: str | None = None) -> HttpResponse:
    """Whether the URL in the form is a source, and of which type."""
    channel = channel_for_mirrors(request, c, s, level=Level.WRITE)
    form = submitted_form(request, channel)
    form.is_valid()
    context: dict[str, Any] = {
        "problems": form_problems(form, ("source_root", "proxy", "mirror_type"))
    }
    if not context["problems"]:
        context["type"] = MirrorType(form.kind).label
        try:
            upstream = _upstream(request, form, channel)
            findings = connection_test.probe(
                upstream, user_of(request), is_disconnected=disconnect_check(request)
            )
        except ValidationError as error:
            context["problems"] = [(None, text) for text in error.messages]
        except EcosystemError as error:
            context["problems"] = [(None, str(error))]
        else:
            context["findings"] = findings
            if findings["found_type"] not in (None, form.kind):
                context["other"] = MirrorType(findings["found_type"]).label
    return render(request, "mirrors/test.html", context)


@signed_in
@require_POST
def check(request: HttpRequest, c: str, s: str | None = None) -> HttpResponse:
    """What the form means so far: specs that cannot be read, conflicts, when it would run."""
    channel = channel_for_mirrors(request, c, s, level=Level.WRITE)
    form = submitted_form(request, channel)
    # The form is half filled in while people type: only what has been typed is judged.
    form.is_valid()
    lists = ("only_specs", "exclude_specs", "include_specs")
    context = {
        "unreadable": {name: _unreadable(form, name) for name in lists},
        "conflicts": _conflicts(form, channel),
        **_schedule_in_words(form),
    }
    return render(request, "mirrors/check.html", context)


@signed_in
@require_POST
def start(request: HttpRequest, c: str, s: str | None = None) -> HttpResponse:
    """Start a preview of the form, checked as if it were saved."""
    channel = channel_for_mirrors(request, c, s, level=Level.WRITE)
    form = submitted_form(request, channel)
    # A preview saves nothing, so it needs no name yet.
    if form.is_valid() or set(form.errors) <= {"mirror_name"}:
        try:
            row = preview.begin(
                channel, form.body(), asker=Caller(user_of(request)), mirror=form.mirror
            )
        except ValidationError as error:
            add_errors(form, error)
        else:
            return _preview_panel(request, channel, row)
    problems = form_problems(form, [name for name in form.errors if name != "mirror_name"])
    return render(request, "mirrors/preview.html", {"problems": problems, "channel": channel})


@signed_in
def progress(request: HttpRequest, number: int, c: str, s: str | None = None) -> HttpResponse:
    """The progress of a preview, then its result."""
    channel = channel_for_mirrors(request, c, s, level=Level.WRITE)
    return _preview_panel(request, channel, _own_preview(request, channel, number))


@signed_in
@require_POST
def cancel(request: HttpRequest, number: int, c: str, s: str | None = None) -> HttpResponse:
    """End a preview."""
    channel = channel_for_mirrors(request, c, s, level=Level.WRITE)
    row = _own_preview(request, channel, number)
    preview.cancel(row)
    row.refresh_from_db()
    return _preview_panel(request, channel, row)


def _preview_panel(request: HttpRequest, channel: Channel, row: Preview) -> HttpResponse:
    context: dict[str, object] = {"preview": row, "channel": channel, "result": row.result}
    if row.state == JobState.COMPLETED:
        count = row.result["count"]
        examples = row.result["examples"]
        reasons = [
            (by, rule, number, examples.get(f"{by}.{rule}", [])[:MAX_EXAMPLES])
            for by in ("mirror", "channel")
            for rule, number in count[f"{by}_filtered"].items()
            if number
        ]
        context["reasons"] = reasons
        context["filtered_out"] = sum(number for _, _, number, _ in reasons)
        context["changes"] = [
            (label, row.result[key], examples.get(key, [])[:MAX_EXAMPLES])
            for key, label in (("added", "Added"), ("replaced", "Replaced"), ("removed", "Removed"))
        ]
        context["active"] = row.body["mode"] == Mirror.Mode.ACTIVE
    return render(request, "mirrors/preview.html", context)


def _own_preview(request: HttpRequest, channel: Channel, number: int) -> Preview:
    # Of this user only: a preview can show the packages of a source that others may not read.
    rows = Preview.objects.filter(pk=number, channel=channel, asker=user_of(request))
    row = rows.first()
    if row is None or not preview.may_see(row, Caller(user_of(request))):
        raise Http404("This preview no longer exists.")
    return row


def submitted_form(request: HttpRequest, channel: Channel) -> MirrorForm:
    """The form as it was sent, of the mirror that is edited if it names one."""
    text = request.POST.get("mirror", "")
    rows = Mirror.objects.filter(channel=channel, deleted_at=None)
    rows = rows.select_related("upstream__channel", "filter", "owner")
    # 18 digits: more may exceed a bigint.
    mirror = rows.filter(pk=int(text[:18])).first() if text.isdecimal() else None
    return MirrorForm(request.POST, mirror=mirror)


def _upstream(request: HttpRequest, form: MirrorForm, channel: Channel) -> Upstream:
    """The upstream that the form describes, not saved."""
    # With the saved one beside it: *** in a URL stands for its credentials.
    saved = form.mirror.upstream if form.mirror else None
    owner = form.mirror.owner if form.mirror else user_of(request)
    body = {key: form.cleaned_data[key] for key in ("source_root", "proxy")}
    actor = Caller(user_of(request))
    source, proxy = form_fields.check_source(
        body, channel=channel, owner=owner, actor=actor, stored=saved
    )
    return source_urls.upstream_for(form.kind, source, proxy, save=False)


def form_problems(form: MirrorForm, names: Iterable[str]) -> list[tuple[str | None, str]]:
    """The errors of these fields, (label, sentence) each; no label for those of the whole form."""
    return [
        (str(form.fields[name].label) if name in form.fields else None, str(text))
        for name in names
        for text in form.errors.get(name, [])
    ]


def _unreadable(form: MirrorForm, name: str) -> list[tuple[str, str]]:
    """The entries of a list that are no specs, each with the parser's message."""
    if name == "only_specs" and not form.data.get("only"):
        return []
    read = filter_forms.spec_of(form.kind)
    unreadable: list[tuple[str, str]] = []
    for entry in split(form.data.get(name, "")):
        try:
            read(entry)
        except SpecError as error:
            unreadable.append((entry, str(error)))
            if len(unreadable) == MAX_PROBLEMS:
                break
    return unreadable


def _conflicts(form: MirrorForm, channel: Channel) -> list[str]:
    """Where the form's filter and the channel's leave nothing, and lists that exclude others."""
    data = form.cleaned_data
    sentences = []
    if data.get("only") and (data.get("exclude_specs") or data.get("include_specs")):
        sentences.append(
            "“Only include the following package names” cannot be combined with other lists: clear "
            "Exclude Packages and Include Packages, or clear its check box."
        )
    try:
        normalized = filter_forms.validated(_filter_so_far(form), "mirror", form.kind)
    except ValidationError:
        # The errors are shown at their fields.
        return sentences
    mirror_rules = filter_forms.compiled_rules(normalized, "mirror", form.kind)
    channel_rules = [
        filter_forms.compiled_rules(row.terms, "channel", form.kind) for row in channel.filters
    ]
    return sentences + conflicts(mirror_rules, channel_rules, kind=kind_of(form.kind) or "")


def _filter_so_far(form: MirrorForm) -> dict[str, Any]:
    """The filter as far as it is filled in."""
    # Fields with errors have no cleaned value.
    for name in (*SPEC_LISTS, "date_from", "date_to", "only"):
        form.cleaned_data.setdefault(name, None)
    for name in form.fields:
        form.cleaned_data.setdefault(name, None)
    filters = form.filter_terms()
    if filters.get("only_specs"):
        # The combination is refused, and has its own sentence; the rest can still be compared.
        filters |= {"exclude_specs": [], "include_specs": []}
    return filters


def _schedule_in_words(form: MirrorForm) -> dict[str, object]:
    """The frequency in words, and when it fires next."""
    frequency = form.data.get("frequency", "")
    cron = form.data.get("cron", "") if frequency in ("", CUSTOM) else frequency
    cron = " ".join(cron.split())
    zone = form.data.get("cron_timezone") or str(form.initial["cron_timezone"])
    if not cron:
        return {"cron": ""}
    try:
        schedule.check(cron, zone)
    except ValueError as error:
        return {"cron": cron, "cron_problem": str(error)}
    times = schedule.next_times(cron, zone, datetime.now(UTC), NEXT_TIMES)
    return {
        "cron": cron,
        "cron_words": schedule.describe(cron),
        "zone": zone,
        "times": [f"{moment.astimezone(ZoneInfo(zone)):%a %Y-%m-%d %H:%M}" for moment in times],
        "often": schedule.more_often_than_daily(cron),
    }
