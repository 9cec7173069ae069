"""The order of conda versions and conditions on them, beside the order of py-rattler."""

from __future__ import annotations

import itertools

import pytest
import rattler
from hypothesis import given, settings
from hypothesis import strategies as st

from ecosystems.conda.version import VersionRange, key
from ecosystems.errors import SpecError

# The order that CEP 33 gives as its example; a tuple holds equal versions.
ORDERED = [
    ("0.4", "0.4.0"),
    ("0.4.1.rc", "0.4.1.RC"),
    ("0.4.1+local",),
    ("0.4.1+0.local",),
    ("0.4.1", "0.4.1+0"),
    ("0.4.1+1.local",),
    ("0.5a1",),
    ("0.5b3",),
    ("0.5C1",),
    ("0.5",),
    ("0.9.6",),
    ("0.960923",),
    ("1.0",),
    ("1.1dev1",),
    ("1.1a1",),
    ("1.1.0dev1", "1.1.dev1"),
    ("1.1.a1",),
    ("1.1.0rc1",),
    ("1.1.0.0", "1.1.0", "1.1"),
    ("1.1.post1", "1.1.0post1"),
    ("1.1post1",),
    ("1996.07.12",),
    ("1!0.4.1",),
    ("1!3.1.1.6",),
    ("2!0.4.1",),
]

segment = st.one_of(
    st.sampled_from(["0", "1", "2", "10", "00", "01", "a", "rc1", "dev", "post", "1dev2", "0a0"]),
    st.from_regex(r"[0-9a-c]{1,4}", fullmatch=True),
)
body = st.builds(
    lambda first, rest: first + "".join(sep + part for sep, part in rest),
    segment,
    st.lists(st.tuples(st.sampled_from("._"), segment), max_size=4),
)
versions = st.builds(
    # Not after a word: see test_an_underscore_after_a_word_is_part_of_it.
    lambda epoch, main, end, local: epoch + main + (end if main[-1].isdigit() else "") + local,
    st.sampled_from(["", "", "", "0!", "1!"]),
    body,
    st.sampled_from(["", "", "", "_"]),
    st.one_of(st.just(""), st.just(""), body.map("+{}".format)),
)


def oracle(text: str) -> rattler.Version | None:
    try:
        return rattler.Version(text)
    except rattler.exceptions.InvalidVersionError:
        return None


@pytest.mark.parametrize(
    ("one", "other"),
    list(itertools.combinations(range(len(ORDERED)), 2)),
    ids=lambda n: ORDERED[n][0],
)
def test_the_order_is_the_one_of_the_cep(one: int, other: int) -> None:
    for low, high in itertools.product(ORDERED[one], ORDERED[other]):
        assert key(low) < key(high)


def test_equal_versions_of_the_cep_are_equal() -> None:
    for group in ORDERED:
        assert len({key(version) for version in group}) == 1


def test_a_trailing_underscore_sorts_before_a_letter() -> None:
    assert key("1.0.1_") < key("1.0.1a") < key("1.0.1")


def test_an_underscore_after_a_word_is_part_of_it() -> None:
    """By the CEP and conda; rattler takes it as a part of its own, and sorts 1.0a_ first."""
    assert key("1.0a") < key("1.0a_") < key("1.0b")


def test_a_dash_counts_as_an_underscore() -> None:
    assert key("1.0-2") == key("1.0_2")


@settings(max_examples=800, deadline=None)
@given(versions, versions)
def test_the_order_is_the_one_of_rattler(one: str, other: str) -> None:
    first, second = oracle(one), oracle(other)
    if first is None or second is None:
        return
    assert (key(one) < key(other)) == (first < second)
    assert (key(one) == key(other)) == (first == second)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the version is empty"),
        ("1..0", "empty part"),
        ("1.0__", "empty part"),
        ("1._", "empty part"),
        ("1 0", "character that no version may have"),
        ("ü1", "character that no version may have"),
        ("a!1", 'whole number before its "!"'),
        ("!1", 'whole number before its "!"'),
        ("1!2!3", 'whole number before its "!"'),
        ("1+2+3", 'more than one "+"'),
        ("1+", "empty part"),
        ("1" * 201, "at most 200 characters"),
    ],
)
def test_a_bad_version_is_refused_with_words(text: str, words: str) -> None:
    with pytest.raises(SpecError, match=words.replace("+", r"\+")):
        key(text)


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
