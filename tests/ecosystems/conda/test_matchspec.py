"""Conda package specs: every form of CEP 29, and how we differ from other readers of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import rattler
from hypothesis import given, settings
from hypothesis import strategies as st

from ecosystems.conda.matchspec import parse
from ecosystems.errors import SpecError
from ecosystems.records import Record


class Made(Record, gc=False, kw_only=True):
    """A record that finds other fields in its raw JSON."""

    def value(self, key: str) -> str | int | None:
        found = json.loads(self.raw or b"{}").get(key)
        return found if isinstance(found, str | int) else None


def record(**fields: Any) -> Made:
    given_: dict[str, Any] = {
        "filename": "numpy-1.8.1-py27_1.conda",
        "name": "numpy",
        "version": "1.8.1",
        "build": "py27_1",
        "build_number": 1,
        "license": "BSD-3-Clause",
        "license_family": "BSD",
        "timestamp": 1_600_000_000_000,
        "size": 1234,
        "sha256": "ab" * 32,
        "md5": "cd" * 16,
        "raw": b'{"subdir": "linux-64", "noarch": "python", "feature_level": 7, "depends": []}',
    }
    return Made(**{**given_, **fields})


MATCHES = [
    "numpy",
    "NumPy",
    "n*",
    "N*PY",
    "*",
    "*umpy",
    "n*m*y",
    "  numpy  ",
    "numpy 1.8.1",
    "numpy==1.8.1",
    "numpy ==1.8.1",
    "numpy = 1.8",
    "numpy=1.8",
    "numpy =1.8",
    "numpy=1.8.*",
    "numpy 1.8.*",
    "numpy 1.8.* *",
    "numpy=1.8.*=*",
    "numpy =1.8.* *",
    "numpy ==1.8.* *",
    "numpy>=1.8",
    "numpy >=1.8,<2",
    "numpy >= 1.8 , < 2",
    "numpy >=1.8,<2 py27*",
    "numpy>=1.8 py27_1",
    "numpy 1.7|1.8.1",
    "numpy (>=1,<2)|3",
    "numpy !=1.8",
    "numpy ~=1.8.0",
    "numpy 1.*.1",
    "numpy=1.8.1=py27_1",
    "numpy==1.8.1=PY27_1",
    "numpy 1.8.1 py27_1",
    "numpy =1.8 py27_1",
    "numpy 1.8.1 *_1",
    "numpy * py27*",
    "numpy[version=1.8.1]",
    "numpy[version='=1.8']",
    'numpy[version=">=1.8,<2", build=py27*]',
    "numpy[version=1.8.* build='py*_1']",
    "numpy[build_number=1]",
    "numpy[build_number='>=1']",
    "numpy[build_number=>=1]",
    "numpy[build_number='>=1,<2']",
    "*[license='bsd*']",
    "*[license=BSD-3-clause]",
    "*[license_family=bsd]",
    "*[subdir=linux-64]",
    "*[subdir='linux-*']",
    "*[fn='numpy-1.8.1-*.conda']",
    "*[md5=" + "CD" * 16 + "]",
    "*[sha256=" + "ab" * 32 + "]",
    "*[size='<2000']",
    "*[size=12*]",
    "*[timestamp='>=1600000000000']",
    "*[noarch=python]",
    "*[feature_level=7]",
    "*[feature_level='>6']",
    "*/linux-64::numpy",
    "*::numpy",
    "::numpy",
    "namespace:numpy",
    "*:namespace:numpy",
    "numpy[channel='*']",
    "numpy 9.9[version=1.8.1]",
    "numpy[name=NUMPY]",
    "numpy[build='py\\27*', version=1.8.1]",
    "numpy =1.8.1=py27*",
    "numpy =*=py27*",
    "numpy *=py27_1",
    "numpy 1.8.1=py27_1",
    "numpy >=1,<2=py27_1",
    "^num.*$",
    "^NUM.*$",
    "^nu[l-n]py$",
    "^(?:nu|x)mpy$",
    "^num.*$ 1.8.1",
    "^num.*$ >=1",
    "^num.*$>=1",
    "^num.*$[version='1.8.1']",
    "*[name='^num.*$']",
    "*[name=num*]",
    "numpy 1.8.1 ^py[0-9]+_1$",
    "numpy=1.8.1=^PY.*$",
    "numpy[build='^py.*$']",
    "numpy[build=^py.*$]",
    "numpy ^1\\.8.*$",
    "numpy ^1.*$ py27_1",
    "numpy >=1,^.*8.1$",
    "numpy[version='^1.8.1$|9']",
    "numpy[build_number='^[0-3]$']",
    "*[license='^bsd-\\\\d.*$']",
    "*[noarch=^python$]",
]

DOES_NOT_MATCH = [
    "scipy",
    "numpy-base",
    "num",
    "numpy*base",
    "n*x*y",
    "numpy 1.8",
    "numpy==1.8",
    "numpy=1.8=py27_1",
    "numpy==1.8=py27_1",
    "numpy=1.9",
    "numpy <1.8",
    "numpy 1.8.1 py36*",
    "numpy =1.8 py36*",
    "numpy[build_number='>1']",
    "*[license=BSD]",
    "*[license='GPL*']",
    "*[subdir=win-64]",
    "*/win-64::numpy",
    "*[size='>2000']",
    "*[noarch=generic]",
    "*[depends_on=x]",
    "*[feature_level='<7']",
    "numpy 1.8.1[version=9.9]",
    "*[fn='*.tar.bz2']",
    "numpy =1.8=py27*",
    "numpy *=py27",
    "numpy =*=cuda*",
    "^num$",
    "^[^n].*$",
    r"^\d+$",
    "numpy 1.8.1 ^py3.*$",
    "numpy ^2.*$",
    "numpy[build_number='^[2-9]$']",
    "*[license='^GPL.*$']",
]


@pytest.mark.parametrize("text", MATCHES)
def test_the_spec_matches(text: str) -> None:
    assert parse(text).matches(record())


@pytest.mark.parametrize("text", DOES_NOT_MATCH)
def test_the_spec_does_not_match(text: str) -> None:
    assert not parse(text).matches(record())


def test_missing_numbers_satisfy_no_condition() -> None:
    bare = record(size=-1, timestamp=None)
    for text in ("*[size='>=0']", "*[size=*]", "*[timestamp='>=0']", "*[timestamp='!=5']"):
        assert not parse(text).matches(bare)


@pytest.mark.parametrize(
    ("text", "words", "place"),
    [
        ("^py.*", "begins with .* and ends with", 1),
        ("numpy ^1.*", "begins with .* and ends with", 7),
        ("numpy 1.8 ^py.*", "begins with .* and ends with", 11),
        ("^(?=n)umpy$", "cannot be matched in linear time", 1),
        (r"^(n)\1$", "cannot be matched in linear time", 1),
        ("^n{9999}$", "cannot be matched in linear time", 1),
        ("numpy 1.8 ^(py$", "cannot be matched in linear time", 11),
        (r"numpy[build='^\\pN$']", "no regular expression that conda reads", 14),
        ("numpy[build='^[[:alpha:]]$']", "no regular expression that conda reads", 14),
        ("numpy[version='^1{,3}$']", r"write .\{0,3\}. for .\{,3\}.", 16),
        ("numpy >^1.*$", "cannot be used with a regular expression", 8),
        ("numpy>>2", "a version was expected", 7),
        ("numpy 1..0", "empty part", 7),
        ("numpy[version='1..0']", "empty part", 16),
        ("numpy 1 2 3", "only name, version and build fit here", 11),
        ("numpy >=1 <2", 'join version conditions with ","', 11),
        ("numpy=1 b", "by spaces or by '=', not by both", 9),
        ("numpy=1=", "the build string is missing", 9),
        ("numpy=1=2=3", 'one "=" too many', 10),
        ("numpy 1 b^", "is no build string", 9),
        ("num@py", "cannot stand in a package name", 4),
        ("numpy, scipy", "cannot stand in a package name", 6),
        ("@py", "cannot begin a package name", 1),
        ("[license=x]", "the package name is missing", 1),
        ("conda-forge::numpy", "a mirror has one source", 1),
        ("conda-forge/linux-64::numpy", r"write \"\*/linux-64::…\"", 1),
        ("numpy[channel=main]", "a mirror has one source", 15),
        ("numpy[", 'the "\\[" is not closed', 6),
        ("numpy[build=b", 'the "\\[" is not closed', 6),
        ("numpy[optional]", 'needs "=" and a value', 15),
        ("numpy[build=]", "a value is missing", 13),
        ("numpy[build='b]", "the quote is not closed", 13),
        ("numpy[version=>=1,<2]", "key=value was expected", 19),
        ("numpy[build=b] x", "nothing may follow the brackets", 15),
        ("numpy[build=b,build=c]", '"build" is given twice', 21),
        ("numpy[depends=x]", "lists cannot be matched", 15),
        ("numpy[build_number=abc]", "is no condition on one", 20),
        ("numpy[name=scipy]", 'the name is "numpy" already', 12),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(text: str, words: str, place: int) -> None:
    with pytest.raises(SpecError, match=rf"{words}.*\(character {place} of"):
        parse(text)


@pytest.mark.parametrize("text", ["", "   ", "x" * 1001])
def test_an_empty_or_endless_spec_is_refused(text: str) -> None:
    with pytest.raises(SpecError):
        parse(text)


@pytest.mark.parametrize(
    ("text", "name_only", "version_only", "exact_name"),
    [
        ("NumPy", True, True, "numpy"),
        ("p*", True, True, None),
        ("^py.*$", True, True, None),
        ("numpy * *", True, True, "numpy"),
        ("numpy[version='*',build=*]", True, True, "numpy"),
        ("numpy >=1", False, True, "numpy"),
        ("numpy >=1 b*", False, False, "numpy"),
        ("*[license=MIT]", False, False, None),
    ],
)
def test_a_spec_knows_what_decides_it(
    text: str, name_only: bool, version_only: bool, exact_name: str | None
) -> None:
    spec = parse(text)
    assert (spec.name_only, spec.version_only, spec.exact_name) == (
        name_only,
        version_only,
        exact_name,
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("numpy >=1.8, <2", "NUMPY>=1.8,<2"),
        ("numpy[build='b',version='1']", "numpy[version=1,build=B]"),
        ("*/linux-64::numpy", "numpy[subdir=linux-64]"),
        ("numpy * *", "numpy"),
    ],
)
def test_specs_that_say_the_same_have_one_canonical_form(one: str, other: str) -> None:
    assert parse(one).canonical == parse(other).canonical


def test_regular_expressions_that_differ_in_case_are_two() -> None:
    assert parse(r"^\d+$").canonical != parse(r"^\D+$").canonical
    assert parse(r"x[version='^\\d$']").canonical != parse(r"x[version='^\\D$']").canonical


def test_a_hostile_regular_expression_takes_no_time() -> None:
    # Python's own matcher would try 2**20000 ways.
    assert not parse("^(a+)+b$").matches(record(name="a" * 20_000))


def test_a_hostile_pattern_takes_no_time() -> None:
    spec = parse("*" + "a*" * 90 + "b")
    # A matcher that goes back and tries again would not end in a lifetime.
    assert not spec.matches(record(name="a" * 20_000))


# What we answer, where conda, rattler or the text of the CEP answer otherwise. The
# last column says who differs and why our answer is the one it is.
KNOWN_DIFFERENCES = [
    ("P*", "python", "3.12", True, "rattler compares a glob's case; the CEP and conda do not"),
    ("^PY.*$", "python", "1", True, "rattler compares a regex's case; the CEP and conda do not"),
    (r"^\D+$", "python", "1", True, "rattler too; conda reads it in lower case, as \\d"),
    ("^x|on$", "python", "1", False, "conda looks at the beginning; rattler anywhere"),
    ("python ^3.*$", "python", "3.8", True, "the CEP and conda; rattler cannot read it"),
    ("python =3.8.0", "python", "3.8rc1", False, "rattler matches; 3.8rc1 is not within 3.8.0"),
    ("python =3.8.0", "python", "3.8", True, "conda too: a missing part is a zero"),
    ("python =3.8", "python", "3.8rc1", True, "conda and rattler too; the CEP compares segments"),
    ("python !=3.8", "python", "3.8.1", True, "conda and rattler too; the CEP negates =3.8"),
    ("python !=3.8*", "python", "3.8.1", False, "conda says True for every version"),
    ("python ==3.8.*", "python", "3.8.1", True, "the CEP and rattler; conda drops the .*"),
    ("python 3.*.3", "python", "3.8.3", True, "the CEP and conda; rattler cannot read it"),
    ("python =1+a", "python", "1+ab", True, "conda's prefix of a word; rattler wants all of it"),
    ("python 9999999999", "python", "9999999999", True, "the CEP ends at 2**31-1; conda does not"),
    ("python 1-2_3", "python", "1_2_3", True, "the CEP; conda takes no dash beside an underscore"),
    ("*[license='bsd*']", "python", "1", True, "the CEP and conda; rattler only knows equality"),
    ("*[timestamp='>5']", "python", "1", True, "ours; rattler has no such key, the CEP no order"),
    ("*[build_number='>=1']", "python", "1", True, "conda and rattler too; the CEP has no order"),
]
REFUSED_HERE = [
    ("^(?=p)y.*$", "conda and rattler go back and try again, which can run for ever"),
    ("python >3.8.*", "conda reads >3.8, rattler >=3.8; the CEP forbids the mixture"),
    ("python=3.8 py38_0", "conda and rattler read it; the CEP forbids mixed separators"),
    ("conda-forge::python", "rattler reads it and ignores the channel"),
    ("python[name=numpy]", "the CEP ignores the name in brackets, which would surprise"),
    ("python[optional]", "conda's internal keyword, left out of the CEP"),
    ("python@mkl", "conda's features, left out of the CEP"),
]


@pytest.mark.parametrize(("text", "name", "version", "ours", "note"), KNOWN_DIFFERENCES)
def test_our_answer_where_others_differ(
    text: str, name: str, version: str, ours: bool, note: str
) -> None:
    assert parse(text).matches(record(name=name, version=version)) is ours, note


@pytest.mark.parametrize(("text", "note"), REFUSED_HERE)
def test_we_refuse_what_others_read(text: str, note: str) -> None:
    with pytest.raises(SpecError):
        parse(text)


names = st.sampled_from(["numpy", "numpy-base", "python", "py", "r-base", "_libgcc_mutex"])
name_patterns = st.one_of(names, st.sampled_from(["*", "n*", "*py", "num*y", "*-*", "p*n", "py*"]))
literals = st.lists(st.integers(0, 3).map(str), min_size=1, max_size=3).map(".".join)
clauses = st.one_of(
    st.builds(
        lambda op, version: op + version,
        st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
        literals,
    ),
    literals.map("{}.*".format),
)
conditions = st.lists(clauses, min_size=1, max_size=3).flatmap(
    lambda parts: st.sampled_from([",", "|"]).map(lambda sep: sep.join(parts))
)
# Without brackets: rattler takes those of an expression for the spec's own.
expressions = st.sampled_from(
    ["^num.*$", "^(n|r).*y$", "^p(y|ython)$", "^r-\\w+$", "^.{2,5}$", "^_?.*$", "^.*-base$"]
)
builds = st.sampled_from(["py27_0", "py36h123_1", "0", "h5_2"])
build_expressions = st.sampled_from(["^py.*$", "^\\d$", "^.*_(0|1)$", "^.{1,6}$"])
build_patterns = st.one_of(
    builds, st.sampled_from(["*", "py*", "*_0", "py*_1", "*h*"]), build_expressions
)


FORMS = [
    "{n}",
    "{n} {v}",
    "{n}={l}",
    "{n}=={l}",
    "{n} ={l}={b}",
    "{n} {v}={b}",
    "{n} =*={b}",
    "{n} {l} {b}",
    "{n}={l}={b}",
    "{n} {v} {b}",
    "{n}[version='{v}']",
    "{n}[build='{b}']",
    "{n}[version='{v}', build_number='{k}']",
]


@st.composite
def specs(draw: st.DrawFn) -> str:
    """Specs of the forms that rattler and we both read."""
    name = draw(st.one_of(name_patterns, expressions))
    form = draw(st.sampled_from(FORMS))
    return form.format(
        n=name,
        v=draw(conditions),
        l=draw(literals),
        b=draw(build_patterns),
        k=draw(st.sampled_from([">=1", "<2", "==1"])),
    )


@settings(max_examples=1200, deadline=None)
@given(specs(), names, literals, builds, st.integers(0, 2))
def test_we_agree_with_rattler(text: str, name: str, version: str, build: str, number: int) -> None:
    theirs = rattler.MatchSpec(text, exact_names_only=False).matches(
        rattler.PackageRecord(
            name=name,
            version=version,
            build=rattler.BuildString(build),
            build_number=number,
            subdir="linux-64",
        )
    )
    ours = record(name=name, version=version, build=build, build_number=number)
    assert parse(text).matches(ours) == theirs


@settings(max_examples=500, deadline=None)
@given(st.text(alphabet="ab1.*=<>!~,|()[]'\"^$ :/_-+@\\", max_size=30))
def test_any_text_is_read_or_refused_with_a_sentence(text: str) -> None:
    try:
        spec = parse(text)
    except SpecError:
        return
    assert spec.matches(record()) in (True, False)
