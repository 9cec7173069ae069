"""Specs of R packages."""

from __future__ import annotations

import pytest

from ecosystems.cran.spec import parse
from ecosystems.errors import SpecError
from ecosystems.records import Record


def record(name: str, version: str = "1.0") -> Record:
    return Record(name=name, version=version)


@pytest.mark.parametrize(
    "text", ["dplyr (>= 1.1)", "dplyr(>=1.1)", "dplyr>=1.1", "dplyr >=1.1", "DPLYR >= 1.1"]
)
def test_one_meaning_has_many_spellings(text: str) -> None:
    spec = parse(text)
    assert spec.matches(record("dplyr", "1.1-2"))
    assert not spec.matches(record("dplyr", "1.0.99"))
    assert spec.canonical == parse("dplyr (>= 1.1)").canonical
    assert not spec.name_only


def test_a_name_alone_decides_for_all_versions() -> None:
    spec = parse(" data.table ")
    assert spec.name_only
    assert spec.exact_name == "data.table"
    assert spec.matches(record("data.table", "1.15.4"))


def test_names_are_compared_without_regard_to_case() -> None:
    assert parse("rodbc").matches(record("RODBC"))
    assert parse("R*").matches_name("rodbc")


def test_a_star_is_any_run_of_characters() -> None:
    spec = parse("p*")
    assert spec.exact_name is None
    assert spec.matches(record("purrr"))
    assert not spec.matches(record("dplyr"))


def test_a_version_that_may_be_anything_says_nothing() -> None:
    assert parse("dplyr (*)").name_only
    assert parse("dplyr (*)").canonical == parse("dplyr").canonical


@pytest.mark.parametrize(
    "text",
    ["", "dplyr (", "dplyr (>= 1.1", "numpy[build=1]", "a b c", "ü", "dplyr ~= 1", "x" * 2000],
)
def test_what_is_no_spec_is_refused_in_words(text: str) -> None:
    with pytest.raises(SpecError):
        parse(text)


def test_a_hostile_pattern_takes_no_time() -> None:
    assert not parse("*a" * 400 + "b").matches(record("a" * 120))
