"""Versions in R's order; what R itself says is in tests/e2e/test_r.py."""

from __future__ import annotations

import pytest

from ecosystems.cran.versions import is_version, parse, version_test
from ecosystems.errors import SpecError


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [("1.0", "1.0.0"), ("1.9", "1.10"), ("1.2-3", "1.2-10"), ("0.99-9", "1.0"), ("2.0", "10.0")],
)
def test_versions_are_compared_number_by_number(smaller: str, larger: str) -> None:
    assert parse(smaller) < parse(larger)


def test_dots_and_dashes_mean_the_same() -> None:
    assert parse("1.0-1") == parse("1.0.1")


@pytest.mark.parametrize("text", ["1.0", "1.2-3", "2023.10.1", "0.0.0.9000"])
def test_versions_of_r_are_known(text: str) -> None:
    assert is_version(text)


@pytest.mark.parametrize("text", ["", "1", "1.", ".1", "1.0a", "1..0", "1.0\n", "9" * 5000 + ".0"])
def test_everything_else_is_no_version(text: str) -> None:
    assert not is_version(text)


@pytest.mark.parametrize(
    ("condition", "version", "holds"),
    [
        (">= 1.2", "1.2", True),
        (">=1.2,<2", "1.99", True),
        (">=1.2,<2", "2.0", False),
        ("<2", "2.0", False),
        ("<2|>=3.1", "3.1", True),
        ("1.2", "1.2", True),
        ("1.2", "1.2.1", False),
        ("=1.2", "1.2.1", True),
        ("==1.2.*", "1.2-9", True),
        ("1.*", "1.5", True),
        ("1.*", "10.5", False),
        ("!=1.2.*", "1.2.3", False),
        ("!=1.0", "1.0.1", True),
        ("*", "0.1", True),
    ],
)
def test_conditions_are_read_as_people_write_them(
    condition: str, version: str, holds: bool
) -> None:
    assert version_test(condition)[0](version) is holds


def test_conditions_that_mean_the_same_have_one_spelling() -> None:
    assert version_test(">= 1.2-3, < 2")[1] == version_test(">=1.2.3,<2")[1]
    assert version_test("==1.2")[1] == version_test("1.2")[1]


@pytest.mark.parametrize("text", [">=", "abc", ">=1.2.*", "1.2,", "=>1.0", "9" * 200])
def test_what_is_no_condition_is_refused_in_words(text: str) -> None:
    with pytest.raises(SpecError):
        version_test(text)


def test_a_version_that_is_none_satisfies_nothing() -> None:
    assert not version_test(">=0.0")[0]("devel")
