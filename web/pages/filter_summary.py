"""A channel's filters in words, as the forms of its mirrors show them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from channels.models import Channel

FILTER_LABELS = {
    "types": "Package types",
    "subdirs": "Platforms",
    "projects": "Only these projects",
    "only_specs": "Only these packages",
    "exclude_specs": "Exclude Packages",
    "exclude_licenses": "Exclude Licenses",
    "include_specs": "Include Packages",
    "include_licenses": "Include Licenses",
    "cve_score_threshold": "Highest CVE score",
    "cve_unknown": "Vulnerabilities without a score",
    "exclude_non_curated_cve": "Unreviewed vulnerabilities",
    "cve_statuses_excluded": "Excluded CVE statuses",
    "exclude_malware": "Malware",
    "date_from": "Built from",
    "date_to": "Built until",
    "minimum_age_days": "Minimum age in days",
    "age_exceptions": "Exceptions from the minimum age",
    "keep_legacy": "Keep Legacy Packages",
}
_WITHOUT_EFFECT: dict[str, object] = {"minimum_age_days": 0, "cve_unknown": "include"}
# A list may have 100,000 entries; the settings of the channel show all of them.
MAX_ENTRIES = 20


@dataclass(frozen=True)
class FilterSummary:
    """The filters of one channel: (label, value) each."""

    channel: str
    lines: list[tuple[str, str]]


def channel_filters(channel: Channel) -> list[FilterSummary]:
    """The filters that apply to the channel's mirrors: its own, then its parent's."""
    summaries = [FilterSummary(channel.path, lines(channel.filter.terms))]
    if channel.parent:
        summaries.append(FilterSummary(channel.parent.path, lines(channel.parent.filter.terms)))
    return summaries


def lines(terms: Mapping[str, object]) -> list[tuple[str, str]]:
    """The conditions of a filter, (label, value) each; none for a field that is not set."""
    return [
        (label, _value(terms[key]))
        for key, label in FILTER_LABELS.items()
        # 0 is a value: the highest CVE score that some channels allow.
        if terms.get(key) is not False
        and terms.get(key) not in (None, "", [])
        and (key not in _WITHOUT_EFFECT or terms[key] != _WITHOUT_EFFECT[key])
    ]


def _value(value: object) -> str:
    if isinstance(value, list):
        more = f" and {len(value) - MAX_ENTRIES:,} more" if len(value) > MAX_ENTRIES else ""
        return ", ".join(map(_entry, value[:MAX_ENTRIES])) + more
    return "excluded" if value is True else str(value)


def _entry(value: object) -> str:
    if not isinstance(value, Mapping):
        return str(value)
    # An exception from the minimum age.
    last = value.get("expires_at")
    return f"{value['spec']} until {last}" if last else str(value["spec"])
