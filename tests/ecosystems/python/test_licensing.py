from __future__ import annotations

import pytest

from ecosystems import licenses
from ecosystems.python.licensing import stated

CLASSIFIER = "Classifier: License :: OSI Approved :: "


@pytest.mark.parametrize(
    ("lines", "families"),
    [
        (["License-Expression: MIT OR GPL-3.0-only", "License: BSD"], {"MIT", "GPL3"}),
        (["License: Apache 2.0"], {"Apache"}),
        (["License: UNKNOWN", f"{CLASSIFIER}MIT License"], {"MIT"}),
        ([f"{CLASSIFIER}MIT License", f"{CLASSIFIER}Apache Software License"], {"MIT", "Apache"}),
        (["License: see LICENSE.txt", f"{CLASSIFIER}BSD License"], {"BSD"}),
        (["License: GNU GENERAL PUBLIC LICENSE", "        Version 3, 29 June 2007"], {"GPL"}),
        (["Classifier: License :: OSI Approved"], {"None"}),
        ([], {"None"}),
    ],
)
def test_metadata_leads_to_families(lines: list[str], families: set[str]) -> None:
    text = "\n".join(["Metadata-Version: 2.1", "Name: x", *lines, "", "License: in the text"])
    found = licenses.families(*stated(text.encode()))
    assert {family for arm in found for family in arm} == families
