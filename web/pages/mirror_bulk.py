"""Pages: stop, run or delete several mirrors at once, with the outcome of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from accounts.caller import Caller
from accounts.permissions import Attribute, Level
from accounts.redirects import local_url
from channels.errors import WrongState
from channels.states import JobState
from mirrors import run_control, services
from mirrors.models import Cause, Mirror
from web.pages import mirror_rows
from web.pages.channel_frame import channel_url
from web.pages.guards import require_level, signed_in, user_of
from web.pages.mirror_access import channel_for_mirrors, may_write
from web.pages.rendering import confirm, render

# All are done within one request, each in its own transaction: that must end some time.
MAX_MIRRORS = 1000
MAX_NAMES = 5


@dataclass(frozen=True)
class Outcome:
    name: str
    channel: str
    done: bool
    message: str


@dataclass(frozen=True)
class Action:
    """One of the things that can be done with several mirrors."""

    verb: str
    ask: str
    losses: str
    do: Callable[[Mirror, str], Outcome]
    runs: bool = False
    """Whether the mirror then reads its source, which the user must be allowed to read, too."""


@signed_in
def of_channel(request: HttpRequest, c: str, s: str | None = None) -> HttpResponse:
    """Several mirrors of one channel."""
    channel = channel_for_mirrors(request, c, s, level=Level.WRITE)
    list_url = channel_url(channel, "channel-mirrors")
    return _bulk(request, mirror_rows.all_mirrors().filter(channel=channel), list_url)


@signed_in
def of_all(request: HttpRequest) -> HttpResponse:
    """Several mirrors of all channels."""
    require_level(request, Attribute.MIRROR, Level.MANAGE)
    return _bulk(request, mirror_rows.visible_mirrors(request.user), reverse("all-mirrors"))


def _bulk(request: HttpRequest, permitted: QuerySet[Mirror], list_url: str) -> HttpResponse:
    back = local_url(request, request.GET.get("next"), list_url)
    action = ACTIONS.get(request.GET.get("do", ""))
    if action is None:
        raise PermissionDenied("Choose an action: stop, run or delete.")
    mirrors = list(_selected(request, permitted))
    if not mirrors:
        return render(request, "mirrors/bulk_none.html", {"back": back, "ask": action.ask})
    if request.method == "POST":
        outcomes = [_apply(request, action, mirror) for mirror in mirrors]
        done = sum(1 for outcome in outcomes if outcome.done)
        context = {"outcomes": outcomes, "back": back, "ask": action.ask, "done": done}
        return render(request, "mirrors/bulk_done.html", context)
    names = ", ".join(mirror.name for mirror in mirrors[:MAX_NAMES])
    more = f" and {len(mirrors) - MAX_NAMES:,} more" if len(mirrors) > MAX_NAMES else ""
    count = "1 mirror" if len(mirrors) == 1 else f"{len(mirrors):,} mirrors"
    return confirm(
        request,
        title=f"{action.ask} {count}?",
        losses=[f"{names}{more}.", action.losses],
        verb=f"{action.ask} {count}",
        back=back,
        danger=action.verb != "run",
    )


def _selected(request: HttpRequest, permitted: QuerySet[Mirror]) -> QuerySet[Mirror]:
    """The mirrors that are selected, or all that match the filters of the list."""
    if request.GET.get("all"):
        matching = mirror_rows.matching(permitted, request.GET)
        return mirror_rows.in_state(matching, request.GET.get("state", "")).order_by("name")[
            :MAX_MIRRORS
        ]
    # 18 digits: more may exceed a bigint.
    ids = [text for text in request.GET.getlist("mirror")[:MAX_MIRRORS] if text.isdecimal()]
    return permitted.filter(pk__in=[int(text[:18]) for text in ids]).order_by("name")


def _apply(request: HttpRequest, action: Action, mirror: Mirror) -> Outcome:
    """Do to one mirror what its own page would do, under the same permissions."""
    # Per mirror: the list of all mirrors has channels in which the user may only read.
    if not may_write(request, mirror.channel):
        return _outcome(mirror, "You don't have permission to change this mirror", done=False)
    if action.runs and not services.may_read_source(mirror, Caller(user_of(request))):
        return _outcome(mirror, services.NOT_READABLE, done=False)
    return action.do(mirror, user_of(request).get_username())


def _stop(mirror: Mirror, actor: str) -> Outcome:
    run = run_control.stop(mirror, actor=actor)
    if run is None:
        return _outcome(mirror, "Was not running", done=False)
    return _outcome(mirror, "Stopped" if run.state == JobState.STOPPED else "Stopping")


def _run(mirror: Mirror, actor: str) -> Outcome:
    try:
        run_control.request_run(mirror, cause=Cause.MANUAL, actor=actor)
    except WrongState as error:
        return _outcome(mirror, str(error), done=False)
    return _outcome(mirror, "Started")


def _delete(mirror: Mirror, actor: str) -> Outcome:
    name, channel = mirror.name, mirror.channel.path
    try:
        services.delete(mirror, actor=actor)
    except WrongState as error:
        return _outcome(mirror, str(error), done=False)
    return Outcome(name, channel, True, "Deleted")


def _outcome(mirror: Mirror, message: str, *, done: bool = True) -> Outcome:
    return Outcome(mirror.name, mirror.channel.path, done, message)


ACTIONS = {
    "stop": Action(
        "stop",
        "Stop",
        "Their runs end and finished downloads are kept. Mirrors that are not running do not "
        "change.",
        _stop,
    ),
    "run": Action("run", "Run", "Each starts as soon as a worker is free.", _run, True),
    "delete": Action(
        "delete",
        "Delete",
        "Packages that only they provide are removed from their channels. Their settings cannot "
        "be restored.",
        _delete,
    ),
}
