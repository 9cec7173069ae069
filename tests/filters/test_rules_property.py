"""Judgement by name and index says what the rules say one by one."""

from __future__ import annotations

import datetime as dt
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from advisories.formats.statement import Status
from advisories.matching.facts import AdvisoryFacts
from ecosystems import licenses
from ecosystems.conda.matchspec import parse
from ecosystems.records import Record
from filters.rules import compile_rules, judge, normalized, problems
from tests.filters.records import at, facts, match, numpy

specs = st.lists(
    st.sampled_from(
        [
            "numpy",
            "n*",
            "*",
            "scipy",
            "numpy<2",
            "numpy=1",
            "numpy 2.0 b_1",
            "*[build=b_0]",
            "*[license='GPL*']",
            "n* >=1.5",
            "NUMPY[build_number='>=1']",
            "numpy-base",
        ]
    ),
    max_size=3,
)
families = st.lists(st.sampled_from(["MIT", "GPL", "GPL3", "LGPL", "None"]), max_size=2)
days = st.none() | st.dates(dt.date(2023, 6, 13), dt.date(2023, 6, 17)).map(str)
filters = st.fixed_dictionaries(
    {},
    optional={
        "subdirs": st.lists(st.sampled_from(["linux-64", "noarch", "win-64"]), max_size=2),
        "only_specs": specs,
        "exclude_specs": specs,
        "include_specs": specs,
        "exclude_licenses": families,
        "include_licenses": families,
        "date_from": days,
        "date_to": days,
        "cve_score_threshold": st.none() | st.sampled_from([0, 5, 10]),
        "cve_unknown": st.sampled_from(["include", "exclude"]),
        "cve_statuses_excluded": st.lists(st.sampled_from(["reported", "cleared"]), max_size=1),
        "exclude_non_curated_cve": st.booleans(),
        "exclude_malware": st.booleans(),
        "keep_legacy": st.booleans(),
        "types": st.lists(st.sampled_from(["conda", "CRAN"]), max_size=1),
    },
)
records = st.lists(
    st.builds(
        numpy,
        st.sampled_from(["1.0", "1.9", "2.0", "2.0rc1"]),
        build=st.sampled_from(["b_0", "b_1"]),
        build_number=st.integers(0, 2),
        ending=st.sampled_from([".conda", ".tar.bz2"]),
        license=st.sampled_from(["MIT", "GPL-3.0-only", "MIT OR GPL-2.0-only", "", "LGPL-2.1+"]),
        timestamp=st.none()
        | st.sampled_from(
            [
                at(f"2023-06-{day}T{time}")
                for day in (14, 15, 16)
                for time in ("00:00:00", "23:59:59.999")
            ]
        ),
    ),
    max_size=5,
)


SCORES = {"b_0": 6.0, "b_1": None}


def advisories(record: Record) -> AdvisoryFacts:
    """One advisory that depends on the record, so that the rule's place shows."""
    status = {"1.9": Status.REPORTED, "1.0": Status.CLEARED}.get(record.version, Status.ACTIVE)
    malware = record.build_number == 2
    return facts(match(SCORES[record.build], status, malware=malware))


def any_matches(texts: list[str], record: Record) -> bool:
    return any(parse(text).matches(record) for text in texts)


def by_advisory(form: dict[str, Any], record: Record) -> str | None:
    [found] = advisories(record).matches
    counts = found.status is not Status.CLEARED
    if form["exclude_malware"] and found.malware and counts:
        return "malware"
    score, limit = SCORES[record.build], form["cve_score_threshold"]
    if limit is not None and counts and (score or 0) > limit:
        return "cve"
    unknown = score is None and counts and not found.malware
    if form["cve_unknown"] == "exclude" and unknown:
        return "cve"
    if form["exclude_non_curated_cve"] and found.status == "reported":
        return "cve"
    return "cve" if found.status in form["cve_statuses_excluded"] else None


def rule_by_rule(form: dict[str, Any], record: Record, section: str, *, by: str) -> str | None:
    """The rule that rejects, read straight from the form."""
    form = normalized(form)
    if by == "channel" and form["types"] and "conda" not in form["types"]:
        return "type"
    if form["subdirs"] and section not in form["subdirs"]:
        return "subdirs"
    if reason := by_advisory(form, record):
        return reason
    if form["date_from"] or form["date_to"]:
        if record.timestamp is None:
            return "date"
        built = dt.datetime.fromtimestamp(record.timestamp / 1000, dt.UTC).date().isoformat()
        if not (form["date_from"] or "0") <= built <= (form["date_to"] or "9"):
            return "date"
    if form["only_specs"] and not any_matches(form["only_specs"], record):
        return "only_specs"
    rescued = any_matches(form["include_specs"], record) or licenses.included(
        record.license, "", frozenset(form["include_licenses"])
    )
    if rescued:
        return None
    if any_matches(form["exclude_specs"], record):
        return "exclude_specs"
    excluded = licenses.excluded(record.license, "", frozenset(form["exclude_licenses"]))
    return "license" if excluded else None


@settings(max_examples=500, deadline=None)
@given(filters, filters, records, st.sampled_from(["linux-64", "noarch"]))
def test_judge_says_what_the_rules_say_one_by_one(
    mirror: dict[str, Any], channel: dict[str, Any], listed: list[Record], section: str
) -> None:
    mirror.pop("types", None)
    found = judge(
        section,
        "numpy",
        listed,
        mirror=compile_rules(mirror, spec=parse, by="mirror"),
        channels=[compile_rules(channel, spec=parse, by="channel")],
        kind="conda",
        advisories=advisories,
    )
    expected: list[tuple[str, str] | None] = []
    for record in listed:
        first = rule_by_rule(mirror, record, section, by="mirror")
        second = rule_by_rule(channel, record, section, by="channel")
        named = ("mirror", first) if first else ("channel", second) if second else None
        expected.append(named)  # type: ignore[arg-type]
    assert [reason and reason[:2] for reason in found] == expected
    assert all(reason is None or reason.detail for reason in found)


@settings(max_examples=300, deadline=None)
@given(filters)
def test_the_canonical_form_means_what_the_form_means(form: dict[str, Any]) -> None:
    canonical = normalized(form)
    assert normalized(canonical) == canonical
    one = compile_rules(form, spec=parse, by="channel")
    other = compile_rules(canonical, spec=parse, by="channel")
    assert one.digest == other.digest


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(normalized({}))) | st.text(max_size=5), anything))
def test_any_form_is_taken_or_answered_with_sentences(form: dict[str, Any]) -> None:
    found = problems(form, spec=parse, by="channel")
    assert all(problem.message for problem in found)
    if not found:
        compile_rules(form, spec=parse, by="channel")
