"""Attack: a connection test that makes the server fetch a whole index, or hang."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import zstandard
from django.conf import LazySettings

from accounts import disconnect
from runs import connection_test
from tests import scene
from tests.condatree import FakeConda
from tests.crantree import FakeCran
from tests.rogue import Behaviour
from tests.shardtree import INDEX, FakeShards
from tests.simpletree import FakeSimple
from tests.upstream import FakeUpstream
from tests.web.client import Api, message

pytestmark = pytest.mark.django_db(transaction=True)

HANDFUL = connection_test.MOST_REQUESTS
PROJECTS = 400


@pytest.fixture
def api(settings: LazySettings) -> Api:
    settings.UPSTREAM_ALLOW = ("http://127.0.0.1:*",)
    return Api(scene.admin())


def found_at(api: Api, url: str, kind: str = "conda") -> dict[str, Any]:
    status, found = api.post("/mirrors/test", {"source_root": url, "mirror_type": kind})
    assert status == 200, found
    return dict(found)


@pytest.fixture
def conda() -> Iterator[FakeConda]:
    with FakeConda() as server:
        server.add("noarch", "six", "1.16.0")
        server.add("linux-64", "zlib", "1.3")
        server.publish()
        yield server


def test_of_a_large_simple_index_a_handful_of_pages_is_asked(api: Api, upstream: Any) -> None:
    names = [f"p{number}" for number in range(PROJECTS)]
    links = "".join(f'<a href="{name}/">{name}</a>' for name in names)
    upstream.set("/simple/", f"<html>{links}</html>".encode(), content_type="text/html")
    for name in names:
        file = f'<a href="/f/{name}-1.0.tar.gz#sha256={"a" * 64}">x</a>'
        upstream.set(f"/simple/{name}/", file.encode(), content_type="text/html")
    for address in (f"{upstream.url}/simple/", upstream.url):
        upstream.forget()
        found = found_at(api, address, "python_simple")
        assert found["found_type"] == "python_simple"
        assert upstream.count() <= HANDFUL
        meant = None if address.endswith("/simple/") else f"{upstream.url}/simple"
        assert found["source_root"] == meant


def test_any_html_listing_is_no_index(api: Api, upstream: Any) -> None:
    page = b'<html><a href="docs/">docs</a><a href="a.txt">a</a></html>'
    upstream.set("/", page, content_type="text/html")
    upstream.set("/docs/", page, content_type="text/html")
    for kind in ("conda", "python_simple", "CRAN"):
        assert found_at(api, upstream.url, kind)["found_type"] is None


def test_a_subdir_or_a_file_of_a_channel_means_the_channel(api: Api, conda: FakeConda) -> None:
    conda.forget()
    found = found_at(api, f"{conda.channel}/linux-64")
    assert (found["found_type"], found["source_root"]) == ("conda", conda.channel)
    assert [one["name"] for one in found["sections"]] == ["noarch", "linux-64"]
    assert all(one["size"] > 0 for one in found["sections"])
    assert conda.count() <= HANDFUL
    found = found_at(api, f"{conda.channel}/noarch/repodata.json")
    assert found["source_root"] == conda.channel
    assert found_at(api, conda.channel)["source_root"] is None


def test_a_channel_with_shards_only_is_one(api: Api) -> None:
    with FakeShards() as conda:
        conda.add("noarch", "six", "1.16.0")
        conda.add("linux-64", "zlib", "1.3")
        conda.publish(forms=())
        conda.publish_shards()
        for address in (conda.channel, f"{conda.channel}/noarch/{INDEX}"):
            conda.forget()
            found = found_at(api, address, "python_simple")
            assert found["found_type"] == "conda"
            assert found["source_root"] == (None if address == conda.channel else conda.channel)
            assert [one["name"] for one in found["sections"]] == ["noarch", "linux-64"]
            assert all(one["size"] > 0 for one in found["sections"])
            assert conda.count() <= HANDFUL


@pytest.mark.parametrize("body", [b"{}", b"x", zstandard.compress(b"{}"), zstandard.compress(b"")])
def test_any_file_under_the_name_of_a_list_of_shards_is_none(
    api: Api, upstream: Any, body: bytes
) -> None:
    upstream.set(f"/noarch/{INDEX}", body)
    assert found_at(api, upstream.url)["found_type"] is None


def test_a_token_in_the_address_is_never_shown(api: Api, conda: FakeConda) -> None:
    head, _, path = conda.channel.rpartition("/")
    api.post("/mirrors/test", {"source_root": f"{head}/t/s3cret/{path}/linux-64"})
    text = json.dumps(api.last.json())
    assert "s3cret" not in text


def test_the_type_is_found_whatever_is_asked_for(api: Api, conda: FakeConda) -> None:
    assert found_at(api, conda.channel, "CRAN")["found_type"] == "conda"
    with FakeCran() as cran, FakeSimple() as simple:
        cran.add("one", "1.0")
        cran.publish()
        found = found_at(api, f"{cran.repository}/src/contrib", "conda")
        assert found["found_type"] == "CRAN"
        assert found["source_root"] == cran.repository.rstrip("/")
        simple.add_wheel("six", "1.16.0")
        simple.publish()
        assert found_at(api, simple.index, "conda")["found_type"] == "python_simple"


def test_a_silent_upstream_ends_the_test_in_its_time(
    api: Api, conda: FakeConda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_test, "SECONDS", 0.5)
    conda.behave("*", Behaviour(hold_headers=True))
    conda.forget()
    status, text = message(api.post("/mirrors/test", {"source_root": conda.channel}))
    assert status == 502
    assert "0.5 seconds" in text
    assert conda.count() == 1


def test_an_upstream_that_is_not_there_is_asked_once(api: Api) -> None:
    with FakeUpstream() as gone:
        url = gone.url
    assert message(api.post("/mirrors/test", {"source_root": url}))[0] == 502


def test_tests_of_an_account_are_limited(
    api: Api, conda: FakeConda, settings: LazySettings
) -> None:
    settings.LIMIT_TESTS = "2/86400"
    codes = [api.post("/mirrors/test", {"source_root": conda.channel})[0] for _ in range(3)]
    assert codes == [200, 200, 429]
    assert int(api.last["Retry-After"]) > 0


def test_a_channel_of_this_server_is_looked_up_and_not_fetched(
    api: Api, conda: FakeConda, settings: LazySettings
) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel)
    scene.run_now(mirror)
    scene.publish(channel)
    found = found_at(api, f"{settings.PUBLIC_URL}/api/repo/main")
    assert found["found_type"] == "conda"
    assert {one["name"] for one in found["sections"]} >= {"noarch", "linux-64"}


def test_nothing_is_asked_for_a_client_that_has_left(api: Api, conda: FakeConda) -> None:
    api.client.defaults[disconnect.ENVIRON_KEY] = lambda: True
    conda.forget()
    status, text = message(api.post("/mirrors/test", {"source_root": conda.channel}))
    assert (status, conda.count()) == (502, 0)
    assert "left" in text
    api.client.force_login(scene.admin())
    scene.channel()
    form = {"source_root": conda.channel, "mirror_type": "conda"}
    page = api.client.post("/channels/main/mirrors/test/", form)
    assert (page.status_code, conda.count()) == (200, 0)
    assert b"left" in page.content
    del api.client.defaults[disconnect.ENVIRON_KEY]
    api.client.post("/channels/main/mirrors/test/", form)
    assert conda.count() > 0


def test_a_test_that_waits_for_its_upstream_ends_when_its_client_leaves(
    api: Api, conda: FakeConda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_test, "SECONDS", 3600.0)
    silent = Behaviour(hold_headers=True)
    conda.behave("*", silent)
    conda.forget()
    # The client leaves once the upstream holds its request.
    api.client.defaults[disconnect.ENVIRON_KEY] = silent.held.is_set
    assert message(api.post("/mirrors/test", {"source_root": conda.channel}))[0] == 502
    assert conda.count() == 1
