"""Tags of the pages about advisories: marks with a score, a status, or what nobody knows."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from advisories.formats.scores import ScoreVersion, Severity
from advisories.formats.statement import Status
from web.templatetags.ui import icon

register = template.Library()

# No band is green: a low score, or none at all, does not say that a file is safe.
COLOURS = {
    Severity.CRITICAL: "red",
    Severity.HIGH: "orange",
    Severity.MEDIUM: "azure",
    Severity.LOW: "secondary",
    Severity.NONE: "secondary",
    Severity.UNKNOWN: "secondary",
}
STATUS_PICTURES = {
    Status.REPORTED: "circle-dashed",
    Status.ACTIVE: "alert-circle",
    Status.MITIGATED: "shield",
    Status.CLEARED: "circle-check",
    Status.DISPUTED: "help-circle",
}


@register.simple_tag
def severity(band: str, score: float | None = None, *, malware: bool = False) -> SafeString:
    """The band of a score as a word with the score; malware has none, and is worse."""
    if malware:
        return _badge("red", "alert-triangle", "Malware")
    word = "No score" if band == Severity.UNKNOWN else band.capitalize()
    text = word if score is None else f"{score:.1f} {word}"
    return _badge(COLOURS[Severity(band)], "alert-circle", text)


@register.simple_tag
def status(value: str) -> SafeString:
    """What people found out."""
    return _badge("secondary", STATUS_PICTURES[Status(value)], value.capitalize())


@register.simple_tag
def mark(item: dict[str, object]) -> SafeString | str:
    """What advisories say of a package or a file: an item of the API."""
    # First: where no source covers a package, that it has no advisory says nothing.
    if not item["advisory_data"]:
        return format_html('<span class="text-secondary">{}</span>', "No advisory data")
    if not item["cve_status"]:
        return format_html('<span class="text-secondary">{}</span>', "None known")
    count, score = item["cve_count"], item["cve_score"]
    # What is cleared or mitigated does not count, so it has a status and no score.
    shown = format_html(
        "{} {}",
        severity(
            str(item["cve_severity"]),
            score if isinstance(score, float) else None,
            malware=bool(item["malware"]),
        )
        if count
        else "",
        status(str(item["cve_status"])),
    )
    return format_html('<span class="marks">{}</span>', shown)


@register.filter
def cvss(version: str) -> str:
    """Where a score comes from."""
    if not version:
        return "no source states a score"
    return "by the severity in words" if version == ScoreVersion.WORD else f"CVSS {version}"


def _badge(colour: str, picture: str, text: str) -> SafeString:
    return format_html(
        '<span class="badge bg-{0} text-{0}-fg">{1} {2}</span>', colour, icon(picture), text
    )
