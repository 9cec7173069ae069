"""The rules on vulnerabilities and malware: what advisories say of a file, against the form.

What they say comes in as data (`FileAdvisories`); this module knows no source of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Protocol

from ecosystems.records import Record
from filters.rules.model import Reason, Rule, Rules


class CvssScore(Protocol):
    """A score from 0 to 10, and the version of CVSS that it is of."""

    @property
    def value(self) -> float: ...
    @property
    def version(self) -> StrEnum: ...


class AdvisoryMatch(Protocol):
    """One advisory that affects a file."""

    @property
    def id(self) -> str: ...
    @property
    def status(self) -> StrEnum: ...
    @property
    def score(self) -> CvssScore | None: ...
    @property
    def malware(self) -> bool: ...
    @property
    def counts(self) -> bool:
        """Whether it counts against the file: neither cleared nor mitigated."""


class FileAdvisories(Protocol):
    """All advisories that affect a file."""

    @property
    def matches(self) -> Sequence[AdvisoryMatch]: ...


Lookup = Callable[[Record], FileAdvisories]
"""What is known of a file."""
Check = Callable[[Record], Reason | None]

REPORTED = "reported"
"""The status that says that nobody has looked at the advisory yet."""


def looks_at_scores(rules: Rules) -> bool:
    """Whether a rule looks at scores or statuses, so that all advisories are to be known."""
    return bool(
        rules.cve_score is not None
        or rules.exclude_unscored
        or rules.reviewed_only
        or rules.excluded_statuses
    )


def unscored_names(advisories: FileAdvisories) -> list[str]:
    """The advisories that count against the file and that no source gives a score or severity."""
    return [
        match.id
        for match in advisories.matches
        # Malware never has a score; its own rule decides on it.
        if match.score is None and match.counts and not match.malware
    ]


def malware_check(rules: Rules, lookup: Lookup) -> Check:
    """Excludes what an advisory reports as malware, whatever its score."""

    def check(record: Record) -> Reason | None:
        for match in lookup(record).matches:
            if match.malware and match.counts:
                detail = f"{match.id} reports it as malware, status {match.status}"
                return Reason(rules.by, Rule.MALWARE, detail)
        return None

    return check


def cve_check(rules: Rules, lookup: Lookup) -> Check:
    """Excludes by score, by a missing score, and by status."""

    def check(record: Record) -> Reason | None:
        matches = lookup(record).matches
        if not matches:
            return None
        # The gravest reason first: people read one sentence.
        detail = (
            _above(rules, matches)
            or _unscored(rules, matches)
            or _unreviewed(rules, matches)
            or _of_status(rules, matches)
        )
        return Reason(rules.by, Rule.CVE, detail) if detail else None

    return check


def describe(match: AdvisoryMatch) -> str:
    """An advisory with its score, and with the version that the score is of."""
    if match.score is None:
        return f"{match.id} (no score)"
    of = str(match.score.version)
    source = "by severity" if of == "severity" else f"CVSS {of}"
    return f"{match.id} (score {match.score.value:g}, {source})"


def _above(rules: Rules, matches: Sequence[AdvisoryMatch]) -> str:
    limit = rules.cve_score
    if limit is None:
        return ""
    above = [
        (match.score.value, match)
        for match in matches
        if match.counts and match.score is not None and match.score.value > limit
    ]
    if not above:
        return ""
    # The first of equal scores, so that the words are the same at every publication.
    _, worst = max(above, key=lambda pair: pair[0])
    return _sentence(worst, f"is above {limit:g}", len(above) - 1)


def _unscored(rules: Rules, matches: Sequence[AdvisoryMatch]) -> str:
    if not rules.exclude_unscored:
        return ""
    unscored = [
        match for match in matches if match.counts and match.score is None and not match.malware
    ]
    return _sentence(unscored[0], "has no score", len(unscored) - 1) if unscored else ""


def _unreviewed(rules: Rules, matches: Sequence[AdvisoryMatch]) -> str:
    if not rules.reviewed_only:
        return ""
    unreviewed = [match for match in matches if match.status == REPORTED]
    if not unreviewed:
        return ""
    return _sentence(unreviewed[0], "is not reviewed yet", len(unreviewed) - 1)


def _of_status(rules: Rules, matches: Sequence[AdvisoryMatch]) -> str:
    excluded = [match for match in matches if match.status in rules.excluded_statuses]
    return _sentence(excluded[0], "has an excluded status", len(excluded) - 1) if excluded else ""


def _sentence(match: AdvisoryMatch, problem: str, others: int) -> str:
    more = f", and {others} more" if others else ""
    return f"{describe(match)} {problem}, status {match.status}{more}"
