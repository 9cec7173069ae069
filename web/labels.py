"""The words that pages show for what the API calls by its own names: one table for each."""

from __future__ import annotations

from filters.rules.model import Rule
from publishing.outcomes import State

RULE_LABELS: dict[str, str] = {
    Rule.MALWARE: "Malware",
    Rule.CVE: "CVE Filters",
    Rule.DATE: "Date Range",
    Rule.SIGNED: "Signatures",
    Rule.LICENSE: "Excluded licenses",
    Rule.ONLY_SPECS: "Not in the include list",
    Rule.EXCLUDE_SPECS: "Exclude Packages",
    Rule.SUBDIRS: "Platforms",
    Rule.AGE: "Minimum age",
    Rule.LEGACY: "Legacy packages (.tar.bz2 beside .conda)",
    Rule.INVALID: "Invalid records of the source",
    Rule.UNHASHED: "Files without a hash",
    Rule.FILE_FORMAT: "File formats",
    Rule.PYTHON_VERSION: "Python versions",
    Rule.PLATFORM_TAG: "Platform tags",
    Rule.NEWEST: "Older than the newest versions",
    Rule.SIZE: "Larger than the largest size",
    Rule.TYPE: "Package types",
    Rule.DUPLICATE: "Provided by another mirror of the channel",
    Rule.REPLACED: "Replaced files that are held",
}
"""Why a file is filtered out, in the words of the form."""
FAILED = "failed"
STATE_LABELS: dict[str, str] = {
    State.PRESENT: "Downloaded",
    State.ON_DEMAND: "On demand",
    State.MISSING: "Not downloaded yet",
    State.STAYS: "Kept although the source removed it",
    State.EXCLUDED: "Filtered out",
    # Not what a file became: what a run could not fetch. Lists of a run have both.
    FAILED: "Failed to mirror",
}
"""What became of a file."""


def filtered_by(level: str) -> str:
    """The words for all that the filter of a `mirror` or a `channel` leaves out."""
    return f"Filtered out by the {level}"


def outcome_label(key: str) -> str:
    """An `Outcome.key`, `failed`, or the beginning `mirror.` or `channel.` as people read it."""
    level, _, rule = key.partition(".")
    if level in ("mirror", "channel"):
        return (
            f"{filtered_by(level)}: {RULE_LABELS.get(rule, rule)}" if rule else filtered_by(level)
        )
    return STATE_LABELS.get(key, "All files that the source lists")
