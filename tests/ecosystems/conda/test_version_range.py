"""Conditions on conda versions, beside those of py-rattler."""

from __future__ import annotations

import pytest
import rattler
from hypothesis import given, settings
from hypothesis import strategies as st

from ecosystems.conda.version_range import VersionRange
from ecosystems.errors import SpecError
from tests.ecosystems.conda.versions import oracle, versions


@pytest.mark.parametrize(
    ("condition", "yes", "no"),
    [
        ("1.8", "1.8 1.8.0 1.8+0", "1.8.1 1.80 1.8rc1"),
        ("==1.8", "1.8 1.8.0", "1.8.1"),
        ("=1.8", "1.8 1.8.0 1.8.1 1.8rc1 1.8.post1", "1.80 1.9 1"),
        ("1.8.*", "1.8 1.8.7", "1.80 1.9"),
        ("1.8*", "1.8 1.8.7", "1.80"),
        ("==1.8.*", "1.8 1.8.7", "1.9"),
        ("=1.8.0", "1.8 1.8.0 1.8.0.1", "1.8.1"),
        ("!=1.8", "1.8.1 1.9", "1.8 1.8.0"),
        ("!=1.8.*", "1.9 1.80", "1.8 1.8.1"),
        ("<1.8", "1.7 1.8rc1 1.8.dev0", "1.8 1.8.post1"),
        ("<=1.8", "1.8 1.8.0", "1.8.1"),
        (">1.8", "1.8.1 1.8.post1", "1.8 1.8.0"),
        (">=1.8", "1.8 2", "1.8rc1 1.7"),
        (">=1.8.*", "1.8 2", "1.7"),
        ("<1.8.*", "1.7", "1.8 1.8.1"),
        ("~=1.8.2", "1.8.2 1.8.9", "1.8.1 1.9"),
        ("~=1.8", "1.8 1.9", "2.0 1.7"),
        (">=1,<2", "1 1.9", "0.9 2"),
        ("1|2", "1 2.0", "1.5"),
        ("<1|>=2,<3", "0.5 2.5", "1 3"),
        ("(<1|>=2),!=2.5", "0.5 2", "1 2.5"),
        (" ( < 1 | >= 2 ) , != 2.5 ", "0.5 2", "1 2.5"),
        ("*", "1 anything x@y", ""),
        ("=*", "1", ""),
        ("!=*", "", "1"),
        ("1.*.3", "1.2.3 1..3 1.0.0.3", "1.2.4 11.2.4"),
        ("*RC*", "1.0rc1 1.0RC2", "1.0"),
        ("!=1.*.3", "1.2.4", "1.2.3"),
        ("1!2.*", "1!2.5", "2.5"),
        ("2024a.*", "2024a 2024a.1", "2024b"),
        ("=1+a", "1+a 1+a.2", "1+b 1"),
    ],
)
def test_a_condition_holds_for_these_versions_only(condition: str, yes: str, no: str) -> None:
    checked = VersionRange(condition)
    assert [v for v in yes.split() if not checked.matches(v)] == []
    assert [v for v in no.split() if checked.matches(v)] == []


def test_a_text_that_is_no_version_satisfies_no_comparison() -> None:
    for condition in ("1", "!=1", "!=1.*", "<1", ">=0", "=1", "~=1.0"):
        assert not VersionRange(condition).matches("1..0")
    assert VersionRange("*.0").matches("1..0"), "a glob inside sees characters only"


@pytest.mark.parametrize(
    ("text", "words", "place"),
    [
        (">>2", 'expected after ">", not ">2"', 2),
        (">=", 'expected after ">="', 3),
        ("1,", "a version was expected", 3),
        ("1 2", 'a "," or "|" was expected before "2"', 3),
        ("(1", 'a "\\(" is not closed', 3),
        ("1)", '"\\)" was not expected here', 2),
        ("^1.*", "begins with .* and ends with", 1),
        (">=^1.*$", "cannot be used with a regular expression", 3),
        (">1.8.*", '">" cannot be used with "\\*"', 2),
        ("~=1.8.*", '"~=" cannot be used with "\\*"', 3),
        (">=*", '">=" cannot be used with "\\*"', 3),
        ("~=1", "at least two parts", 3),
        (">=1,<1..0", "empty part", 6),
        ("(" * 30 + "1", "nested more than 20 deep", 21),
    ],
)
def test_a_bad_condition_is_refused_with_its_place(text: str, words: str, place: int) -> None:
    with pytest.raises(SpecError, match=rf"{words}.*\(character {place} of"):
        VersionRange(text)


conditions = st.builds(
    lambda clauses: "".join(clauses).rstrip(",|"),
    st.lists(
        st.builds(
            lambda op, version, sep: op + version + sep,
            st.sampled_from(["", "==", "!=", "<", "<=", ">", ">="]),
            versions.map(lambda v: v.partition("+")[0]),
            st.sampled_from([",", "|"]),
        ),
        min_size=1,
        max_size=4,
    ),
)


@settings(max_examples=600, deadline=None)
@given(conditions, versions)
def test_comparisons_agree_with_rattler(condition: str, version: str) -> None:
    parsed = oracle(version)
    try:
        theirs = rattler.VersionSpec(condition)
    except rattler.exceptions.InvalidVersionSpecError:
        return
    if parsed is not None:
        assert VersionRange(condition).matches(version) == theirs.matches(parsed)


numeric = st.lists(st.integers(0, 3).map(str), min_size=1, max_size=4).map(".".join)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(["={}", "{}.*", "!={}.*", "~={}"]), numeric, numeric)
def test_prefixes_of_numbers_agree_with_rattler(form: str, version: str, other: str) -> None:
    if form == "~={}" and "." not in version:
        return
    condition = form.format(version)
    theirs = rattler.VersionSpec(condition).matches(rattler.Version(other))
    assert VersionRange(condition).matches(other) == theirs
