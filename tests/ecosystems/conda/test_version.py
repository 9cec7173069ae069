"""The order of conda versions, beside the order of py-rattler."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings

from ecosystems.conda.version import key
from ecosystems.errors import SpecError
from tests.ecosystems.conda.versions import oracle, versions

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
