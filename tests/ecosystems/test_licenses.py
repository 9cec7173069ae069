"""License texts of real packages and the families they belong to."""

from __future__ import annotations

import pytest

from ecosystems.errors import SpecError
from ecosystems.licenses import FAMILIES, canonical, excluded, families, included

ONE_FAMILY = [
    ("MIT", "", "MIT"),
    ("mit", "", "MIT"),
    ("X11", "", "MIT"),
    ("GPL-2.0-only", "", "GPL2"),
    ("GPL-2.0-or-later", "", "GPL2"),
    ("GPL-2.0+", "", "GPL2"),
    ("GPL-2.0-or-later WITH Classpath-exception-2.0", "", "GPL2"),
    ("GPL-3.0-only WITH GCC-exception-3.1", "", "GPL3"),
    ("GPL-3.0-or-later", "", "GPL3"),
    ("GPL-1.0-or-later", "", "GPL"),
    ("LGPL-2.1-or-later", "", "LGPL"),
    ("AGPL-3.0-only", "", "AGPL"),
    ("Apache-2.0 WITH LLVM-exception", "", "Apache"),
    ("MPL-2.0", "OTHER", "MOZILLA"),
    ("Python-2.0", "", "PSF"),
    ("PSF-2.0", "", "PSF"),
    ("CNRI-Python", "", "PSF"),
    ("0BSD", "", "BSD"),
    ("Unlicense", "", "Public-Domain"),
    ("CC0-1.0", "", "Public-Domain"),
    ("CC-BY-SA-4.0", "", "CC"),
    ("ISC", "", "Other"),
    ("LicenseRef-Proprietary", "", "Proprietary"),
    ("LicenseRef-ACME-End-User-License-Agreement", "", "Proprietary"),
    ("LicenseRef-MKL", "Proprietary", "Proprietary"),
    ("LicenseRef-Something", "", "Other"),
    # the stated family decides where the text is not SPDX
    ("BSD", "BSD", "BSD"),
    ("GPL (>= 2)", "GPL3", "GPL3"),
    ("Custom", "APACHE", "Apache"),
    ("", "PUBLIC_DOMAIN", "Public-Domain"),
    ("", "public domain", "Public-Domain"),
    ("whatever", "Other", "Other"),
    ("GPLv3 with a twist", "Other", "GPL3"),
    # free text
    ("BSD 3-Clause", "", "BSD"),
    ("3-clause BSD", "", "BSD"),
    ("Apache 2.0", "", "Apache"),
    ("Apache License, Version 2.0", "", "Apache"),
    ("GPL (>= 2)", "", "GPL2"),
    ("GPLv2", "", "GPL2"),
    ("GPL v3", "", "GPL3"),
    ("GNU GPL", "", "GPL"),
    ("GPL version 2 or later", "", "GPL2"),
    ("GNU General Public License v3 or later (GPLv3+)", "", "GPL3"),
    ("GNU Lesser General Public License v2.1", "", "LGPL"),
    ("Mozilla Public License 2.0", "", "MOZILLA"),
    ("Python Software Foundation", "", "PSF"),
    ("MIT + file LICENSE", "", "MIT"),
    ("file LICENSE", "", "Other"),
    ("Public Domain", "", "Public-Domain"),
    ("Proprietary - all rights reserved", "", "Proprietary"),
    ("permissive", "", "Other"),
    ("((((((", "", "Other"),
    ("", "", "None"),
    ("None", "", "None"),
    ("UNKNOWN", "", "None"),
    ("NOASSERTION", "", "None"),
]


@pytest.mark.parametrize(("license", "family", "expected"), ONE_FAMILY)
def test_a_license_belongs_to_its_family(license: str, family: str, expected: str) -> None:
    assert families(license, family) == {frozenset({expected})}
    assert expected in FAMILIES


@pytest.mark.parametrize(
    ("license", "arms"),
    [
        ("MIT OR GPL-2.0-only", [{"MIT"}, {"GPL2"}]),
        ("MIT AND GPL-2.0-only", [{"MIT", "GPL2"}]),
        ("MIT AND (Apache-2.0 OR GPL-3.0-only)", [{"MIT", "Apache"}, {"MIT", "GPL3"}]),
        ("MIT OR (MIT AND GPL-3.0-only)", [{"MIT"}]),
        ("LGPLv2+ and MIT", [{"LGPL", "MIT"}]),
        ("MIT/Apache-2.0", [{"MIT"}, {"Apache"}]),
        ("GPL-2 | GPL-3", [{"GPL2"}, {"GPL3"}]),
        ("BSD-3-Clause AND LicenseRef-Foo", [{"BSD", "Other"}]),
        ("Artistic-1.0-Perl OR GPL-1.0-or-later", [{"Other"}, {"GPL"}]),
    ],
)
def test_an_expression_is_read_as_alternatives(license: str, arms: list[set[str]]) -> None:
    assert families(license, "") == {frozenset(arm) for arm in arms}


def test_a_text_that_multiplies_its_choices_is_still_judged() -> None:
    choices = [
        "MIT OR GPL-2.0",
        "CC0-1.0 OR LGPL-2.1",
        "BSD-2-Clause OR AGPL-3.0",
        "ISC OR Apache-2.0",
    ]
    text = " AND ".join(f"({choice})" for choice in choices * 3)
    assert excluded(text[:300].rpartition(" AND")[0], "", frozenset({"GPL2"})) is None


@pytest.mark.parametrize(
    ("license", "chosen", "decided"),
    [
        ("GPL-2.0-only", {"GPL"}, "GPL2"),
        ("GPL-3.0-only", {"GPL"}, "GPL3"),
        ("GPL-1.0-only", {"GPL"}, "GPL"),
        ("GPL-3.0-only", {"GPL2"}, None),
        ("GPL-1.0-only", {"GPL2", "GPL3"}, None),
        ("LGPL-2.1-only", {"GPL"}, None),
        ("AGPL-3.0-only", {"GPL"}, None),
        ("MIT OR GPL-2.0-only", {"GPL"}, None),
        ("MIT OR GPL-2.0-only", {"GPL", "MIT"}, "GPL2"),
        ("MIT AND GPL-2.0-only", {"GPL"}, "GPL2"),
        ("MIT", set(), None),
        ("", {"None"}, "None"),
        ("", {"Other"}, None),
    ],
)
def test_a_license_is_excluded_only_if_every_alternative_is(
    license: str, chosen: set[str], decided: str | None
) -> None:
    assert excluded(license, "", frozenset(chosen)) == decided


@pytest.mark.parametrize(
    ("license", "chosen", "decided"),
    [
        ("MIT", {"MIT"}, "MIT"),
        ("MIT OR GPL-2.0-only", {"MIT"}, "MIT"),
        ("MIT AND GPL-2.0-only", {"MIT"}, None),
        ("MIT AND GPL-2.0-only", {"MIT", "GPL"}, "GPL2"),
        ("GPL-3.0-only", {"MIT"}, None),
    ],
)
def test_a_license_is_rescued_if_one_alternative_lies_within(
    license: str, chosen: set[str], decided: str | None
) -> None:
    assert included(license, "", frozenset(chosen)) == decided


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("gpl3", "GPL3"),
        ("public_domain", "Public-Domain"),
        ("Public-Domain", "Public-Domain"),
        ("PUBLIC DOMAIN", "Public-Domain"),
        ("mozilla", "MOZILLA"),
        ("none", "None"),
    ],
)
def test_family_names_are_read_however_they_are_written(name: str, family: str) -> None:
    assert canonical(name) == family


def test_an_unknown_family_is_refused_with_the_list() -> None:
    with pytest.raises(SpecError, match="no license family; the families are AGPL, GPL, GPL2"):
        canonical("copyleft")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("GPL-2", [["GPL2"]]),
        ("GPL-3", [["GPL3"]]),
        ("GPL", [["GPL"]]),
        ("GPL (>= 2)", [["GPL2"]]),
        ("GPL (>= 2.1, < 4)", [["GPL2"]]),
        ("GPL (>=3)", [["GPL3"]]),
        ("GPL (== 2)", [["GPL2"]]),
        ("GPL (< 3)", [["GPL"]]),
        ("LGPL (>= 2.1, < 4)", [["LGPL"]]),
        ("GPL (>= 2) | file LICENSE", [["GPL2"], ["Other"]]),
        ("GPL-3 + file LICENSE", [["GPL3"]]),
        ("MIT + file LICENSE", [["MIT"]]),
        ("GPL (>= 3) | MIT + file LICENCE", [["GPL3"], ["MIT"]]),
        ("BSD_2_clause + file LICENSE", [["BSD"]]),
        ("Apache License (== 2.0)", [["Apache"]]),
        ("Mozilla Public License 2.0", [["MOZILLA"]]),
        ("CC BY 4.0", [["CC"]]),
        ("CC0", [["Public-Domain"]]),
        ("Artistic-2.0 | AGPL-3", [["AGPL"], ["Other"]]),
        ("file LICENSE", [["Other"]]),
        ("Unlimited", [["Other"]]),
    ],
)
def test_licenses_in_the_grammar_of_r(text: str, wanted: list[list[str]]) -> None:
    assert sorted(sorted(arm) for arm in families(text, "")) == wanted


def test_a_version_range_of_r_can_be_rescued_by_its_family() -> None:
    assert included("LGPL (>= 2.1, < 4)", "", frozenset({"LGPL"})) == "LGPL"
