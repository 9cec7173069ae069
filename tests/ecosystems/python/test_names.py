from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename

from ecosystems.python.names import is_file, is_name, name_of, normalize, version_of

NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_.]{0,8}[a-z0-9]", fullmatch=True)
VERSIONS = st.from_regex(
    r"([1-3]!)?(0|[1-9][0-9]?)(\.(0|[1-9])){0,3}(a|b|rc)?(0|[1-9])?(\.post[0-9])?(\.dev[0-9])?"
    r"(\+[a-z0-9]{1,4}(\.[a-z0-9]{1,3})?)?",
    fullmatch=True,
).filter(lambda text: not text[-1:].isalpha() or "+" in text)


@given(NAMES)
def test_names_are_normalized_as_the_standard_says(name: str) -> None:
    assert normalize(name) == canonicalize_name(name)
    assert is_name(name)


@given(NAMES, VERSIONS)
def test_wheels_are_read_as_packaging_reads_them(name: str, version: str) -> None:
    filename = f"{name}-{version}-py3-none-any.whl"
    try:
        known, parsed, _, _ = parse_wheel_filename(filename)
    except ValueError:
        return
    assert version_of(filename, known) == str(parsed)
    assert name_of(filename) == known


@given(NAMES, VERSIONS)
def test_sdists_are_read_as_packaging_reads_them(name: str, version: str) -> None:
    filename = f"{name}-{version}.tar.gz"
    try:
        known, parsed = parse_sdist_filename(filename)
    except ValueError:
        return
    assert version_of(filename, known) == str(parsed)


@pytest.mark.parametrize(
    ("filename", "project", "version"),
    [
        ("six-1.16.0-py2.py3-none-any.whl", "six", "1.16.0"),
        ("foo_bar-1.0-1-py3-none-any.whl", "foo-bar", "1.0"),
        ("foo-1.0-x-py3-none-any.whl", "foo", None),
        # PEP 825: a variant's label, with and without a build tag, and what describes them.
        ("foo-1.0-cp311-cp311-win_amd64-cu12.whl", "foo", "1.0"),
        ("foo-1.0-2-cp311-cp311-win_amd64-cu12.whl", "foo", "1.0"),
        ("foo-1.0-cp311-cp311-win_amd64-a-b.whl", "foo", None),
        ("foo-1.0-cp311-cp311-win_amd64-label_is_too_long.whl", "foo", None),
        ("foo_bar-1.0-variants.json", "foo-bar", "1.0"),
        ("foo-1.0.json", "foo", None),
        ("foo-bar-1.0.tar.gz", "foo-bar", "1.0"),
        ("foo.bar-1.0-1.zip", "foo-bar", "1.0.post1"),
        ("foo-1-2.tar.gz", "foo-1", "2"),
        ("foo-1-2.tar.gz", "foo", "1.post2"),
        ("foo-01.00.tgz", "foo", "1.0"),
        ("foo-1.0-py2.7.egg", "foo", "1.0"),
        ("foo-1.0-py2.7-linux-x86_64.egg", "foo", "1.0"),
        ("foo-1.0.win32-py2.7.exe", "foo", "1.0"),
        ("foo-1.0.win-amd64-py3.8.msi", "foo", "1.0"),
        ("foo-1.0-1.noarch.rpm", "foo", "1.0.post1"),
        ("bar-1.0.tar.gz", "foo", None),
        ("foo-one.tar.gz", "foo", None),
        ("foo-1.0.txt", "foo", None),
        ("foo.tar.gz", "foo", None),
        ("foo-1.0.whl", "foo", None),
        (".tar.gz", "foo", None),
    ],
)
def test_a_file_is_read_against_its_project(
    filename: str, project: str, version: str | None
) -> None:
    assert version_of(filename, project) == version


@pytest.mark.parametrize("name", ["", "-a", "a-", "a b", "a/b", "ä", "a" * 200, "."])
def test_what_is_no_name_is_none(name: str) -> None:
    assert not is_name(name)


@pytest.mark.parametrize(
    "name", ["", "../a-1.tar.gz", ".a", "a b", "a/b", "a\b", "a%20b", "a" * 300]
)
def test_what_no_address_can_have_is_no_file(name: str) -> None:
    assert not is_file(name)


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("Foo_Bar-1.0-py3-none-any.whl.metadata", "foo-bar"),
        ("foo-bar-1.0.tar.gz", "foo-bar"),
        ("repodata.json", None),
        ("six-1.0-0.conda", None),
        ("nothing.tar.gz", None),
    ],
)
def test_the_name_is_told_from_a_file(filename: str, name: str | None) -> None:
    assert name_of(filename) == name
