"""While one types, Test connection and Preview: nothing is saved."""

from __future__ import annotations

import pytest

from channels import services as channel_manage
from channels.models import Channel
from ecosystems import registry
from history.models import Event
from mirrors.models import Mirror, Preview
from runs import preview
from tests.condatree import FakeConda
from tests.web.pages.mirror_pages import TAB, browser, form, text

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("allowed")]


def test_with_the_channels_filter_conflicts_are_said_in_words(channel: Channel) -> None:
    channel_manage.edit(channel, {"filters": {"subdirs": ["win-64"]}}, actor="admin")
    client = browser()
    assert "win-64" in text(client.get(f"{TAB}create/")).split('id="channel-filters"')[1]
    said = text(client.post(f"{TAB}check/", form(subdirs=["noarch"])))
    assert "have none in common" in said
    assert "none in common" not in text(client.post(f"{TAB}check/", form(subdirs=["win-64"])))


def test_while_one_types_specs_and_frequency_are_answered(channel: Channel) -> None:
    client = browser()
    said = text(
        client.post(
            f"{TAB}check/",
            form(exclude_specs="six\nbad ==", frequency="custom", cron="*/5 * * * *"),
        )
    )
    assert 'data-invalid="bad =="' in said
    assert 'data-invalid="six"' not in said
    assert "Every 5 minutes" in said
    assert "more often than daily" in said
    said = text(client.post(f"{TAB}check/", form(cron_timezone="Europe/Berlin")))
    assert said.count(", then ") == 2
    assert "(Europe/Berlin)" in said
    said = text(client.post(f"{TAB}check/", form(frequency="custom", cron="* * *")))
    assert "exactly five fields" in said
    assert text(client.post(f"{TAB}check/", {"mirror_type": "conda"}))


def test_the_connection_test_names_what_is_there(channel: Channel, conda: FakeConda) -> None:
    client = browser()
    found = text(client.post(f"{TAB}test/", form(source_root=conda.channel, mirror_name="")))
    assert "This is a conda source" in found
    assert "<dt>noarch</dt>" in found
    assert "<dt>linux-64</dt>" in found
    meant = text(client.post(f"{TAB}test/", form(source_root=f"{conda.channel}/linux-64")))
    assert f'data-source-root="{conda.channel}"' in meant
    nothing = text(client.post(f"{TAB}test/", form(source_root=f"{conda.url}/nothing")))
    assert "no conda index" in nothing
    for kind in set(registry.kinds()) - {"conda"}:
        wrong = text(client.post(f"{TAB}test/", form(source_root=conda.channel, mirror_type=kind)))
        assert "This is a conda source: select that Type" in wrong
    refused = text(client.post(f"{TAB}test/", form(source_root="https://elsewhere.example/x")))
    assert "elsewhere.example" in refused


def test_a_preview_counts_by_rule_and_touches_nothing(channel: Channel, conda: FakeConda) -> None:
    client = browser()
    begun = text(
        client.post(
            f"{TAB}preview/",
            form(
                mirror_name="", source_root=conda.channel, mirror_mode="active", subdirs=[],
                exclude_licenses=["GPL3"],
            ),
        )
    )  # fmt: skip
    row = Preview.objects.get()
    assert f"preview/{row.pk}/" in begun
    assert 'hx-trigger="every 1s"' in begun
    events = Event.objects.count()
    preview.execute(row.pk, interrupted=lambda: False)
    shown = text(client.get(f"{TAB}preview/{row.pk}/"))
    assert "hx-trigger" not in shown
    assert "1 by the mirror's filter: Excluded licenses" in shown
    assert "Added: 2 files" in shown
    assert "six-1.16.0-0.conda" in shown
    assert Mirror.objects.count() == 0
    assert Event.objects.count() == events
    channel.refresh_from_db()
    assert channel.current == 1
    other = browser("reader", "reader")
    assert other.get(f"{TAB}preview/{row.pk}/").status_code == 403


def test_a_preview_is_cancelled_and_a_bad_form_says_why_there_is_none(channel: Channel) -> None:
    client = browser()
    client.post(f"{TAB}preview/", form())
    row = Preview.objects.get()
    assert "was cancelled" in text(client.post(f"{TAB}preview/{row.pk}/cancel/"))
    bad = text(client.post(f"{TAB}preview/", form(exclude_specs="bad ==", source_root="")))
    assert "To see a preview, correct these fields" in bad
    assert "External Source Channel" in bad
    assert Preview.objects.count() == 1
