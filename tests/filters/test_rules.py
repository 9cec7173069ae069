"""The truth table of judgement: every rule, their order, and what is said about it."""

from __future__ import annotations

import datetime as dt
import itertools
import re
from typing import Any

import pytest

from advisories.matching.facts import AdvisoryFacts
from ecosystems.conda.matchspec import parse
from ecosystems.errors import SpecError
from ecosystems.records import Invalid, Record
from filters.rules import (
    Reason,
    Rules,
    compile_rules,
    conflicts,
    judge,
    normalized,
    problems,
    twins,
)
from filters.rules.vulnerabilities import Lookup
from tests.filters.records import at, channel, facts, match, mirror, numpy


def verdict(
    record: Record | Invalid,
    mirror_: Rules,
    *channels: Rules,
    section: str = "linux-64",
    kind: str = "conda",
    advisories: Lookup | None = None,
) -> Reason | None:
    name = "numpy" if isinstance(record, Invalid) else record.name
    [reason] = judge(
        section, name, [record], mirror=mirror_, channels=channels, kind=kind, advisories=advisories
    )
    return reason


def reported(_: Record) -> AdvisoryFacts:
    return facts(match(9.8), match(id="MAL-1", malware=True))


TRUTH: list[tuple[dict[str, Any], Record, str | None, str]] = [
    ({}, numpy(), None, ""),
    # platforms
    ({"subdirs": ["linux-64", "noarch"]}, numpy(), None, ""),
    ({"subdirs": ["Linux-64"]}, numpy(), None, ""),
    ({"subdirs": ["win-64", "noarch"]}, numpy(), "subdirs", "platform linux-64 .*noarch, win-64"),
    # dates: whole days, both ends included
    ({"date_from": "2023-06-15"}, numpy(timestamp=at("2023-06-15T00:00:00")), None, ""),
    ({"date_from": "2023-06-16"}, numpy(), "date", "built on 2023-06-15, before 2023-06-16"),
    ({"date_to": "2023-06-15"}, numpy(timestamp=at("2023-06-15T23:59:59.999")), None, ""),
    (
        {"date_to": "2023-06-15"},
        numpy(timestamp=at("2023-06-16T00:00:00")),
        "date",
        "built on 2023-06-16, after 2023-06-15",
    ),
    ({"date_from": "2023-06-15", "date_to": "2023-06-15"}, numpy(), None, ""),
    ({"date_from": "2020-01-01"}, numpy(timestamp=None), "date", "has no build time, and the date"),
    ({"date_to": "2030-01-01"}, numpy(timestamp=None), "date", "has no build time, and the date"),
    ({"date_from": "1999-01-01"}, numpy(timestamp=-(10**15)), "date", "was built on .*, before"),
    # the only packages
    ({"only_specs": ["numpy"]}, numpy(), None, ""),
    ({"only_specs": ["scipy", "NUM*"]}, numpy(), None, ""),
    ({"only_specs": ["scipy", "^num.*$"]}, numpy(), None, ""),
    ({"exclude_specs": ["^n.*y$"]}, numpy(), "exclude_specs", r"\^n\.\*y\$"),
    ({"only_specs": ["scipy"]}, numpy(), "only_specs", "name numpy is not in the list"),
    ({"only_specs": ["numpy>=2"]}, numpy(), "only_specs", r"numpy 1.24 py311_0 .* numpy>=2"),
    ({"only_specs": ["numpy>=2", "numpy 1.24 py311*"]}, numpy(), None, ""),
    ({"projects": ["scipy"]}, numpy(), "only_specs", "name numpy is not in the list"),
    ({"projects": ["scipy"], "only_specs": ["numpy"]}, numpy(), None, ""),
    # excluded specs, and the includes that rescue
    ({"exclude_specs": ["scipy"]}, numpy(), None, ""),
    ({"exclude_specs": ["n*"]}, numpy(), "exclude_specs", r"numpy matches .* n\*"),
    ({"exclude_specs": ["numpy<2"]}, numpy(), "exclude_specs", "numpy 1.24 matches .* numpy<2"),
    ({"exclude_specs": ["numpy<1"]}, numpy(), None, ""),
    ({"exclude_specs": ["*[build=py311*]"]}, numpy(), "exclude_specs", "numpy 1.24 matches"),
    ({"exclude_specs": ["n*"], "include_specs": ["numpy"]}, numpy(), None, ""),
    ({"exclude_specs": ["n*"], "include_specs": ["numpy=1.24"]}, numpy(), None, ""),
    ({"exclude_specs": ["n*"], "include_specs": ["numpy=1.2"]}, numpy(), "exclude_specs", ""),
    ({"exclude_specs": ["n*"], "include_specs": ["scipy"]}, numpy(), "exclude_specs", ""),
    ({"exclude_specs": ["n*"], "include_licenses": ["mit"]}, numpy(), None, ""),
    ({"exclude_specs": ["n*"], "include_licenses": ["bsd"]}, numpy(), "exclude_specs", ""),
    ({"include_specs": ["scipy"]}, numpy(), None, ""),
    # licenses
    ({"exclude_licenses": ["mit"]}, numpy(), "license", 'license "MIT" .* family MIT'),
    ({"exclude_licenses": ["GPL"]}, numpy(license="GPL-3.0-only"), "license", "family GPL3"),
    ({"exclude_licenses": ["gpl_2"]}, numpy(license="GPL-3.0-only"), None, ""),
    ({"exclude_licenses": ["GPL"]}, numpy(license="LGPL-2.1-only"), None, ""),
    ({"exclude_licenses": ["GPL"]}, numpy(license="MIT OR GPL-3.0-only"), None, ""),
    ({"exclude_licenses": ["GPL"]}, numpy(license="MIT AND GPL-3.0-only"), "license", "GPL3"),
    ({"exclude_licenses": ["none"]}, numpy(license=""), "license", "no license is stated"),
    ({"exclude_licenses": ["gpl"]}, numpy(license="", license_family="GPL3"), "license", '"GPL3"'),
    ({"exclude_licenses": ["mit"], "include_specs": ["numpy"]}, numpy(), None, ""),
    ({"exclude_licenses": ["mit"], "include_specs": ["numpy>2"]}, numpy(), "license", ""),
    ({"exclude_licenses": ["mit"], "include_licenses": ["mit"]}, numpy(), None, ""),
    ({"exclude_licenses": ["mit"], "only_specs": ["numpy"]}, numpy(), "license", ""),
    # nothing of this looks at vulnerabilities when there is no data
    ({"cve_score_threshold": 0, "exclude_non_curated_cve": True}, numpy(), None, ""),
]


@pytest.mark.parametrize("by", ["mirror", "channel"])
@pytest.mark.parametrize(("filters", "record", "rule", "words"), TRUTH)
def test_a_rule_keeps_or_rejects(
    filters: dict[str, Any], record: Record, rule: str | None, words: str, by: str
) -> None:
    rules = compile_rules(filters, spec=parse, by=by)
    found = verdict(record, rules) if by == "mirror" else verdict(record, mirror(), rules)
    if rule is None:
        assert found is None
        return
    assert found is not None
    assert (found.by, found.rule) == (by, rule)
    assert re.search(words, found.detail), found.detail


# Each rejects numpy 1.24 (MIT, 2023); in the order in which they name the reason.
IN_ORDER: list[tuple[str, str, dict[str, Any]]] = [
    ("mirror", "subdirs", {"subdirs": ["win-64"]}),
    ("mirror", "malware", {"exclude_malware": True}),
    ("mirror", "cve", {"cve_score_threshold": 5}),
    ("mirror", "date", {"date_from": "2025-01-01"}),
    ("mirror", "only_specs", {"only_specs": ["numpy>2"]}),
    ("mirror", "exclude_specs", {"exclude_specs": ["numpy"]}),
    ("mirror", "license", {"exclude_licenses": ["MIT"]}),
    ("channel", "type", {"types": ["CRAN"]}),
    ("channel", "subdirs", {"subdirs": ["win-64"]}),
    ("channel", "malware", {"exclude_malware": True}),
    ("channel", "cve", {"cve_score_threshold": 5}),
    ("channel", "date", {"date_to": "2020-01-01"}),
    ("channel", "only_specs", {"only_specs": ["scipy"]}),
    ("channel", "exclude_specs", {"exclude_specs": ["numpy=1"]}),
    ("channel", "license", {"exclude_licenses": ["MIT"]}),
]


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(IN_ORDER, 2)))
def test_the_first_rule_that_rejects_names_the_reason(
    first: tuple[str, str, dict[str, Any]], second: tuple[str, str, dict[str, Any]]
) -> None:
    forms: dict[str, dict[str, Any]] = {
        by: {"exclude_malware": False} for by in ("mirror", "channel")
    }
    for by, _, filters in (first, second):
        forms[by] |= filters
    found = verdict(
        numpy(), mirror(**forms["mirror"]), channel(**forms["channel"]), advisories=reported
    )
    assert found is not None
    assert (found.by, found.rule) == first[:2]


def test_a_mirrors_includes_do_not_rescue_from_the_channel() -> None:
    rescuing = mirror(exclude_specs=["*"], include_specs=["numpy"], include_licenses=["MIT"])
    for filters in ({"exclude_specs": ["numpy"]}, {"exclude_licenses": ["MIT"]}):
        found = verdict(numpy(), rescuing, channel(**filters))
        assert found is not None
        assert found.by == "channel"


def test_a_channels_includes_rescue_within_the_channel_only() -> None:
    own = channel(exclude_specs=["n*"], include_specs=["numpy"])
    assert verdict(numpy(), mirror(), own) is None
    found = verdict(numpy(), mirror(exclude_specs=["n*"]), own)
    assert found is not None
    assert found.by == "mirror"
    parent = channel(exclude_specs=["numpy"])
    assert verdict(numpy(), mirror(), own, parent) is not None


def test_includes_do_not_rescue_from_dates_or_platforms() -> None:
    for filters in ({"date_from": "2025-01-01"}, {"subdirs": ["win-64"]}):
        assert verdict(numpy(), mirror(include_specs=["numpy"], **filters)) is not None


def test_an_invalid_record_says_why() -> None:
    found = verdict(Invalid("numpy-1-0.conda", "has no size"), mirror(subdirs=["win-64"]))
    assert found == Reason("mirror", "invalid", "has no size")


def test_types_and_platforms_mean_the_kind_of_the_mirror() -> None:
    only_python = channel(types=["python_simple"])
    assert verdict(numpy(), mirror(), only_python, kind="python") is None
    found = verdict(numpy(), mirror(), only_python, kind="cran")
    assert found is not None
    assert "type CRAN is not among the allowed types (python_simple)" in found.detail
    assert verdict(numpy(), mirror(subdirs=["win-64"]), kind="python", section="simple") is None


def test_an_old_file_gives_way_to_a_new_one_that_is_kept_and_to_no_other() -> None:
    files = ["numpy-1-0.tar.bz2", "numpy-1-0.conda", "numpy-2-0.tar.bz2", "x.tar.bz2"]
    assert twins(files, ["numpy-1-0.conda"]) == {0: ("numpy-1-0.tar.bz2", "numpy-1-0.conda")}
    assert twins(files, []) == {}
    assert twins(files, ["numpy-2-0.tar.bz2", "numpy-2-0"]) == {}


def test_a_shard_without_records_has_no_verdicts() -> None:
    assert judge("noarch", "x", [], mirror=mirror(), channels=[], kind="conda") == []


def test_specs_of_an_exact_name_are_not_asked_about_other_names() -> None:
    asked: list[str] = []

    class Spy:
        name_only = False

        def __init__(self, text: str) -> None:
            self.text, self.exact_name = text, text

        def matches_name(self, name: str) -> bool:
            asked.append(self.text)
            return name == self.text

        def matches(self, record: Record) -> bool:
            return True

    many = [f"pkg{number}" for number in range(100_000)]
    rules = compile_rules({"exclude_specs": [*many, "numpy"]}, spec=Spy, by="mirror")
    assert verdict(numpy(), rules) is not None
    assert asked == ["numpy"]


# The form


@pytest.mark.parametrize(
    ("filters", "field", "place", "words"),
    [
        ({"colour": 1}, "colour", None, '"colour" is no filter; the filters are types'),
        ({"only_specs": "numpy"}, "only_specs", None, "is a list of texts"),
        ({"c" * 99: 1}, "c" * 60 + "…", None, "is no filter"),
        ({"only_signed": True}, "only_signed", None, "this server looks at no signatures"),
        ({"only_specs": [["a"] * 99]}, "only_specs", 0, "… is not a text"),
        ({"date_from": "9" * 99}, "date_from", None, '…" is no date'),
        ({"only_specs": ["a", 5]}, "only_specs", 1, "5 is not a text"),
        ({"only_specs": ["a", " "]}, "only_specs", 1, "the entry is empty"),
        ({"exclude_specs": ["a", "b>>2"]}, "exclude_specs", 1, '(character 3 of "b>>2")'),
        ({"include_specs": ["^(?=a)b$"]}, "include_specs", 0, "regular expression"),
        ({"projects": ["a b c d"]}, "projects", 0, "only name, version and build"),
        ({"exclude_specs": ["x" * 201]}, "exclude_specs", 0, "has 201 characters, and at most 200"),
        ({"exclude_specs": ["x"] * 100_001}, "exclude_specs", None, "has 100,001 entries"),
        ({"exclude_specs": ["x*"] * 1001}, "exclude_specs", None, "1,001 name patterns"),
        ({"only_specs": ["^x$"] * 1001}, "only_specs", None, "1,001 name patterns"),
        ({"exclude_licenses": ["mit", "nice"]}, "exclude_licenses", 1, "families are AGPL"),
        ({"include_licenses": ["nice"]}, "include_licenses", 0, '"nice" is no license family'),
        ({"subdirs": ["linux"]}, "subdirs", 0, '"linux" is no platform'),
        ({"subdirs": ["a" * 30 + "-64"]}, "subdirs", 0, "is no platform"),
        ({"cve_score_threshold": 11}, "cve_score_threshold", None, "from 0 to 10"),
        ({"cve_score_threshold": -0.1}, "cve_score_threshold", None, "from 0 to 10"),
        ({"cve_score_threshold": float("nan")}, "cve_score_threshold", None, "from 0 to 10"),
        ({"cve_score_threshold": True}, "cve_score_threshold", None, "from 0 to 10"),
        ({"cve_score_threshold": "7"}, "cve_score_threshold", None, "from 0 to 10"),
        ({"keep_legacy": 1}, "keep_legacy", None, "is either true or false"),
        ({"exclude_malware": "no"}, "exclude_malware", None, "true or false"),
        ({"cve_unknown": "keep"}, "cve_unknown", None, "one of include, exclude"),
        ({"cve_unknown": ["exclude"]}, "cve_unknown", None, "one of include, exclude"),
        ({"cve_statuses_excluded": "active"}, "cve_statuses_excluded", None, "list of texts"),
        ({"cve_statuses_excluded": ["open"]}, "cve_statuses_excluded", 0, "statuses are reported"),
        ({"exclude_non_curated_cve": "no"}, "exclude_non_curated_cve", None, "true or false"),
        ({"date_from": "15.6.2023"}, "date_from", None, "dates look like 2026-01-31"),
        ({"date_from": "2023-02-30"}, "date_from", None, "no day of the calendar"),
        ({"date_to": 5}, "date_to", None, '"5" is no date'),
        ({"date_to": dt.datetime(2023, 1, 1)}, "date_to", None, "is no date"),  # noqa: DTZ001
        (
            {"date_from": "2023-02-02", "date_to": "2023-02-01"},
            "date_from",
            None,
            "begins on 2023-02-02, after it ends on 2023-02-01",
        ),
        ({"only_specs": ["a"], "exclude_specs": ["b"]}, "only_specs", None, '"exclude_specs"'),
        ({"only_specs": ["a"], "include_specs": ["b"]}, "only_specs", None, '"include_specs"'),
        ({"types": ["conda"]}, "types", None, "for a channel"),
    ],
)
def test_a_problem_names_its_field_and_place(
    filters: dict[str, Any], field: str, place: int | None, words: str
) -> None:
    [found] = problems(filters, spec=parse)
    assert (found.field, found.place) == (field, place)
    assert words in found.message


def test_an_unknown_type_is_a_problem_of_a_channel() -> None:
    [found] = problems({"types": ["conda", "deb"]}, spec=parse, by="channel")
    assert (found.field, found.place) == ("types", 1)
    assert "the types are conda, python_simple, CRAN" in found.message


def test_all_problems_are_told_at_once() -> None:
    found = problems(
        {"exclude_specs": [">", "ok", "a b c d"], "date_to": "x", "keep_legacy": 3}, spec=parse
    )
    assert [(problem.field, problem.place) for problem in found] == [
        ("exclude_specs", 0),
        ("exclude_specs", 2),
        ("keep_legacy", None),
        ("date_to", None),
    ]


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"only_specs": None, "date_from": "", "cve_score_threshold": None, "keep_legacy": None},
        {"only_specs": ["a"], "exclude_specs": [], "exclude_licenses": ["gpl3"]},
        {"only_specs": ["a"], "include_licenses": ["gpl3"], "exclude_licenses": ["mit"]},
        {"cve_score_threshold": 7, "date_from": dt.date(2023, 1, 1), "date_to": "2023-01-01"},
    ],
)
def test_a_good_filter_has_no_problems(filters: dict[str, Any]) -> None:
    assert problems(filters, spec=parse) == []


def test_the_canonical_form_has_every_key_once() -> None:
    assert normalized(
        {
            "subdirs": ["Linux-64", "linux-64", "noarch"],
            "types": ["cran", "CONDA"],
            "exclude_specs": ["b ", "a", "b"],
            "exclude_licenses": ["public domain", "PUBLIC_DOMAIN"],
            "cve_score_threshold": 7,
            "date_from": dt.date(2023, 1, 2),
        }
    ) == {
        "types": ["CRAN", "conda"],
        "subdirs": ["linux-64", "noarch"],
        "projects": [],
        "only_specs": [],
        "exclude_specs": ["b", "a"],
        "include_specs": [],
        "exclude_licenses": ["Public-Domain"],
        "include_licenses": [],
        "cve_score_threshold": 7.0,
        "cve_unknown": "include",
        "cve_statuses_excluded": [],
        "exclude_non_curated_cve": False,
        "exclude_malware": True,
        "keep_legacy": False,
        "allow_unhashed": False,
        "date_from": "2023-01-02",
        "date_to": None,
        "file_formats": [],
        "python_versions": [],
        "platform_tags": [],
        "newest_versions": None,
        "largest_size": None,
        "minimum_age_days": 0,
        "age_exceptions": [],
    }


def test_a_bad_entry_is_not_compiled() -> None:
    with pytest.raises(SpecError):
        mirror(exclude_specs=["a>>1"])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"only_specs": [], "keep_legacy": False, "date_from": ""}),
        ({"exclude_specs": ["a", "b"]}, {"exclude_specs": ["B", "a", "b"]}),
        ({"exclude_specs": ["a >=1, <2"]}, {"exclude_specs": ["a>=1,<2"]}),
        ({"exclude_licenses": ["gpl3", "mit"]}, {"exclude_licenses": ["MIT", "GPL_3"]}),
        ({"include_specs": ["a"]}, {}),
        ({"projects": ["a"]}, {"only_specs": ["a"]}),
        ({"cve_score_threshold": 10}, {}),
        ({"cve_unknown": "include", "exclude_malware": True}, {}),
        (
            {"cve_statuses_excluded": ["Active", "disputed"]},
            {"cve_statuses_excluded": ["disputed", "active"]},
        ),
    ],
)
def test_filters_that_judge_alike_have_one_digest(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert mirror(**one).digest == mirror(**other).digest


def test_every_rule_changes_the_digest() -> None:
    forms: list[dict[str, Any]] = [
        {},
        {"subdirs": ["noarch"]},
        {"only_specs": ["a"]},
        {"only_specs": ["a>1"]},
        {"exclude_specs": ["a"]},
        {"exclude_specs": ["a"], "include_specs": ["a"]},
        {"exclude_specs": ["a"], "include_licenses": ["mit"]},
        {"exclude_licenses": ["mit"]},
        {"cve_score_threshold": 0},
        {"cve_score_threshold": 9.9},
        {"exclude_non_curated_cve": True},
        {"cve_unknown": "exclude"},
        {"cve_statuses_excluded": ["active"]},
        {"exclude_malware": False},
        {"date_from": "2023-01-01"},
        {"date_to": "2023-01-01"},
        {"keep_legacy": True},
    ]
    assert len({mirror(**form).digest for form in forms}) == len(forms)
    assert channel(types=["conda"]).digest != channel().digest


# A mirror and its channel


@pytest.mark.parametrize(
    ("mirror_filters", "channel_filters", "words"),
    [
        ({}, {"types": ["CRAN"]}, ["only the types CRAN", "type is conda"]),
        ({"subdirs": ["linux-64"]}, {"subdirs": ["win-64"]}, ["(linux-64)", "(win-64)"]),
        (
            {"date_to": "2020-01-01"},
            {"date_from": "2021-01-01"},
            ["mirror's date range ends on 2020-01-01", "channel's begins on 2021-01-01"],
        ),
        (
            {"date_from": "2021-01-01"},
            {"date_to": "2020-01-01"},
            ["channel's date range ends on 2020-01-01", "mirror's begins on 2021-01-01"],
        ),
        ({"only_specs": ["a", "b=1"]}, {"only_specs": ["c"]}, ["(a, b=1)", "(c)"]),
        ({"only_specs": ["p*"]}, {"only_specs": ["c"]}, ["(p*)", "(c)"]),
        ({"only_specs": ["pa", "pb=1"]}, {"exclude_specs": ["p*"]}, ["(p*)", "(pa, pb=1)"]),
        ({"projects": ["pa"]}, {"exclude_specs": ["pa"]}, ["(pa)"]),
        ({"only_specs": ["^p.$"]}, {"only_specs": ["c"]}, ["(^p.$)", "(c)"]),
        ({"only_specs": ["pa"]}, {"only_specs": ["^p[b-d]$"]}, ["(pa)", "(^p[b-d]$)"]),
        ({"only_specs": ["pa", "pb=1"]}, {"exclude_specs": ["^p[ab]$"]}, ["(^p[ab]$)"]),
        ({}, {"exclude_specs": ["*"]}, ["excludes every package", "is *"]),
        ({}, {"exclude_specs": ["^.*$"]}, ["excludes every package", "is ^.*$"]),
    ],
)
def test_rules_that_leave_nothing_are_said_together(
    mirror_filters: dict[str, Any], channel_filters: dict[str, Any], words: list[str]
) -> None:
    [sentence] = conflicts(
        mirror(**mirror_filters), [channel(), channel(**channel_filters)], kind="conda"
    )
    assert all(word in sentence for word in words), sentence
    assert sentence.endswith("so nothing of this mirror will be published.")


@pytest.mark.parametrize(
    ("mirror_filters", "channel_filters"),
    [
        ({}, {}),
        ({}, {"types": ["conda", "CRAN"]}),
        ({"subdirs": ["linux-64", "noarch"]}, {"subdirs": ["noarch"]}),
        ({"subdirs": ["linux-64"]}, {}),
        ({"date_to": "2020-01-01"}, {"date_from": "2020-01-01"}),
        ({"only_specs": ["a", "b"]}, {"only_specs": ["b"]}),
        ({"only_specs": ["p*"]}, {"only_specs": ["pa"]}),
        ({"only_specs": ["p*"]}, {"only_specs": ["*a"]}),
        ({"only_specs": ["^p.$"]}, {"only_specs": ["^.a$"]}),
        ({"only_specs": ["^p.$"]}, {"only_specs": ["pa"]}),
        ({"only_specs": ["pa", "x"]}, {"exclude_specs": ["^p.$"]}),
        ({"only_specs": ["pa", "x"]}, {"exclude_specs": ["p*"]}),
        ({"only_specs": ["pa"]}, {"exclude_specs": ["pa<2"]}),
        ({"only_specs": ["pa"]}, {"exclude_specs": ["p*"], "include_specs": ["pa"]}),
        ({"only_specs": ["pa"]}, {"exclude_specs": ["p*"], "include_licenses": ["mit"]}),
        ({}, {"exclude_specs": ["*"], "include_specs": ["a"]}),
    ],
)
def test_rules_that_may_leave_something_are_not_warned_about(
    mirror_filters: dict[str, Any], channel_filters: dict[str, Any]
) -> None:
    assert conflicts(mirror(**mirror_filters), [channel(**channel_filters)], kind="conda") == []


def test_a_license_that_the_mirror_includes_and_the_channel_excludes_is_told() -> None:
    mine = mirror(exclude_specs=["*"], include_licenses=["gpl3", "mit"])
    [sentence] = conflicts(mine, [channel(exclude_licenses=["gpl3"])], kind="conda")
    assert "GPL3" in sentence
    assert "MIT" not in sentence
    kept = channel(exclude_licenses=["gpl3"], include_licenses=["gpl3"])
    assert conflicts(mine, [kept], kind="conda") == []
