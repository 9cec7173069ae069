"""What the form of a mirror shows of the channel's filters."""

from __future__ import annotations

from web.pages.filter_summary import lines


def test_a_threshold_of_zero_is_shown_and_fields_that_are_not_set_are_not() -> None:
    terms = {
        "cve_score_threshold": 0.0,
        "exclude_non_curated_cve": False,
        "only_specs": [],
        "date_from": None,
        "subdirs": ["noarch", "linux-64"],
    }
    assert lines(terms) == [("Platforms", "noarch, linux-64"), ("Highest CVE score", "0.0")]
