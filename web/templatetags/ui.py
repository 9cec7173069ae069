"""Tags of the pages that write HTML: icons, badges, times, navigation, dialogs, columns."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import urlencode

from django import template
from django.db.models import TextChoices
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import now

from accounts.access import can
from accounts.permissions import Attribute, Level
from channels.models import Channel
from channels.states import JobState
from mirrors.models import Mirror, RunOutcome
from publishing.outcomes import State
from web.labels import STATE_LABELS
from web.pages.rendering import DIALOG

register = template.Library()

LOOKS: dict[TextChoices, tuple[str, str]] = {
    JobState.PENDING: ("hourglass", "secondary"),
    JobState.RUNNING: ("player-play", "blue"),
    JobState.STOPPING: ("loader-2", "orange"),
    JobState.STOPPED: ("player-stop", "secondary"),
    JobState.COMPLETED: ("circle-check", "green"),
    RunOutcome.ERRORS: ("alert-triangle", "orange"),
    JobState.FAILED: ("circle-x", "red"),
    Channel.Privacy.PUBLIC: ("world", "green"),
    Channel.Privacy.AUTHENTICATED: ("key", "blue"),
    Channel.Privacy.PRIVATE: ("lock", "secondary"),
    Mirror.Mode.ACTIVE: ("cloud-download", "blue"),
    Mirror.Mode.PASSIVE: ("cloud", "secondary"),
}
"""Icon and colour of what has its words already."""
BADGES = {
    # state or word: (icon, colour, label)
    **{str(value): (*look, str(value.label)) for value, look in LOOKS.items()},
    "held": ("shield", "orange", "Held"),
    "frozen": ("snowflake", "azure", "Frozen"),
    "downloaded": ("check", "green", STATE_LABELS[State.PRESENT]),
    "on demand": ("cloud", "secondary", STATE_LABELS[State.ON_DEMAND]),
    "missing": ("clock", "orange", STATE_LABELS[State.MISSING]),
    "kept": ("check", "green", "Available"),
    "left_out": ("x", "red", STATE_LABELS[State.EXCLUDED]),
    "current": ("check", "green", "Current"),
    "pinned": ("pin", "blue", "Pinned"),
    "rollback": ("arrow-back-up", "orange", "Rollback"),
    "disabled": ("x", "secondary", "Disabled"),
    "enabled": ("check", "green", "Enabled"),
    "expired": ("clock", "red", "Expired"),
    "publishing": ("loader-2", "blue", "Publishing"),
    "never run": ("hourglass", "secondary", "Never run"),
}
STEPS = (
    # 365.25 days, and a twelfth of them.
    ("year", 31_557_600),
    ("month", 2_629_800),
    ("day", 86_400),
    ("hour", 3_600),
    ("minute", 60),
)


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """A picture of the sprite; decoration unless `label` gives it a name."""
    sprite = static("vendor/icons.svg")
    if label:
        return format_html(
            '<svg class="icon" role="img" aria-label="{}"><use href="{}#{}"/></svg>',
            label,
            sprite,
            name,
        )
    return format_html(
        '<svg class="icon" aria-hidden="true" focusable="false"><use href="{}#{}"/></svg>',
        sprite,
        name,
    )


@register.simple_tag
def badge(state: str, label: str = "") -> SafeString:
    """A state as icon and word, never by colour alone."""
    picture, colour, usual = BADGES.get(state, ("info-circle", "secondary", state))
    return format_html(
        '<span class="badge bg-{0} text-{0}-fg">{1} {2}</span>',
        colour,
        icon(picture),
        label or usual,
    )


@register.simple_tag
def when(moment: datetime | str | None, otherwise: str = "never") -> SafeString | str:
    """A time in relative words; the exact one (UTC) in its title."""
    # Items of the API have their times as texts.
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment) if moment else None
    if moment is None:
        return otherwise
    moment = moment.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        moment.isoformat(timespec="seconds"),
        f"{moment:%Y-%m-%d %H:%M:%S} UTC",
        _relative(moment),
    )


@register.simple_tag
def exactly(moment: datetime | str | None, otherwise: str = "–") -> SafeString | str:
    """A time written out in UTC; the relative words in its title."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment) if moment else None
    if moment is None:
        return otherwise
    moment = moment.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        moment.isoformat(timespec="seconds"),
        _relative(moment),
        f"{moment:%Y-%m-%d %H:%M:%S} UTC",
    )


def _relative(moment: datetime) -> str:
    seconds = int((now() - moment).total_seconds())
    ahead, seconds = seconds < 0, abs(seconds)
    for unit, length in STEPS:
        if seconds >= length:
            count = seconds // length
            words = f"{count:,} {unit}{'s' if count > 1 else ''}"
            return f"in {words}" if ahead else f"{words} ago"
    return "in a moment" if ahead else "just now"


@register.filter
def over(day: date | None) -> bool:
    """Whether this day is over."""
    return day is not None and day < datetime.now(UTC).date()


@register.simple_tag(takes_context=True)
def menu(context: dict[str, Any]) -> list[dict[str, Any]]:
    """The entries of the navigation that this user may open."""
    request: HttpRequest = context["request"]
    path = request.path
    entries = [
        ("Dashboard", "dashboard", "home", True),
        ("Channels", "channels", "stack-2", True),
        (
            "All Repository Mirrors",
            "all-mirrors",
            "refresh",
            can(request.user, Attribute.MIRROR, Level.MANAGE),
        ),
        ("CVEs", "cves", "shield-check", can(request.user, Attribute.CVE, Level.READ)),
        ("Users", "users", "users", can(request.user, Attribute.ROLES, Level.MANAGE)),
        ("Roles", "roles", "shield", can(request.user, Attribute.ROLES, Level.MANAGE)),
    ]
    visible = []
    for label, name, picture, allowed in entries:
        address = _address(name) if allowed else ""
        if address:
            # Every path starts with the dashboard's.
            current = path == address if address == "/" else path.startswith(address)
            visible.append({"label": label, "url": address, "icon": picture, "current": current})
    return visible


def _address(name: str) -> str:
    """The address of a page, "" where this server has no such page."""
    try:
        return reverse(name)
    except NoReverseMatch:
        return ""


@register.simple_tag
def dialog(address: str) -> SafeString:
    """Attributes of a link whose page opens as a dialog where scripts run."""
    return format_html(
        'href="{0}" hx-get="{0}" hx-target="#{1}" hx-swap="innerHTML" hx-push-url="false"'
        ' aria-haspopup="dialog"',
        address,
        DIALOG,
    )


@register.simple_tag(takes_context=True)
def sorting(context: dict[str, Any], key: str, label: str, current: str) -> SafeString:
    """A column's head that sorts by it, and turns the order when it is clicked again."""
    request: HttpRequest = context["request"]
    query = request.GET.copy()
    # Another order begins at its first page.
    query.pop("page", None)
    upwards, downwards = current == key, current == f"-{key}"
    query["sort"] = f"-{key}" if upwards else key
    picture = "sort-ascending" if upwards else "sort-descending" if downwards else "arrows-sort"
    order = "ascending" if upwards else "descending" if downwards else "none"
    return format_html(
        '<th scope="col" aria-sort="{}"><a class="sorting" href="?{}">{} {}</a></th>',
        order,
        query.urlencode(),
        label,
        icon(picture),
    )


@register.simple_tag
def address_with(address: str, **query: object) -> str:
    """An address with a query; empty values are left out."""
    nonempty = {key: value for key, value in query.items() if value not in (None, "")}
    return f"{address}?{urlencode(nonempty)}" if nonempty else address
