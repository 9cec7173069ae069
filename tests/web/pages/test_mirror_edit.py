"""Create a mirror, Edit mirror: what the form shows, saves and refuses."""

from __future__ import annotations

import pytest

from channels import services as channel_manage
from channels.models import Channel
from mirrors import run_control, services
from mirrors.models import Cause, Mirror
from tests import scene
from tests.condatree import FakeConda
from tests.web.pages.mirror_pages import SOURCE, TAB, browser, form, text

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("allowed")]


def test_what_a_form_begins_is_told_from_a_change(channel: Channel) -> None:
    mirror = scene.mirror(channel, SOURCE, "m", run_now=True)
    run_control.stop(mirror, actor="admin")
    services.edit(mirror, {"run_now": True}, actor="admin")
    assert list(mirror.runs.order_by("number").values_list("cause", flat=True)) == [
        Cause.CREATE,
        Cause.EDIT,
    ]


def test_the_form_has_the_fields_of_the_document_in_its_order(channel: Channel) -> None:
    page = text(browser().get(f"{TAB}create/"))
    body = page.split('id="mirror-form"')[1]
    places = [
        body.index(f">{words}<")
        for words in (
            "Mode", "Name", "External Source Channel", "Type", "Platforms",
            "Keep Legacy Packages", "CVE Filters", "Package Filters",
            "Only include the following package names", "Exclude Packages", "Include Packages",
            "Date Range", "View Channel Filters", "Frequency", "Run Now", "Submit", "Cancel",
        )
    ]  # fmt: skip
    assert places[:-2] == sorted(places[:-2])
    assert "Freeze the channel first" in page


def test_the_hint_to_freeze_is_quiet_where_clients_have_nothing_to_keep(
    channel: Channel, conda: FakeConda
) -> None:
    address = f"{TAB}create/"
    page = text(browser().get(address))
    assert "Freeze the channel first" in page
    assert 'class="banner"' not in page
    scene.run_now(scene.mirror(channel, conda.channel, "m"))
    page = text(browser().get(address))
    assert "Freeze the channel first" in page
    assert 'class="banner"' in page
    overview = text(browser().get("/channels/main/"))
    assert 'Mirror completed</a> <span class="line-clamp">m</span>' in overview


def test_a_mirror_is_created_from_the_form_and_the_browser_lands_on_its_row(
    channel: Channel,
) -> None:
    answer = browser().post(
        f"{TAB}create/",
        form(
            mirror_name="approved_software",
            subdirs=["noarch", "linux-64"],
            keep_legacy="on",
            exclude_specs="p*, q*\nopenssl >=1,<3",
            include_specs="python",
            exclude_licenses=["GPL", "AGPL"],
            date_from="2020-01-01",
            cve_score_threshold="7.5",
            frequency="custom",
            cron="30 2 * * 1",
            cron_timezone="Europe/Berlin",
            run_now="on",
        ),
    )
    mirror = Mirror.objects.get(name="approved_software")
    assert answer.headers["Location"] == f"{TAB}#mirror-{mirror.pk}"
    assert (mirror.mode, mirror.cron, mirror.cron_timezone) == (
        "passive", "30 2 * * 1", "Europe/Berlin",
    )  # fmt: skip
    terms = mirror.filter.terms
    assert terms["subdirs"] == ["noarch", "linux-64"]
    assert terms["exclude_specs"] == ["p*", "q*", "openssl >=1,<3"]
    assert terms["include_specs"] == ["python"]
    assert terms["exclude_licenses"] == ["GPL", "AGPL"]
    assert (terms["keep_legacy"], terms["date_from"]) == (True, "2020-01-01")
    assert terms["cve_score_threshold"] == 7.5
    assert mirror.runs.get().state == "pending"


def test_without_run_now_nothing_runs(channel: Channel) -> None:
    browser().post(f"{TAB}create/", form())
    mirror = Mirror.objects.get()
    assert (mirror.cron, mirror.runs.count()) == ("0 0 1 * *", 0)


def test_a_subchannel_has_mirrors_of_its_own(channel: Channel) -> None:
    channel_manage.create("staging", scene.admin(), parent=channel)
    client = browser()
    client.post("/channels/main/staging/mirrors/create/", form())
    assert Mirror.objects.get().channel.path == "main/staging"
    assert "m</a>" in text(client.get("/channels/main/staging/mirrors/"))


def test_what_is_wrong_is_told_at_its_field_and_what_was_typed_stays(channel: Channel) -> None:
    answer = browser().post(
        f"{TAB}create/",
        form(
            mirror_name="",
            source_root="https://elsewhere.example/x",
            exclude_specs="good\nbad ==",
            frequency="custom",
            cron="61 * * * *",
            date_from="2024-01-01",
            date_to="2023-01-01",
        ),
    )
    page = text(answer, status=422)
    assert "This could not be saved" in page
    assert 'href="#id_mirror_name"' in page
    assert 'value="https://elsewhere.example/x"' in page
    assert 'value="61 * * * *"' in page
    assert "bad ==" in page
    named = browser().post(
        f"{TAB}create/", form(exclude_specs="good\nbad ==", frequency="custom", cron="0 0 31 2 *")
    )
    page = text(named, status=422)
    assert "does not fire within 5 years" in page
    named = text(browser().post(f"{TAB}create/", form(exclude_specs="good\nbad ==")), status=422)
    assert "“bad ==” (entry 2)" in named
    assert Mirror.objects.count() == 0


def test_a_taken_name_is_told_at_the_name(channel: Channel) -> None:
    scene.mirror(channel, SOURCE, "m")
    page = text(browser().post(f"{TAB}create/", form()), status=422)
    assert "A mirror with this name already exists on this server." in page
    assert "exclude_specs" in page


def test_only_named_packages_stand_alone(channel: Channel) -> None:
    client = browser()
    client.post(f"{TAB}create/", form(mirror_name="a", only="on", only_specs="six,tool"))
    assert Mirror.objects.get(name="a").filter.terms["only_specs"] == ["six", "tool"]
    # Names that are filled in without the tick are not meant.
    client.post(f"{TAB}create/", form(mirror_name="b", only_specs="six"))
    assert Mirror.objects.get(name="b").filter.terms["only_specs"] == []
    refused = client.post(
        f"{TAB}create/", form(mirror_name="c", only="on", only_specs="six", exclude_specs="p*")
    )
    assert "cannot stand beside" in text(refused, status=422)
    empty = client.post(f"{TAB}create/", form(mirror_name="d", only="on"))
    assert "Enter at least one package" in text(empty, status=422)


def test_edit_shows_everything_as_it_was_with_the_mode_locked(channel: Channel) -> None:
    mirror = scene.mirror(
        channel, "https://ann:secret@mirror.example.org/conda/main", "m", mirror_mode="active",
        cron="5 4 * * 3", cron_timezone="Asia/Tokyo", proxy="http://bob:hidden@proxy.example:3128",
        filters={
            "subdirs": ["win-64"], "projects": ["six"], "include_licenses": ["MIT"],
            "date_to": "2024-05-05", "keep_legacy": True,
        },
    )  # fmt: skip
    client = browser()
    page = text(client.get(f"{TAB}{mirror.pk}/edit/"))
    assert "secret" not in page
    assert "hidden@" not in page
    assert "https://***@mirror.example.org/conda/main" in page
    assert "http://***@proxy.example:3128" in page
    assert "5 4 * * 3" in page
    assert "cannot be changed" in page
    assert 'value="active"' in page.split('value="passive"')[0]
    mode = page.split('id="mode-title"')[1].split("</fieldset>")[0]
    assert mode.count("disabled") >= 2
    # Submitted as it was shown, nothing changes but what was changed.
    before = dict(mirror.filter.terms)
    sent = form(
        mirror_name="renamed", source_root="https://***@mirror.example.org/conda/main",
        proxy="http://***@proxy.example:3128", subdirs=["win-64"], only="on", only_specs="six",
        include_licenses=["MIT"], date_to="2024-05-05", keep_legacy="on", frequency="custom",
        cron="5 4 * * 3", cron_timezone="Asia/Tokyo", version="1", mirror=str(mirror.pk),
    )  # fmt: skip
    assert client.post(f"{TAB}{mirror.pk}/edit/", sent).status_code == 302
    mirror = Mirror.objects.get(pk=mirror.pk)
    assert (mirror.name, mirror.mode, mirror.cron_timezone) == ("renamed", "active", "Asia/Tokyo")
    assert mirror.filter.terms == {**before, "projects": [], "only_specs": ["six"]}
    # Somebody else has saved meanwhile.
    page = text(client.post(f"{TAB}{mirror.pk}/edit/", sent), status=422)
    assert "Someone else changed this mirror" in page


def test_a_duplicate_begins_as_the_mirror_is_but_for_its_name_and_logins(channel: Channel) -> None:
    source = "https://ann:s3cret@mirror.example.org/conda/main"
    mirror = scene.mirror(
        channel, source, "rocks", mirror_mode="active", cron="30 2 * * 1-5",
        filters={"subdirs": ["linux-64"], "exclude_specs": ["numpy <2"]},
    )  # fmt: skip
    client = browser()
    page = text(client.get(f"{TAB}create/?like={mirror.pk}"))
    for words in (
        'value="rocks_copy"', "30 2 * * 1-5", "numpy &lt;2", f'value="{SOURCE}"',
        "Credentials are not copied",
    ):  # fmt: skip
        assert words in page
    assert "s3cret" not in page
    assert "***@" not in page
    sent = {
        "mirror_mode": "active", "mirror_name": "rocks_copy", "source_root": SOURCE,
        "mirror_type": "conda", "frequency": "0 0 * * *", "subdirs": ["linux-64"],
    }  # fmt: skip
    assert client.post(f"{TAB}create/?like={mirror.pk}", sent).status_code == 302
    copy = Mirror.objects.get(name="rocks_copy")
    assert (copy.mode, copy.filter.terms["subdirs"]) == ("active", ["linux-64"])
    assert client.get(f"{TAB}create/?like=12345").status_code == 404
