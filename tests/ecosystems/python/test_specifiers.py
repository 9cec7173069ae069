from __future__ import annotations

import pytest

from ecosystems.errors import SpecError
from ecosystems.python.specifiers import parse
from ecosystems.records import Record


def record(name: str, version: str) -> Record:
    return Record(name=name, version=version)


@pytest.mark.parametrize(
    ("spec", "name", "version", "fits"),
    [
        ("numpy", "numpy", "1.0", True),
        ("NumPy", "numpy", "1.0", True),
        ("zope.interface", "zope-interface", "1.0", True),
        ("Foo__Bar", "foo-bar", "1.0", True),
        ("numpy", "numpy2", "1.0", False),
        ("p*", "pandas", "1.0", True),
        ("p*", "numpy", "1.0", False),
        ("*-stubs", "foo-stubs", "1.0", True),
        ("Django_*", "django-rest", "1.0", True),
        ("numpy<2", "numpy", "1.26.4", True),
        ("numpy<2", "numpy", "2.0rc1", False),
        ("numpy<2", "numpy", "2.0", False),
        ("numpy >=1.26, !=1.26.3", "numpy", "1.26.4", True),
        ("numpy (>=1.26)", "numpy", "1.26.4", True),
        ("numpy==1.26.*", "numpy", "1.26.4", True),
        ("numpy~=1.26", "numpy", "1.30", True),
        ("numpy>1", "numpy", "2.0a1", True),
        ("numpy===1.26.4", "numpy", "1.26.4", True),
        ("p*<2", "pandas", "1.0", True),
        ("p*<2", "pandas", "2.0", False),
    ],
)
def test_a_spec_fits_or_not(spec: str, name: str, version: str, fits: bool) -> None:
    assert parse(spec).matches(record(name, version)) is fits


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "name"),
        (">=1", "name"),
        ("numpy 1.26", "Invalid specifier"),
        ("numpy=1.26", "Invalid specifier"),
        ("numpy<two", "Invalid specifier"),
        ("numpy[extra]<2", "extras"),
        ("numpy; python_version < '3'", "marker"),
        ("numpy @ https://host/x.whl", "address"),
        ("-numpy", "name"),
        ("numpy-", "no name"),
        ("numpy ()", "no version"),
    ],
)
def test_what_is_no_spec_is_refused_in_words(text: str, word: str) -> None:
    with pytest.raises(SpecError, match=word):
        parse(text)


def test_specs_that_mean_the_same_have_one_canonical_form() -> None:
    same = {
        parse(text).canonical for text in ("Foo_Bar<2,>=1", "foo-bar >=1, <2", "foo.bar(>=1,<2)")
    }
    assert len(same) == 1
    assert parse("numpy").canonical != parse("numpy<2").canonical


def test_a_spec_says_what_it_decides_by() -> None:
    assert (parse("Num.Py").exact_name, parse("num*").exact_name) == ("num-py", None)
    assert parse("numpy").name_only
    assert not parse("numpy<2").name_only
