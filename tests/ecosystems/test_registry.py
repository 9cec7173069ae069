"""The types there are, and whose names stand where in a channel."""

from __future__ import annotations

from ecosystems import registry
from ecosystems.kinds import KIND_OF_FAMILY, Family, Kind


def test_every_kind_and_family_has_its_ecosystem() -> None:
    assert [registry.get(kind).kind for kind in Kind] == list(Kind) == registry.kinds()
    assert [registry.of_family(family).family for family in Family] == list(Family)
    assert {registry.of_family(family).kind: family for family in Family} == {
        kind: family for family, kind in KIND_OF_FAMILY.items()
    }


def test_one_type_stands_at_the_root_and_the_others_behind_a_word_of_their_own() -> None:
    assert registry.at_root().kind is Kind.CONDA
    assert sorted(registry.prefixed()) == ["cran", "simple"]


def test_names_at_the_root_are_no_subchannels() -> None:
    assert {"simple", "cran", "noarch", "linux-64", "channeldata.json"} <= registry.root_names()
    assert "tools" not in registry.root_names()
