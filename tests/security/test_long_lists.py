"""Attack: long lists of specs, whose conditions cost a server's time at each save."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from ecosystems import registry
from ecosystems.conda import matchspec, version_range
from ecosystems.cran import spec as cran
from ecosystems.errors import SpecError
from ecosystems.python import specifiers
from ecosystems.records import Record
from filters.rules import compile_rules, overlap, problems
from filters.rules.overlap import conflicts

PLAIN = {
    "conda": (
        *("six", "six >=1.2,<2", "six==1.2.0", "six 1.2", "six=1.2", "six 1.2.*", "six>=1.2, <2a0"),
        *("six 1.2 py3*", "six=1.2=py36_0", "six[version='>=1.2,<2',build='py3*']"),
        *("*six*[build_number='>=2', license=MIT]", 'six 1.2[md5="0af1",fn=six-1.2-0.conda]'),
    ),
    "python_simple": ("six", "six>=1.2,<2", "six==1.2.0", "six <2"),
    "CRAN": ("six", "six (>= 1.2, < 2)", "six==1.2.0", "six 1.2"),
}
LONG = 100_000


def unread(*_: Any, **__: Any) -> Any:
    raise AssertionError("a plain condition is read before anybody asks it")


@pytest.mark.parametrize("kind", PLAIN)
def test_plain_conditions_are_not_read_when_a_list_is_saved(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(version_range, "_Parser", unread)
    monkeypatch.setattr(matchspec, "split", unread)
    monkeypatch.setattr(specifiers, "SpecifierSet", unread)
    monkeypatch.setattr(cran, "version_test", unread)
    spec = registry.get(kind).parse_spec
    filters = {"exclude_specs": list(PLAIN[kind])}
    assert problems(filters, spec=spec) == []
    assert len(compile_rules(filters, spec=spec, by="mirror").exclude.specs) == len(PLAIN[kind])


@pytest.mark.parametrize(
    ("kind", "plain", "other"),
    [
        ("conda", "six >=1.2,<2", "six >=1.2 , <2"),
        ("conda", "six==1.2", "six[version='==1.2']"),
        ("conda", "six 1.2", "six  1.2 "),
        ("conda", "six=1.2", "six[version='=1.2']"),
        ("python_simple", "six>=1.2,<2", "six (<2, >=1.2)"),
        ("python_simple", "six==1.2", "six (== 1.2 )"),
        ("CRAN", "six>=1.2,<2", "six (>= 01.2, < 02)"),
        ("CRAN", "six==1.2", "six == 01.2"),
    ],
)
def test_a_plain_condition_means_what_its_long_form_means(
    kind: str, plain: str, other: str
) -> None:
    spec: Any = registry.get(kind).parse_spec
    quick, slow = spec(plain), spec(other)
    assert quick.canonical == slow.canonical
    for version in ("1.1", "1.2", "1.2.0", "1.10", "2.0", "2.1"):
        one = Record(name="six", version=version)
        assert quick.matches(one) == slow.matches(one), version
        assert not quick.matches(Record(name="seven", version=version))


NAMES = ("six", "Six", "*si*")
VERSIONS = ("", "1.2", "=1.2", "==1.2", ">=1.2,<2", "~=1.2", "~=1", "1.2.*", "!=1.2.*", ">1.2.*")
VERSIONS += ("<2.0a1", "1.2*", ">=1.2, <2", "*", "1.", "=1.2,=1.3", "1..2", "<=1.2.*", "1" * 199)
BUILDS = ("", "py3*", "*", "py36_0", ">=1", "3")
PAIRS = (
    *("", "version='>=1.2,<2'", 'version="1.2.*"', "version=*", "build=py3*", "build='* '"),
    *("build_number=1", "build_number='>=1'", "build_number=one", "license='BSD 3-Clause'"),
    *("name=six", "channel=main", "depends=x", "build=a,build=b", "build=a, version=1", "md5=''"),
    *("version='^1.*$'", "build=^py.*$", "odd=3", "odd='>2',", "license=mit "),
)


class Odd(Record):
    """A record with a key of its own."""

    def value(self, key: str) -> str | int | None:
        return {"odd": self.build_number + 2, "license": self.license}.get(key)


RECORDS = [
    Odd(name=name, version=version, build=build, build_number=number, license="MIT", filename="f")
    for name in ("six", "sixth", "seven")
    for version in ("1.2", "1.2.3", "1.3", "2.0", "2.0a1", "1" * 199, "1..2", "")
    for build in ("py36_0", "3", "a")
    for number in (0, 1)
]


def read(parse: Any, text: str) -> tuple[Any, ...]:
    """All that a spec says, or the sentence against it."""
    try:
        spec = parse(text)
    except SpecError as error:
        return (str(error),)
    verdicts = tuple(spec.matches(record) for record in RECORDS)
    return (
        *(spec.text, spec.canonical, spec.exact_name, spec.name_only, spec.version_only),
        *verdicts,
    )


def test_the_short_way_to_read_a_conda_spec_says_what_the_grammar_says() -> None:
    short = 0
    for name, gap, version in itertools.product(NAMES, ("", " ", "  "), VERSIONS):
        for between, build, pairs in itertools.product((" ", "="), BUILDS, PAIRS):
            if (build or pairs) and name != "six":
                continue
            text = name + (gap + version if version else "") + (between + build if build else "")
            text += f"[{pairs}]" if pairs else ""
            if (found := matchspec._plain(text)) is None:
                continue
            short += 1
            assert read(lambda _, spec=found: spec, text) == read(matchspec._read, text), text
    assert short > 500


@pytest.mark.parametrize("kind", PLAIN)
def test_a_name_that_ends_in_a_version_keeps_it(kind: str) -> None:
    assert registry.get(kind).parse_spec("lib1.2").name_only
    with pytest.raises(SpecError):
        registry.get(kind).parse_spec("lib1.2,2")


def test_an_empty_pair_of_parentheses_is_no_version() -> None:
    with pytest.raises(SpecError, match="no version"):
        specifiers.parse("six ()")


@pytest.mark.parametrize("field", ["only_specs", "exclude_specs"])
def test_two_long_lists_are_compared_as_far_as_the_limit_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    spec = registry.get("conda").parse_spec
    names = [f"package-{number}" for number in range(LONG)]
    patterns = [f"*no-{number}*" for number in range(999)]
    last = ["*package*"] if field == "exclude_specs" else []
    compared = 0
    at = overlap.SpecIndex.at

    def counted(index: overlap.SpecIndex, name: str) -> Any:
        nonlocal compared
        compared += index.cost
        return at(index, name)

    monkeypatch.setattr(overlap.SpecIndex, "at", counted)
    mirror = compile_rules({"only_specs": names}, spec=spec, by="mirror")
    channel = compile_rules({field: [*patterns, *last]}, spec=spec, by="channel")
    [sentence] = conflicts(mirror, [channel], kind="conda")
    assert "too long" in sentence
    assert 0 < compared <= overlap.MOST_COMPARED


def test_a_list_that_leaves_something_ends_the_comparison_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = registry.get("conda").parse_spec
    monkeypatch.setattr(overlap, "MOST_COMPARED", 5000)
    mirror = compile_rules({"only_specs": ["x", *map(str, range(900))]}, spec=spec, by="mirror")
    channel = compile_rules({"exclude_specs": [f"n{n}*" for n in range(900)]}, spec=spec, by="x")
    assert conflicts(mirror, [channel], kind="conda") == []
