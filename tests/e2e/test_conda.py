"""A stranger's way: start the server, mirror a channel by the API, install with a real client."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rattler
import requests

from tests import built
from tests.condatree import FakeConda
from tests.e2e.api import Script, in_a_month
from tests.loops import finish
from tests.mirrorserver.server import Server, services
from tests.shardtree import FakeShards
from tests.upstream import FakeUpstream

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def conda() -> Iterator[FakeConda]:
    with FakeConda() as upstream:
        upstream.add("noarch", "base", "1.0", ext=".tar.bz2")
        upstream.add("noarch", "base", "2.0")
        upstream.add("linux-64", "tool", "2.1", depends=["base >=1"], payload=50_000)
        upstream.add("linux-64", "tool", "2.1", depends=["base >=1"], ext=".tar.bz2")
        upstream.publish()
        yield upstream


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(
        tmp_path_factory.mktemp("e2e") / "data",
        **services(),
        UPSTREAM_ALLOW="http://127.0.0.1:*",
        ADMIN_PASSWORD=PASSWORD,
        DISPATCH_SECONDS="1",
    )
    running.wait_for("http://127.0.0.1")
    yield running
    running.close()


@pytest.fixture
def script(server: Server) -> Script:
    return Script(server, PASSWORD)


def install(url: str, folder: Path, *specs: str) -> set[str]:
    """Solve, fetch and link `specs` from a channel with py-rattler; what was linked."""

    async def work() -> None:
        gateway = rattler.Gateway(cache_dir=folder / "cache")
        records = await rattler.solve(
            [rattler.Channel(url)],
            list(specs),
            platforms=["linux-64", "noarch"],
            gateway=gateway,
        )
        await rattler.install(
            records, target_prefix=str(folder / "env"), cache_dir=folder / "packages"
        )

    finish(work())
    return {path.name for path in (folder / "env" / "share").iterdir()}


def test_a_real_client_installs_from_a_passive_mirror(
    script: Script, conda: FakeConda, tmp_path: Path
) -> None:
    script.channel("passive")
    mirror = script.mirror("passive", conda.channel)
    assert mirror["state"] == "completed", mirror["sync_state"]["last_exception"]
    assert mirror["sync_state"]["count"]["passive"] == 3
    before = conda.count(conda.path("linux-64", "tool-2.1-0.conda"))
    assert install(f"{script.url}/api/repo/passive", tmp_path, "tool") == {"base", "tool"}
    assert conda.count(conda.path("linux-64", "tool-2.1-0.conda")) == before + 1


def test_with_the_upstream_gone_an_active_channel_still_installs_everything(
    script: Script, tmp_path: Path
) -> None:
    with FakeConda() as upstream:
        upstream.add("noarch", "base", "2.0")
        upstream.add("linux-64", "tool", "2.1", depends=["base"])
        upstream.publish()
        script.channel("active")
        mirror = script.mirror("active", upstream.channel, mirror_mode="active")
    assert mirror["state"] == "completed", mirror["sync_state"]["last_exception"]
    assert mirror["sync_state"]["count"]["active"] == 2
    assert install(f"{script.url}/api/repo/active", tmp_path, "tool") == {"base", "tool"}


@pytest.mark.parametrize("mode", ["passive", "active"])
def test_a_channel_whose_upstream_has_shards_only_is_installed_from(
    script: Script, tmp_path: Path, mode: str
) -> None:
    with FakeShards() as upstream:
        upstream.add("noarch", "base", "2.0")
        upstream.add("linux-64", "tool", "2.1", depends=["base"])
        upstream.publish(forms=())
        upstream.publish_shards()
        name = f"sharded-{mode}"
        script.channel(name)
        mirror = script.mirror(name, upstream.channel, mirror_mode=mode)
        assert mirror["state"] == "completed", mirror["sync_state"]["last_exception"]
        if mode == "active":
            upstream.stop()
        folder = tmp_path / mode
        assert install(f"{script.url}/api/repo/{name}", folder, "tool") == {"base", "tool"}


def test_a_private_channel_is_installed_from_with_a_token_in_both_places(
    script: Script, conda: FakeConda, tmp_path: Path
) -> None:
    script.channel("closed")
    script.call("PUT", "/channels/closed", {"privacy": "private"})
    script.mirror("closed", conda.channel)
    token = script.call("POST", "/account/tokens", {"name": "ci", "expires_at": in_a_month()})[
        "token"
    ]
    for number, url in enumerate((f"/t/{token}/api/repo/closed", f"/api/repo/t/{token}/closed")):
        folder = tmp_path / str(number)
        assert install(script.url + url, folder, "tool") == {"base", "tool"}
    assert requests.get(f"{script.url}/api/repo/closed/noarch/repodata.json").status_code == 401


def test_the_requests_of_conda_and_mamba_are_answered_as_they_expect(
    script: Script, conda: FakeConda
) -> None:
    script.channel("orders")
    script.mirror("orders", conda.channel)
    root = f"{script.url}/api/repo/orders"

    def status(method: str, path: str, **headers: str) -> int:
        return requests.request(method, f"{root}/{path}", headers=headers).status_code

    # conda: notices, shards, its fall-backs; a subdir that is not there is a 404.
    assert status("GET", "notices.json") == 200
    assert status("GET", "linux-64/repodata_shards.msgpack.zst") == 200
    assert status("GET", "linux-64/current_repodata.json.zst") == 404
    assert status("GET", "linux-64/current_repodata.json") == 404
    assert status("GET", "win-64/repodata.json.zst") == 404
    # mamba and rattler: HEAD first, remembered for a fortnight.
    for name in ("repodata.json.zst", "repodata_shards.msgpack.zst", "repodata.json"):
        head = requests.head(f"{root}/noarch/{name}")
        got = requests.get(f"{root}/noarch/{name}", headers={"Accept-Encoding": "identity"})
        assert head.status_code == got.status_code == 200
        assert head.headers["ETag"] == got.headers["ETag"]
        assert int(head.headers["Content-Length"]) == len(got.content)
        etag = {"If-None-Match": got.headers["ETag"]}
        assert status("GET", f"noarch/{name}", **etag) == 304
    assert status("HEAD", "noarch/repodata.json.bz2") == 404
    # conda goes on with a part it has.
    record = conda.record("linux-64", "tool-2.1-0.conda")
    whole = requests.get(f"{root}/linux-64/tool-2.1-0.conda").content
    assert hashlib.sha256(whole).hexdigest() == record["sha256"]
    rest = requests.get(f"{root}/linux-64/tool-2.1-0.conda", headers={"Range": "bytes=100-"})
    assert (rest.status_code, rest.content) == (206, whole[100:])


def test_a_filtered_file_is_refused_with_the_rule_that_refuses_it(
    script: Script, conda: FakeConda
) -> None:
    script.channel("narrow")
    script.mirror("narrow", conda.channel, filters={"exclude_specs": ["base<2"]})
    answer = requests.get(f"{script.url}/api/repo/narrow/noarch/base-1.0-0.tar.bz2")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert "base<2" in answer.json()["detail"]


def records(url: str, cache: Path) -> dict[str, dict[str, Any]]:
    """All that a real client reads in the indexes of a channel, by file name."""

    async def work() -> list[str]:
        gateway = rattler.Gateway(cache_dir=cache)
        found = await gateway.query(
            [rattler.Channel(url)], ["linux-64", "noarch"], ["tool", "words"]
        )
        return [record.to_json() for part in found for record in part]

    read = [json.loads(text) for text in finish(work())]
    where = ("url", "channel")
    return {one["fn"]: {key: one[key] for key in one if key not in where} for one in read}


@pytest.mark.parametrize("mode", ["passive", "active"])
def test_a_channel_of_the_real_builder_and_indexer_is_mirrored_and_installed_from(
    script: Script, tmp_path: Path, mode: str
) -> None:
    with FakeUpstream(dict(built.files(built.channel(tmp_path)))) as upstream:
        source = f"{upstream.url}/channel"
        script.channel(f"built-{mode}")
        mirror = script.mirror(f"built-{mode}", source, mirror_mode=mode)
        assert mirror["state"] == "completed", mirror["sync_state"]["last_exception"]
        assert mirror["sync_state"]["count"][mode] == 3
        mine = f"{script.url}/api/repo/built-{mode}"
        theirs = records(source, tmp_path / "theirs")
        assert len(theirs) == 3
        assert records(mine, tmp_path / "ours") == theirs
        assert install(mine, tmp_path, "tool") == {"tool", "words"}
        assert install(mine, tmp_path / "old", "words 1.*") == {"words"}
    shown = tmp_path / "env" / "share" / "words" / "version"
    assert shown.read_text() == "words 2.0\n"
