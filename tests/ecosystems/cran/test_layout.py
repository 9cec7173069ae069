"""Addresses of a CRAN-like repository."""

from __future__ import annotations

import pytest

from ecosystems.cran.ecosystem import Cran
from ecosystems.cran.layout import client_setup, extension_of, plain
from ecosystems.documents import Location

SOURCE = "src/contrib"


@pytest.mark.parametrize(
    ("path", "spot"),
    [
        ("src/contrib/PACKAGES.gz", Location(SOURCE, "", "PACKAGES.gz")),
        ("src/contrib/Meta/archive.rds", Location(SOURCE, "", "Meta/archive.rds")),
        ("src/contrib/aa_1.0.tar.gz", Location(SOURCE, "aa", "aa_1.0.tar.gz")),
        ("src/contrib/Archive/aa/aa_1.0.tar.gz", Location(SOURCE, "aa", "aa_1.0.tar.gz")),
        (
            "bin/windows/contrib/4.4/aa_1.0.zip",
            Location("bin/windows/contrib/4.4", "aa", "aa_1.0.zip"),
        ),
        (
            "bin/macosx/big-sur-arm64/contrib/4.10/PACKAGES",
            Location("bin/macosx/big-sur-arm64/contrib/4.10", "", "PACKAGES"),
        ),
        (
            "bin/macosx/contrib/4.0/aa_1.0.tgz",
            Location("bin/macosx/contrib/4.0", "aa", "aa_1.0.tgz"),
        ),
    ],
)
def test_both_places_of_a_version_are_one_file(path: str, spot: Location) -> None:
    assert Cran().locate(path, "") == spot


@pytest.mark.parametrize(
    "path",
    [
        "",
        "src/contrib",
        "src/contrib/",
        "src/contribution/PACKAGES",
        "src/contrib/Archive/bb/aa_1.0.tar.gz",
        "src/contrib/Archive/aa/bb/aa_1.0.tar.gz",
        "src/contrib/Archive/aa/PACKAGES",
        "src/contrib/4.4.0/Recommended/aa_1.0.tar.gz",
        "bin/windows/contrib/4.4/Archive/aa/aa_1.0.zip",
        "bin/windows/contrib/x/PACKAGES",
        "web/packages/packages.rds",
    ],
)
def test_everything_else_is_nowhere(path: str) -> None:
    assert Cran().locate(path, "") is None


def test_sections_are_told_from_those_of_other_types() -> None:
    cran = Cran()
    assert all(cran.owns_section(section) for section in cran.sections([]))
    assert not any(
        cran.owns_section(other) for other in ("", "noarch", "linux-64", "simple", "src")
    )


@pytest.mark.parametrize(
    ("section", "ending"),
    [
        ("src/contrib", ".tar.gz"),
        ("bin/windows/contrib/4.6", ".zip"),
        ("bin/macosx/sonoma-arm64/contrib/4.6", ".tgz"),
        ("bin/macos/arm64/contrib/4.7", ".tgz"),
        ("bin/emscripten/contrib/4.5", ".tgz"),
        ("bin/linux/noble-x86_64/contrib/4.6", ".tar.gz"),
    ],
)
def test_binaries_of_every_system_have_a_place(section: str, ending: str) -> None:
    assert Cran().owns_section(section)
    assert extension_of(section) == ending
    spot = Location(section, "aa", f"aa_1.0{ending}")
    assert Cran().locate(f"{section}/aa_1.0{ending}", "") == spot


def test_the_folders_of_r_4_7_on_a_mac_are_looked_for() -> None:
    assert "bin/macos/arm64/contrib/4.7" in Cran().sections([])


@pytest.mark.parametrize(
    ("way", "clean"),
    [
        ("sub/x", "sub/x"),
        ("./sub/x", "sub/x"),
        ("././x", "x"),
        ("sub//x/", "sub/x"),
        ("/sub/./x", "sub/x"),
        ("../x", None),
        ("sub/../x", None),
    ],
)
def test_clumsy_ways_are_made_plain_and_ways_out_are_none(way: str, clean: str | None) -> None:
    assert plain(way) == clean


def test_a_token_stands_behind_the_host() -> None:
    found = client_setup("https://host/api/repo/main", "abc")
    assert 'CRAN = "https://host/t/abc/api/repo/main/cran"' in found[".Rprofile"]
