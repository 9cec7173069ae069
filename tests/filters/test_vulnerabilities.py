"""The rules on advisories: by score, by a missing score, by status, and malware."""

from __future__ import annotations

from typing import Any

import pytest

from advisories.formats.scores import ScoreVersion
from advisories.formats.statement import Status
from advisories.matching.facts import Match
from filters.rules import Reason, judge
from filters.rules.vulnerabilities import looks_at_scores, unscored_names
from tests.filters.records import channel, facts, match, mirror, numpy

MALWARE = match(id="MAL-2024-7", malware=True)


def reason(filters: dict[str, Any], *matches: Match) -> Reason | None:
    [found] = judge(
        "linux-64", "numpy", [numpy()], mirror=mirror(**filters), channels=[], kind="conda",
        advisories=lambda _: facts(*matches),
    )  # fmt: skip
    return found


@pytest.mark.parametrize(
    ("filters", "matches", "rule", "words"),
    [
        ({"cve_score_threshold": 7}, [match(7.0)], None, ""),
        ({"cve_score_threshold": 7}, [match(7.1)], "cve",
         "CVE-2024-1 (score 7.1, CVSS 3.1) is above 7, status reported"),
        ({"cve_score_threshold": 7}, [match(7.1), match(9.8, id="CVE-2"), match(3.0)], "cve",
         "CVE-2 (score 9.8, CVSS 3.1) is above 7, status reported, and 1 more"),
        ({"cve_score_threshold": 7}, [match(9.0, version=ScoreVersion.WORD)], "cve",
         "(score 9, by severity)"),
        ({"cve_score_threshold": 7}, [match()], None, ""),
        ({"cve_score_threshold": 10}, [match(10.0)], None, ""),
        ({"cve_score_threshold": 0}, [match(0.1)], "cve", "above 0"),
        ({"cve_score_threshold": 0}, [match(9.8, Status.CLEARED)], None, ""),
        ({"cve_score_threshold": 0}, [match(9.8, Status.MITIGATED)], None, ""),
        ({"cve_score_threshold": 0}, [match(9.8, Status.DISPUTED)], "cve", "status disputed"),
        ({"cve_score_threshold": 7, "cve_unknown": "exclude"}, [match()], "cve",
         "CVE-2024-1 (no score) has no score"),
        ({"cve_unknown": "exclude"}, [match(1.0)], None, ""),
        ({"cve_unknown": "exclude"}, [match(status=Status.CLEARED)], None, ""),
        ({"cve_unknown": "exclude", "exclude_malware": False}, [MALWARE], None, ""),
        ({"exclude_non_curated_cve": True}, [match(1.0)], "cve", "is not reviewed yet"),
        ({"exclude_non_curated_cve": True}, [match(9.9, Status.ACTIVE)], None, ""),
        ({"exclude_non_curated_cve": True}, [match(9.9, Status.ACTIVE), match(0.1)], "cve", ""),
        ({"cve_statuses_excluded": ["active"]}, [match(1.0, Status.ACTIVE)], "cve",
         "has an excluded status, status active"),
        ({"cve_statuses_excluded": ["active"]}, [match(9.0)], None, ""),
        ({"cve_statuses_excluded": ["cleared"]}, [match(9.0, Status.CLEARED)], "cve", ""),
        ({}, [match(10.0)], None, ""),
        ({}, [MALWARE], "malware", "MAL-2024-7 reports it as malware, status reported"),
        ({}, [match(id="MAL-1", malware=True, status=Status.CLEARED)], None, ""),
        ({"exclude_malware": False}, [MALWARE], None, ""),
        ({"cve_score_threshold": 0}, [match(9.9), MALWARE], "malware", ""),
    ],
)  # fmt: skip
def test_advisories_keep_or_reject(
    filters: dict[str, Any], matches: list[Match], rule: str | None, words: str
) -> None:
    found = reason(filters, *matches)
    if rule is None:
        assert found is None
        return
    assert found is not None
    assert found.rule == rule
    assert words in found.detail


def test_only_these_rules_need_more_than_malware() -> None:
    assert not looks_at_scores(mirror())
    for filters in (
        {"cve_score_threshold": 0},
        {"cve_unknown": "exclude"},
        {"exclude_non_curated_cve": True},
        {"cve_statuses_excluded": ["active"]},
    ):
        assert looks_at_scores(mirror(**filters))
        assert looks_at_scores(channel(**filters))


def test_what_nobody_has_scored_is_named() -> None:
    matches = (match(), match(5.0, id="CVE-2"), match(id="CVE-3", status=Status.CLEARED), MALWARE)
    assert unscored_names(facts(*matches)) == ["CVE-2024-1"]
