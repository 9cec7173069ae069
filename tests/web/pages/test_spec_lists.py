"""Lists of specs, as people type and paste them."""

from __future__ import annotations

import pytest

from web.pages.spec_lists import split


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("", []),
        ("numpy", ["numpy"]),
        ("numpy, scipy,pandas", ["numpy", "scipy", "pandas"]),
        ("numpy scipy\npandas;six", ["numpy", "scipy", "pandas", "six"]),
        ("numpy >=1.2,<2, scipy", ["numpy >=1.2,<2", "scipy"]),
        ("openssl >=1, !=1.1 ; zlib", ["openssl >=1, !=1.1", "zlib"]),
        ("foo[license=GPL,build=*], bar", ["foo[license=GPL,build=*]", "bar"]),
        ("p*\r\n\r\n  q* ", ["p*", "q*"]),
        ("numpy 1.26.*, six", ["numpy 1.26.*", "six"]),
    ],
)
def test_lists_are_split_between_specs_and_never_inside_one(text: str, entries: list[str]) -> None:
    assert split(text) == entries


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("a,b,c", ["a", "b", "c"]),
        ("numpy >=1,<2, scipy", ["numpy >=1,<2", "scipy"]),
        ("a[x,y],b", ["a[x,y]", "b"]),
        (
            "conda-forge::a[version='>=1,<2',build=x], b",
            ["conda-forge::a[version='>=1,<2',build=x]", "b"],
        ),
        ("a], b, c[", ["a]", "b", "c["]),
        ("a, b], c", ["a, b]", "c"]),
        (",,a,,", ["a"]),
        ("a,  3", ["a,  3"]),
        ("", []),
    ],
)
def test_a_pasted_line_is_cut_at_commas_that_are_in_no_spec(text: str, entries: list[str]) -> None:
    assert split(text) == entries
