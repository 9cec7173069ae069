"""Pages of channels: who sees what, what forms do, how many queries a page costs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from channels import services
from channels.models import Channel
from history.models import Event
from tests import scene
from tests.channels.factory import channel as plain_channel
from tests.channels.factory import made, publish
from tests.condatree import FakeConda
from tests.web.client import person

pytestmark = pytest.mark.django_db(transaction=True)
MOST_QUERIES = 28


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def conda(settings: Any) -> Iterator[FakeConda]:
    with FakeConda() as server:
        settings.UPSTREAM_ALLOW = (server.url,)
        yield server


@pytest.fixture
def tools() -> Channel:
    """A public channel with three revisions, owned by nobody."""
    person("admin", "admin")
    channel = plain_channel("tools")
    files = [made(f"six-1.{at}-0.conda", b"six" * at, license="MIT") for at in range(1, 4)]
    publish(channel, {"noarch": files[:2]})
    publish(channel, {"noarch": files})
    publish(channel, {"noarch": files[1:], "linux-64": [made("zlib-1-0.conda", b"z")]})
    return channel


def test_what_one_may_not_know_of_is_404_and_what_one_may_not_do_is_403(tools: Channel) -> None:
    ann = person("ann", "reader")
    services.create("secret", person("bob"), privacy="private")
    client = browser(ann)
    assert client.get("/channels/secret/").status_code == 404
    assert "secret" not in client.get("/channels/").content.decode()
    assert client.get("/channels/tools/").status_code == 200
    for path in ("settings/freeze/", "settings/delete/", "revisions/1/roll-back/"):
        answer = client.post(f"/channels/tools/{path}")
        assert answer.status_code == 403
        assert "attribute “channel” is" in answer.content.decode()
    assert client.post("/channels/tools/settings/", {}).status_code == 403
    assert client.get("/create-channel/").status_code == 403


def test_every_page_of_a_channel_costs_a_handful_of_queries(tools: Channel) -> None:
    services.create("sub", person("admin"), parent=tools)
    client = browser(person("admin"))
    for path in (
        *("/", "/channels/", "/channels/tools/", "/channels/tools/packages/"),
        *("/channels/tools/packages/conda/six/", "/channels/tools/subchannels/"),
        *("/channels/tools/sub/", "/channels/tools/cves/", "/channels/tools/history/"),
        *("/channels/tools/revisions/", "/channels/tools/settings/", "/users/", "/roles/"),
    ):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert client.get(path).status_code == 200, path
        assert len(queries) <= MOST_QUERIES, (path, len(queries))


def test_a_channel_is_created_with_the_types_it_allows() -> None:
    client = browser(person("ann"))
    form = {"name": "main", "privacy": "public", "types": ["conda"], "description": "Ours"}
    answer = client.post("/create-channel/", form)
    assert answer.headers["Location"] == "/channels/main/"
    channel = Channel.objects.get()
    assert (channel.filter.terms["types"], channel.privacy) == (["conda"], "public")
    again = client.post("/create-channel/", form).content.decode()
    assert "exists" in again
    bad = client.post("/create-channel/", {**form, "name": "Bad"}).content.decode()
    assert "begins with a small letter" in bad


def test_a_subchannel_is_never_more_open_than_its_channel() -> None:
    admin = person("admin", "admin")
    services.create("main", admin, privacy="private")
    client = browser(admin)
    form = {"name": "sub", "privacy": "public"}
    page = client.post("/channels/main/subchannels/create/", form).content.decode()
    assert "cannot be more open" in page
    client.post("/channels/main/subchannels/create/", {**form, "privacy": "private"})
    assert client.get("/channels/main/sub/").status_code == 200
    answer = client.post("/channels/main/settings/delete/")
    assert "has subchannels" in answer.content.decode()


def test_settings_replace_what_they_show_and_keep_the_rest(tools: Channel) -> None:
    services.edit(tools, {"filters": {"keep_legacy": True, "projects": ["six"]}}, actor="admin")
    tools.refresh_from_db()
    form = {
        "description": "Words",
        "privacy": "authenticated",
        "version": tools.version,
        "types": ["conda"],
        "subdirs": ["noarch", "linux-64"],
        "exclude_specs": "openssl <3\np*",
        "exclude_licenses": ["GPL"],
        "date_from": "2020-01-01",
        "cve_score_threshold": "7.5",
    }
    answer = browser(person("admin")).post("/channels/tools/settings/", form)
    assert answer.status_code == 302
    tools.refresh_from_db()
    terms = tools.filter.terms
    assert (tools.description, tools.privacy) == ("Words", "authenticated")
    assert terms["exclude_specs"] == ["openssl <3", "p*"]
    assert terms["subdirs"] == ["noarch", "linux-64"]
    assert (terms["date_from"], terms["cve_score_threshold"]) == ("2020-01-01", 7.5)
    assert (terms["keep_legacy"], terms["projects"]) == (True, ["six"])
    assert Event.objects.filter(type="channel_updated", channel_id=tools.pk).count() == 2


def test_settings_tell_the_parsers_words_with_the_entry(tools: Channel) -> None:
    form = {"privacy": "public", "version": tools.version, "exclude_specs": "good\nbad >=>1"}
    page = browser(person("admin")).post("/channels/tools/settings/", form).content.decode()
    assert "“bad &gt;=&gt;1” (entry 2)" in page
    assert "good\nbad &gt;=&gt;1</textarea>" in page


def test_settings_that_somebody_changed_meanwhile_are_not_overwritten(tools: Channel) -> None:
    services.edit(tools, {"description": "by another"}, actor="bob")
    form = {"privacy": "public", "version": 1, "description": "mine"}
    page = browser(person("admin")).post("/channels/tools/settings/", form).content.decode()
    assert "Someone else changed this channel" in page
    tools.refresh_from_db()
    assert tools.description == "by another"


def test_the_overview_has_snippets_with_the_real_address_and_a_token_where_needed(
    tools: Channel, settings: Any
) -> None:
    settings.PUBLIC_URL = "https://mirror.example"
    client = browser(person("admin"))
    page = client.get("/channels/tools/").content.decode()
    assert "https://mirror.example/api/repo/tools" in page
    assert "channel_alias: https://mirror.example/api/repo" in page
    assert "YOUR-TOKEN" not in page
    services.edit(tools, {"privacy": "private"}, actor="admin")
    page = client.get("/channels/tools/").content.decode()
    assert "https://mirror.example/t/YOUR-TOKEN/api/repo/tools" in page


def test_snippets_are_for_the_types_a_channel_allows(tools: Channel, settings: Any) -> None:
    settings.PUBLIC_URL = "https://mirror.example"
    services.edit(
        tools,
        {"filters": {"types": ["python_simple", "CRAN"]}, "privacy": "authenticated"},
        actor="admin",
    )
    page = browser(person("admin")).get("/channels/tools/").content.decode()
    assert "https://YOUR-TOKEN:x-auth-token@mirror.example/api/repo/tools/simple/" in page
    assert "https://mirror.example/t/YOUR-TOKEN/api/repo/tools/cran" in page
    assert ".condarc" not in page


def test_packages_are_searched_filtered_and_sorted_in_the_address(tools: Channel) -> None:
    client = browser(person("admin"))
    page = client.get("/channels/tools/packages/").content.decode()
    assert "/packages/conda/six/" in page
    assert "Downloaded" in page
    assert "/conda/six/" not in client.get("/channels/tools/packages/?q=zl").content.decode()
    page = client.get("/channels/tools/packages/?platform=linux-64").content.decode()
    assert "/conda/six/" not in page
    assert "/conda/zlib/" in page
    page = client.get("/channels/tools/packages/?sort=-size&page=99&q=%00nothing").content.decode()
    assert "No package matches" in page
    assert client.get("/channels/tools/packages/conda/%00/").status_code == 404
    assert client.get("/channels/tools/packages/conda/nothing/").status_code == 404
    assert client.get("/channels/tools/packages/nonsense/six/").status_code == 404


def test_revisions_show_what_changed_and_can_be_compared_and_pinned(tools: Channel) -> None:
    client = browser(person("admin"))
    page = client.get("/channels/tools/revisions/").content.decode()
    assert "/revisions/2..3/" in page
    assert "api/repo/tools.r3" in page
    assert '/revisions/2..3/#removed">−1</a>' in page
    changes = client.get("/channels/tools/revisions/2..3/").content.decode()
    assert "linux-64/zlib-1-0.conda" in changes
    assert "noarch/six-1.1-0.conda" in changes
    answer = client.get("/channels/tools/revisions/compare/?a=3&b=1")
    assert answer.headers["Location"] == "/channels/tools/revisions/1..3/"
    client.post("/channels/tools/revisions/2/pin/", {"pinned": "yes"})
    assert tools.revisions.get(number=2).pinned
    assert client.get("/channels/tools/revisions/2..9/").status_code == 404
    assert client.post("/channels/tools/revisions/9/roll-back/").status_code == 404


def test_why_asks_the_mirrors_for_any_name(conda: FakeConda) -> None:
    conda.add("noarch", "readline", "8.2", license="GPL-3.0-only")
    conda.add("noarch", "six", "1.16", license="MIT")
    conda.publish()
    channel = scene.channel("main")
    mirror = scene.mirror(channel, conda.channel, filters={"exclude_licenses": ["GPL"]})
    scene.run_now(mirror)
    scene.publish(channel)
    client = browser(scene.admin())
    page = client.get("/channels/main/packages/why/?q=readline").content.decode()
    assert "Excluded licenses" in page
    assert "GPL-3.0-only" in page
    page = client.get("/channels/main/packages/why/?q=six-1.16-0.conda").content.decode()
    assert "All filters allow it." in page
    page = client.get("/channels/main/packages/why/?q=nowhere").content.decode()
    assert "Not found in any source" in page


def test_a_confirmation_is_a_page_and_inside_a_dialog_only_its_form(tools: Channel) -> None:
    client = browser(person("admin"))
    whole = client.get("/channels/tools/settings/freeze/").content.decode()
    assert "<html" in whole
    part = client.get(
        "/channels/tools/settings/freeze/",
        headers={"HX-Request": "true", "HX-Target": "dialog-body"},
    ).content.decode()
    assert "<html" not in part
    assert "Freeze the channel tools?" in part
