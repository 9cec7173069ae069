"""The mirror form: how lists are read, and what becomes of each field."""

from __future__ import annotations

from typing import Any

import pytest

from ecosystems import registry
from mirrors.models import MirrorType
from tests import scene
from web.pages.mirror_forms import COMMON_PLATFORMS, MirrorForm

BODY = {
    "mirror_mode": "active",
    "mirror_name": " approved ",
    "source_root": "https://mirror.example.org/main",
    "mirror_type": "conda",
    "frequency": "0 0 * * *",
    "cron": "1 2 3 4 5",
    "cron_timezone": "UTC",
}


@pytest.mark.django_db
def test_a_preset_frequency_wins_over_what_stands_in_the_hidden_field() -> None:
    form = MirrorForm(BODY)
    assert form.is_valid(), form.errors
    body = form.body()
    assert (body["cron"], body["mirror_name"]) == ("0 0 * * *", "approved")
    form = MirrorForm({**BODY, "frequency": "custom"})
    assert form.is_valid()
    assert form.body()["cron"] == "1 2 3 4 5"
    assert not MirrorForm({**BODY, "frequency": "custom", "cron": ""}).is_valid()


@pytest.mark.django_db
def test_what_a_type_does_not_have_is_neither_read_nor_saved(monkeypatch: Any) -> None:
    sent = {**BODY, "subdirs": ["noarch"], "keep_legacy": "on", "cve_score_threshold": "7"}
    form = MirrorForm(sent)
    assert form.is_valid()
    terms = form.body()["filters"]
    assert (terms["subdirs"], terms["keep_legacy"]) == (["noarch"], True)
    for kind in set(registry.kinds()) - {"conda"}:
        form = MirrorForm({**sent, "mirror_type": kind})
        assert form.is_valid()
        terms = form.body()["filters"]
        assert (terms["subdirs"], terms["keep_legacy"]) == ([], False)
        assert terms["cve_score_threshold"] == 7, "advisories are about all types"


@pytest.mark.django_db
def test_only_registered_types_are_offered() -> None:
    offered = [value for value, _ in MirrorForm().fields["mirror_type"].choices]  # type: ignore[attr-defined]
    assert offered == registry.kinds()
    assert not MirrorForm({**BODY, "mirror_type": "cargo"}).is_valid()


@pytest.mark.django_db
def test_the_platforms_most_people_need_come_first_and_noarch_is_ticked() -> None:
    common, others = MirrorForm().platforms
    assert [box.data["value"] for box in common] == list(COMMON_PLATFORMS)
    assert common[0].data["selected"]
    assert "linux-aarch64" in [box.data["value"] for box in others]
    assert not any(box.data["selected"] for box in [*common[1:], *others])


@pytest.mark.django_db
def test_an_edited_mirror_keeps_its_mode_and_type_whatever_is_sent(settings: Any) -> None:
    settings.UPSTREAM_ALLOW = ("https://mirror.example.org",)
    channel = scene.channel("main")
    mirror = scene.mirror(channel, BODY["source_root"], "m", mirror_mode="passive")
    form = MirrorForm({**BODY, "version": "1"}, mirror=mirror)
    assert form.is_valid(), form.errors
    assert form.body()["mirror_mode"] == "passive"
    assert form.body()["mirror_type"] == MirrorType.CONDA
