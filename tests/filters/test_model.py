"""The names of rules: one list, of which each side has its part."""

from __future__ import annotations

import json

from filters.rules.model import CHANNEL_RULES, MIRROR_RULES, Rule


def test_every_rule_is_a_mirrors_or_a_channels() -> None:
    assert {*MIRROR_RULES, *CHANNEL_RULES} == set(Rule)
    assert Rule.TYPE not in MIRROR_RULES
    assert Rule.LEGACY not in CHANNEL_RULES


def test_a_rule_is_its_name_in_json_and_in_text() -> None:
    assert json.loads(json.dumps({Rule.LEGACY: 1})) == {"duplicated_legacy_conda": 1}
    assert f"{Rule.CVE}" == "cve"
