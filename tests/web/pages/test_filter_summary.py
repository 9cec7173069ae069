"""What the form of a mirror shows of the channel's filters."""

from __future__ import annotations

from filters.rules import normalized
from filters.rules.form import FIELDS
from filters.rules.slimming_form import MIRROR_FIELDS
from web.pages.filter_summary import FILTER_LABELS, lines


def test_a_threshold_of_zero_is_shown_and_fields_that_are_not_set_are_not() -> None:
    terms = {
        "cve_score_threshold": 0.0,
        "exclude_non_curated_cve": False,
        "only_specs": [],
        "date_from": None,
        "subdirs": ["noarch", "linux-64"],
    }
    assert lines(terms) == [("Platforms", "noarch, linux-64"), ("Highest CVE score", "0.0")]


def test_every_field_that_a_channel_may_set_has_a_label() -> None:
    assert set(FILTER_LABELS) == set(FIELDS) - set(MIRROR_FIELDS)


def test_of_a_channel_without_filters_only_the_refusal_of_malware_is_shown() -> None:
    assert lines(normalized({})) == [("Malware", "excluded")]


def test_a_minimum_age_is_shown_with_its_exceptions() -> None:
    terms = normalized(
        {
            "minimum_age_days": 7,
            "age_exceptions": [{"spec": "numpy", "expires_at": "2026-12-31"}, {"spec": "six"}],
            "cve_unknown": "exclude",
            "exclude_malware": False,
        }
    )
    assert lines(terms) == [
        ("Vulnerabilities without a score", "exclude"),
        ("Minimum age in days", "7"),
        ("Exceptions from the minimum age", "numpy until 2026-12-31, six"),
    ]
