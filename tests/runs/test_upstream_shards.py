"""Upstreams with shards (CEP 16): mirrored whole, updated by what has changed, never mixed up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zstandard
from django.conf import LazySettings
from rattler import Channel as RattlerChannel
from rattler import Gateway, SourceConfig, Subdir

from channels import shards as stored_shards
from channels.models import Channel, Package
from ecosystems.conda.shard_fetch import TRIES
from ecosystems.conda.shards import shard_bytes
from mirrors.models import Mirror, Run
from tests import scene
from tests.condatree import FakeConda
from tests.rogue import Behaviour, failing, html, redirecting
from tests.shardtree import INDEX, FakeShards
from web.api import mirror_schemas

pytestmark = pytest.mark.django_db(transaction=True)

LINUX = "linux-64"
PACKAGES = 200


@pytest.fixture
def conda(settings: LazySettings) -> Iterator[FakeShards]:
    with FakeShards() as server:
        settings.UPSTREAM_ALLOW = (server.url,)
        server.add(LINUX, "zlib", "1.3", depends=["libc >=2"])
        server.add(LINUX, "zlib", "1.2", ext=".tar.bz2")
        server.add(LINUX, "curl", "8.0", license="GPL-3.0-only")
        server.subdir("noarch")
        yield server


@pytest.fixture
def channel() -> Channel:
    return scene.channel()


def mirror(conda: FakeShards, channel: Channel, mode: str = "passive", **body: Any) -> Mirror:
    filters = {"subdirs": ["noarch", LINUX]} | body.pop("filters", {})
    return scene.mirror(channel, conda.channel, mirror_mode=mode, filters=filters, **body)


def only_shards(conda: FakeShards, **options: Any) -> None:
    conda.publish(forms=())
    conda.publish_shards(**options)


def both(conda: FakeShards, **options: Any) -> None:
    conda.publish()
    conda.publish_shards(**options)


def warned(run: Run) -> str:
    run.mirror.refresh_from_db()
    return " ".join(str(text) for text in mirror_schemas.mirror_item(run.mirror)["warnings"])


def listed(channel: Channel) -> dict[str, Any]:
    """The records, without the day on which we first saw them (CEP 47)."""
    records = scene.listed(channel, LINUX)
    for record in records.values():
        record.pop("indexed_timestamp", None)
    return records


def bodies(channel: Channel) -> dict[str, bytes]:
    rows = Package.objects.at(Channel.objects.get(pk=channel.pk).current).filter(
        channel=channel, section=LINUX, shard__isnull=False
    )
    stored = rows.values_list("name", "shard__body")
    return {name: stored_shards.decompress(body) for name, body in stored}


def index_requests(conda: FakeShards, name: str) -> int:
    return conda.count(conda.path(LINUX, name))


@pytest.mark.parametrize("mode", ["passive", "active"])
def test_a_channel_with_shards_only_is_mirrored_whole(
    conda: FakeShards, channel: Channel, mode: str
) -> None:
    only_shards(conda)
    done = scene.run_now(mirror(conda, channel, mode))
    assert (done.state, done.error) == ("completed", "")
    # By value: the same records as in the single file.
    assert listed(channel) == conda.records(LINUX)
    assert done.counts["listed"] == 3
    assert done.counts["active" if mode == "active" else "passive"] == 3
    if mode == "active":
        asked = [path for path in conda.paths() if path.endswith((".conda", ".tar.bz2"))]
        assert [conda.count(path) for path in asked] == [1, 1, 1]


def test_shards_and_the_single_file_are_judged_and_published_alike(
    conda: FakeShards, channel: Channel, settings: LazySettings
) -> None:
    only_shards(conda)
    filters = {"exclude_licenses": ["GPL3"], "exclude_specs": ["zlib<1.3"]}
    by_shards = scene.run_now(mirror(conda, channel, filters=filters))
    with FakeConda() as plain:
        plain._records = conda._records
        plain.publish()
        other = scene.channel("other")
        settings.UPSTREAM_ALLOW = (conda.url, plain.url)
        body = {"subdirs": ["noarch", LINUX], **filters}
        single = scene.run_now(scene.mirror(other, plain.channel, filters=body))
    assert by_shards.counts == single.counts
    assert listed(channel) == listed(other)
    assert list(listed(channel)) == ["zlib-1.3-0.conda"]


def many(conda: FakeShards) -> None:
    for number in range(PACKAGES - 2):
        conda.add(LINUX, f"package{number}", "1.0")


@pytest.mark.parametrize("mode", ["passive", "active"])
def test_requests_and_bytes_of_a_later_run_follow_the_change(
    conda: FakeShards, channel: Channel, mode: str
) -> None:
    many(conda)
    both(conda)
    made = mirror(conda, channel, mode)
    first = scene.run_now(made)
    assert conda.shard_requests(LINUX) == []  # the first run takes the single file
    before = bodies(channel)
    conda.add(LINUX, "package7", "2.0", depends=["zlib"])
    both(conda)
    conda.forget()
    second = scene.run_now(made)
    assert second.state == "completed"
    [path] = conda.shard_requests(LINUX)  # 0.5 %
    if mode == "passive":
        index = conda.bytes_at(conda.path(LINUX, INDEX))
        assert second.bytes == len(index) + len(conda.bytes_at(path))
        assert first.bytes > second.bytes
    # Of the single file only its date is asked for.
    ranges = [r.headers.get("range") for r in conda.requests(conda.path(LINUX, "repodata.json"))]
    assert ranges == ["bytes=0-0"]
    assert index_requests(conda, "repodata.json.zst") == 0
    assert listed(channel) == conda.records(LINUX)
    after = bodies(channel)
    assert {name for name in after if after[name] != before.get(name)} == {"package7"}


def test_a_record_that_stays_keeps_its_bytes_in_a_shard_that_changes(
    conda: FakeShards, channel: Channel
) -> None:
    conda.publish(indented=True)
    conda.publish_shards()
    made = mirror(conda, channel)
    scene.run_now(made)
    conda.add(LINUX, "zlib", "2.0")
    both(conda)
    scene.run_now(made)
    text = bodies(channel)["zlib"].decode()
    assert '"version": "1.3"' in text  # as in the indented file
    assert '"version":"2.0"' in text


def test_nothing_is_read_where_the_list_of_shards_is_what_it_was(
    conda: FakeShards, channel: Channel
) -> None:
    both(conda)
    made = mirror(conda, channel)
    scene.run_now(made)
    revision = Channel.objects.get(pk=channel.pk).current
    for _ in range(2):
        conda.forget()
        assert scene.run_now(made).bytes == 0
        [request] = conda.requests(conda.path(LINUX, INDEX))
        assert request.headers["if-none-match"]
        assert index_requests(conda, "repodata.json.zst") == 0
    assert Channel.objects.get(pk=channel.pk).current == revision


def test_a_list_that_is_written_after_the_single_file_is_used_from_the_next_one_on(
    conda: FakeShards, channel: Channel
) -> None:
    """Whether the single file has what the list has is not known then: nothing may be lost."""
    both(conda, later=5)
    made = mirror(conda, channel)
    scene.run_now(made)
    for version in ("2.0", "3.0"):
        conda.add(LINUX, "zlib", version)
        both(conda, later=5)
        conda.forget()
        scene.run_now(made)
        assert listed(channel) == conda.records(LINUX)
    assert index_requests(conda, "repodata.json.zst") == 0
    assert len(conda.shard_requests(LINUX)) == 1


def test_what_a_newer_list_says_is_not_taken_for_what_an_older_single_file_has(
    conda: FakeShards, channel: Channel
) -> None:
    conda.publish()
    conda.add(LINUX, "zlib", "2.0")
    conda.publish_shards(later=30)
    made = mirror(conda, channel)
    scene.run_now(made)
    assert "zlib-2.0-0.conda" not in listed(channel)
    conda.publish()
    scene.run_now(made)
    assert listed(channel) == conda.records(LINUX)


def test_shards_that_the_upstream_no_longer_writes_are_done_without(
    conda: FakeShards, channel: Channel
) -> None:
    both(conda)
    made = mirror(conda, channel)
    scene.run_now(made)
    conda._publications += 60
    conda.add(LINUX, "zlib", "2.0")
    conda.publish()
    done = scene.run_now(made)
    assert "repodata.json is used" in warned(done)
    assert listed(channel) == conda.records(LINUX)
    both(conda)
    conda.add(LINUX, "curl", "9.0")
    both(conda)
    scene.run_now(made)
    assert listed(channel) == conda.records(LINUX)


def test_shards_that_are_gone_leave_the_single_file(conda: FakeShards, channel: Channel) -> None:
    both(conda)
    made = mirror(conda, channel)
    scene.run_now(made)
    conda.add(LINUX, "zlib", "2.0")
    conda.publish()
    for subdir in ("noarch", LINUX):
        conda.remove(conda.path(subdir, INDEX))
    assert scene.run_now(made).state == "completed"
    assert listed(channel) == conda.records(LINUX)


def shard_path(conda: FakeShards, name: str) -> str:
    packed = zstandard.decompress(conda.bytes_at(conda.path(LINUX, INDEX)))
    digest = msgpack.unpackb(packed)["shards"][name].hex()
    return conda.path(LINUX, f"shards/{digest}.msgpack.zst")


def test_a_shard_that_went_while_the_list_was_read_is_asked_for_by_a_new_list(
    conda: FakeShards, channel: Channel
) -> None:
    """N-rows: published between."""
    only_shards(conda)
    stale = conda.bytes_at(conda.path(LINUX, INDEX))
    gone = shard_path(conda, "zlib")
    conda.add(LINUX, "zlib", "2.0")
    only_shards(conda)
    conda.remove(gone)
    conda.behave(conda.path(LINUX, INDEX), Behaviour(body=stale, times=1))
    assert scene.run_now(mirror(conda, channel)).state == "completed"
    assert listed(channel) == conda.records(LINUX)
    assert index_requests(conda, INDEX) == 2
    assert conda.requests(conda.path(LINUX, INDEX))[1].headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "how", [failing(404), Behaviour(body=b"other bytes"), Behaviour(body=zstandard.compress(b"{"))]
)
@pytest.mark.parametrize("single", [True, False])
def test_a_shard_that_never_fits_leaves_the_single_file_or_the_last_state(
    conda: FakeShards, channel: Channel, how: Behaviour, single: bool
) -> None:
    publish = both if single else only_shards
    publish(conda)
    made = mirror(conda, channel)
    scene.run_now(made)
    before = listed(channel)
    conda.add(LINUX, "zlib", "2.0")
    publish(conda)
    conda.behave(shard_path(conda, "zlib"), how)
    conda.forget()
    done = scene.run_now(made)
    assert index_requests(conda, INDEX) <= TRIES + 1
    if single:
        assert done.state == "completed"
        assert listed(channel) == conda.records(LINUX)
        assert f"{INDEX} cannot be used now, the single file is: The shard of zlib" in warned(done)
    else:
        assert done.state == "failed"
        assert "The shard of zlib is not the one that" in done.error
        assert listed(channel) == before
    conda.behave(shard_path(conda, "zlib"))
    assert scene.run_now(made).state == "completed"
    assert listed(channel) == conda.records(LINUX)


@pytest.mark.parametrize("how", [failing(503), failing(403), html(), Behaviour(body=b"x")])
@pytest.mark.parametrize("single", [True, False])
def test_a_list_of_shards_that_cannot_be_had_takes_nothing_away(
    conda: FakeShards, channel: Channel, how: Behaviour, single: bool
) -> None:
    publish = both if single else only_shards
    publish(conda)
    made = mirror(conda, channel)
    scene.run_now(made)
    before = listed(channel)
    conda.add(LINUX, "zlib", "2.0")
    publish(conda)
    conda.behave(conda.path(LINUX, INDEX), how)
    done = scene.run_now(made)
    if single:
        assert done.state == "completed"
        assert listed(channel) == conda.records(LINUX)
    else:
        assert done.state == "failed" or LINUX in done.held
        assert listed(channel) == before


@pytest.mark.parametrize("how", [failing(500), failing(403), html(), Behaviour(body=b"{}")])
def test_what_an_upstream_answers_to_the_question_for_shards_does_no_harm(
    conda: FakeShards, channel: Channel, how: Behaviour
) -> None:
    conda.publish()
    for subdir in ("noarch", LINUX):
        conda.behave(conda.path(subdir, INDEX), how)
    for version in ("2.0", "3.0"):
        done = scene.run_now(mirror(conda, scene.channel(f"c{version[0]}")))
        assert (done.state, done.warnings) == ("completed", [])
        conda.add(LINUX, "zlib", version)
        conda.publish()


def test_the_guard_holds_a_list_that_shrank(conda: FakeShards, channel: Channel) -> None:
    many(conda)
    only_shards(conda)
    made = mirror(conda, channel)
    scene.run_now(made)
    before = listed(channel)
    for file in list(conda.records(LINUX))[:100]:
        conda.unlist(LINUX, file)
    only_shards(conda)
    done = scene.run_now(made)
    assert "shrank from" in str(done.held[LINUX])
    assert listed(channel) == before


def test_files_that_shards_call_removed_are_no_reason_to_hold(
    conda: FakeShards, channel: Channel
) -> None:
    many(conda)
    only_shards(conda)
    made = mirror(conda, channel)
    scene.run_now(made)
    gone = [file for file in conda.records(LINUX) if file.startswith("package")][:100]
    for file in gone:
        conda.unlist(LINUX, file)
    only_shards(conda, removed=gone)
    done = scene.run_now(made)
    assert not done.held
    assert listed(channel) == conda.records(LINUX)


def test_run_exports_of_shards_reach_run_exports_json_and_our_shards(
    conda: FakeShards, channel: Channel
) -> None:
    """CEP 21."""
    exports = {"weak": ["zlib >=1.3"], "strong": []}
    only_shards(conda, run_exports={"zlib-1.3-0.conda": exports})
    scene.run_now(mirror(conda, channel))
    exported = json.loads(scene.document(channel, LINUX, "run_exports.json"))
    assert exported["packages.conda"] == {"zlib-1.3-0.conda": {"run_exports": exports}}
    assert exported["packages"] == {}
    shard = msgpack.unpackb(zstandard.decompress(served_shard(channel, "zlib")))
    assert shard["packages.conda"]["zlib-1.3-0.conda"]["run_exports"] == exports


def served_shard(channel: Channel, name: str) -> bytes:
    return shard_bytes(bodies(channel)[name])


def test_what_a_run_exports_file_says_counts_before_the_shard(
    conda: FakeShards, channel: Channel
) -> None:
    only_shards(conda, run_exports={"zlib-1.3-0.conda": {"weak": ["old"]}})
    text = json.dumps({"packages.conda": {"zlib-1.3-0.conda": {"run_exports": {"weak": ["new"]}}}})
    conda.set(conda.path(LINUX, "run_exports.json"), text.encode())
    scene.run_now(mirror(conda, channel))
    exported = json.loads(scene.document(channel, LINUX, "run_exports.json"))["packages.conda"]
    assert exported["zlib-1.3-0.conda"]["run_exports"] == {"weak": ["new"]}


def test_a_record_of_another_package_in_a_shard_is_left_out_and_named(
    conda: FakeShards, channel: Channel
) -> None:
    """M02: name and file do not belong together."""

    def smuggle(name: str, shard: dict[str, Any]) -> None:
        if name == "curl":
            record = {**next(iter(shard["packages.conda"].values())), "name": "zlib"}
            shard["packages.conda"]["zlib-9.0-0.conda"] = record | {"version": "9.0"}

    only_shards(conda, edit=smuggle)
    done = scene.run_now(mirror(conda, channel))
    assert listed(channel) == conda.records(LINUX)
    assert "zlib-9.0-0.conda (The record is in the shard of another package)" in warned(done)
    assert done.counts["listed"] == 4


@pytest.mark.parametrize("name", ["../x", "Upper", "a" * 300, "x\n", ".."])
def test_a_package_name_that_breaks_the_rules_is_left_out_and_named(
    conda: FakeShards, channel: Channel, name: str
) -> None:
    """M01."""
    only_shards(conda)
    packed = zstandard.decompress(conda.bytes_at(conda.path(LINUX, INDEX)))
    content = msgpack.unpackb(packed)
    content["shards"][name] = b"x" * 32
    conda.set(conda.path(LINUX, INDEX), zstandard.compress(msgpack.packb(content)))
    done = scene.run_now(mirror(conda, channel))
    assert done.state == "completed"
    assert "1 record is invalid and left out" in warned(done)
    assert listed(channel) == conda.records(LINUX)


def test_shards_are_fetched_from_where_the_list_says_if_that_is_allowed(
    conda: FakeShards, channel: Channel, settings: LazySettings
) -> None:
    """M03: a second host; no login goes there."""
    with FakeConda() as other:
        only_shards(conda, shards_base_url=f"{other.url}/elsewhere", base_url=f"{other.url}/files")
        for path in conda.paths():
            if "/shards/" in path:
                other.set(f"/elsewhere/{path.rpartition('/')[2]}", conda.bytes_at(path))
        made = mirror(conda, channel)
        refused = scene.run_now(made)
        assert refused.state == "failed"
        assert "127.0.0.1" in refused.error
        settings.UPSTREAM_ALLOW = (conda.url, other.url)
        assert scene.run_now(made).state == "completed"
        assert not any("authorization" in request.headers for request in other.requests())
    assert listed(channel) == conda.records(LINUX)
    index = scene.document(channel, LINUX, INDEX)
    info = msgpack.unpackb(zstandard.decompress(index))["info"]
    assert (info["base_url"], info["shards_base_url"]) == ("./", "./shards/")


def test_a_list_of_shards_that_another_host_answers_is_not_followed(
    conda: FakeShards, channel: Channel, settings: LazySettings
) -> None:
    only_shards(conda)
    with FakeConda(host="127.0.0.2") as other:
        settings.UPSTREAM_ALLOW = (conda.url, other.url)
        for path in conda.paths():
            other.set(path, conda.bytes_at(path))
        path = conda.path(LINUX, INDEX)
        conda.behave(path, redirecting(f"{other.url}{path}"))
        conda.behave(conda.path("noarch", INDEX), redirecting(f"{other.url}{path}"))
        done = scene.run_now(mirror(conda, channel))
        assert done.state == "failed"
        assert other.count() == 0


@pytest.mark.parametrize("mode", ["passive", "active"])
def test_a_stopped_upstream_leaves_what_was_mirrored_by_shards(
    conda: FakeShards, channel: Channel, mode: str
) -> None:
    only_shards(conda)
    made = mirror(conda, channel, mode)
    scene.run_now(made)
    conda.stop()
    assert scene.run_now(made).state == "failed"
    assert listed(channel) == conda.records(LINUX)


def test_py_rattler_reads_what_came_by_shards(
    conda: FakeShards, channel: Channel, tmp_path: Path
) -> None:
    both(conda)
    made = mirror(conda, channel)
    scene.run_now(made)
    conda.add(LINUX, "zlib", "2.0", depends=["curl"])
    both(conda)
    scene.run_now(made)
    with FakeConda() as ours:
        for name in ("noarch", LINUX):
            body = scene.document(channel, name, INDEX)
            ours.set(f"/c/{name}/{INDEX}", body)
            digests = msgpack.unpackb(zstandard.decompress(body))["shards"]
            for package, digest in digests.items():
                ours.set(
                    f"/c/{name}/shards/{digest.hex()}.msgpack.zst", served_shard(channel, package)
                )
        gateway = Gateway(cache_dir=tmp_path, default_config=SourceConfig(sharded_enabled=True))
        query = gateway.query(
            [RattlerChannel(f"{ours.url}/c")], [Subdir(LINUX)], ["zlib"], recursive=True
        )
        [records] = asyncio.run(_awaited(query))
        assert ours.count(f"/c/{LINUX}/repodata.json") == 0
    versions = sorted(f"{r.name.normalized} {r.version}" for r in records)
    assert versions == ["curl 8.0", "zlib 1.2", "zlib 1.3", "zlib 2.0"]


async def _awaited(query: Any) -> Any:
    return await query
