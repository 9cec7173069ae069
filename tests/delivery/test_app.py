"""What clients get: documents, shards, files, and how."""

from __future__ import annotations

import json
import threading
from datetime import timedelta

import msgpack
import pytest
import zstandard
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from channels import blobs
from channels.models import Blob, Channel, Generation, Package
from publishing import explain
from publishing.explain import Verdict
from tests import scene
from tests.channels import factory
from tests.wsgi import Answer, Client, application

pytestmark = pytest.mark.django_db(transaction=True)

ONE = factory.made("one-1.0-0.conda", b"1" * 1000)
TWO = factory.made("two-2.0-0.tar.bz2", b"2" * 2000)
INDEXES = ("repodata.json", "repodata.json.zst", "repodata_shards.msgpack.zst")


@pytest.fixture
def client() -> Client:
    return Client(application)


@pytest.fixture
def tools() -> Channel:
    channel = factory.channel("tools")
    factory.publish(channel, {"noarch": [], "linux-64": [ONE, TWO]})
    return channel


@pytest.fixture(autouse=True)
def no_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain, "verdict", lambda *_: None)


def test_every_form_of_an_index_is_served(client: Client, tools: Channel) -> None:
    plain = client.get("/api/repo/tools/linux-64/repodata.json")
    packed = client.get("/api/repo/tools/linux-64/repodata.json.zst")
    assert (plain.status, packed.status) == (200, 200)
    assert plain.headers["Content-Type"] == "application/json"
    assert packed.headers["Content-Type"] == "application/zstd"
    for answer in (plain, packed):
        assert "Content-Encoding" not in answer.headers
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "public, max-age=60"
        assert "Vary" not in answer.headers
    assert zstandard.ZstdDecompressor().decompress(packed.body) == plain.body
    index = json.loads(plain.body)
    assert list(index["packages.conda"]) == [ONE.filename]
    assert list(index["packages"]) == [TWO.filename]


def test_shards_are_served_beside_their_index_for_ever(client: Client, tools: Channel) -> None:
    def shard_of_one() -> str:
        index = client.get("/api/repo/tools/linux-64/repodata_shards.msgpack.zst")
        plain = zstandard.ZstdDecompressor().decompress(index.body)
        return str(msgpack.unpackb(plain)["shards"]["one"].hex())

    digest = shard_of_one()
    path = f"/api/repo/tools/linux-64/shards/{digest}.msgpack.zst"
    before = client.get(path)
    assert before.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert before.headers["ETag"] == f'"{digest}"'
    shard = msgpack.unpackb(zstandard.ZstdDecompressor().decompress(before.body))
    assert list(shard["packages.conda"]) == [ONE.filename]
    other = factory.made("one-1.1-0.conda", b"other")
    factory.publish(tools, {"noarch": [], "linux-64": [other]})
    assert shard_of_one() != digest
    assert client.get(path).body == before.body
    assert client.get(path.replace("linux-64", "noarch")).status == 404
    assert client.get(path.replace(digest, "0" * 64)).status == 404


def test_files_are_served_as_they_are(client: Client, tools: Channel) -> None:
    for file in (ONE, TWO):
        answer = client.get(f"/api/repo/tools/linux-64/{file.filename}")
        assert (answer.status, answer.body) == (200, file.content)
        assert answer.headers["ETag"] == f'"{file.sha256}"'
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["Cache-Control"] == "public, max-age=300"
        assert "Content-Encoding" not in answer.headers


def test_the_root_has_channeldata_and_notices(client: Client, tools: Channel) -> None:
    assert json.loads(client.get("/api/repo/tools/notices.json").body) == {"notices": []}
    data = client.get("/api/repo/tools/channeldata.json")
    assert (data.status, data.headers["Content-Type"]) == (200, "application/json")
    bare = factory.channel("bare")
    assert json.loads(client.get(f"/api/repo/{bare}/notices.json").body) == {"notices": []}


@pytest.mark.parametrize(
    "path",
    [
        "linux-64/repodata.json.bz2",
        "linux-64/current_repodata.json",
        "linux-64/current_repodata.json.zst",
        "linux-64/run_exports.json",
        "win-64/repodata.json",
        "linux-64/three-1.0-0.conda",
        "noarch/one-1.0-0.conda",
        "linux-64/one-1.0-0.whl",
        "repodata.json",
    ],
)
def test_what_is_not_there_is_404_with_words(client: Client, tools: Channel, path: str) -> None:
    answer = client.get(f"/api/repo/tools/{path}")
    assert answer.status == 404
    problem = json.loads(answer.body)
    assert problem["status"] == 404
    assert problem["title"] == "Not Found"
    assert "tools" in problem["detail"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert client.head(f"/api/repo/tools/{path}").status == 404


def test_head_is_get_without_a_body(client: Client, tools: Channel) -> None:
    names = [*INDEXES, ONE.filename, "missing-1.0-0.conda"]
    for path in [*(f"linux-64/{name}" for name in names), "notices.json", "channeldata.json"]:
        got, head = (ask(f"/api/repo/tools/{path}") for ask in (client.get, client.head))
        assert (head.status, head.headers, head.body) == (got.status, got.headers, b"")


@pytest.mark.parametrize("method", ["OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE"])
def test_other_methods_are_405(client: Client, tools: Channel, method: str) -> None:
    answer = client.ask(method, "/api/repo/tools/linux-64/repodata.json")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("name", [*INDEXES, ONE.filename])
def test_etags_decide_before_dates(client: Client, tools: Channel, name: str) -> None:
    path = f"/api/repo/tools/linux-64/{name}"
    full = client.get(path)
    etag, date = full.headers["ETag"], full.headers["Last-Modified"]
    assert etag.startswith('"')
    old = "Mon, 01 Jan 2001 00:00:00 GMT"

    def status(**headers: str) -> int:
        answer = client.get(path, **headers)
        if answer.status == 304:
            assert answer.body == b""
            assert answer.headers["ETag"] == etag
            assert answer.headers["Cache-Control"] == full.headers["Cache-Control"]
        return answer.status

    assert status(if_none_match=etag) == 304
    assert status(if_none_match=f'"x", W/{etag}') == 304
    assert status(if_none_match="*") == 304
    assert status(if_none_match='"x"') == 200
    assert status(if_none_match='"x"', if_modified_since=date) == 200
    assert status(if_none_match=etag, if_modified_since=old) == 304
    assert status(if_modified_since=date) == 304
    assert status(if_modified_since=old) == 200
    assert status(if_modified_since="yesterday") == 200


def test_every_file_has_an_etag_of_its_own(client: Client, tools: Channel) -> None:
    names = [*INDEXES, ONE.filename, TWO.filename]
    tags = [client.get(f"/api/repo/tools/linux-64/{name}").headers["ETag"] for name in names]
    tags.append(client.get("/api/repo/tools/noarch/repodata.json").headers["ETag"])
    assert len(set(tags)) == len(tags)


@pytest.mark.parametrize(
    ("asked", "status", "first", "last"),
    [
        ("bytes=0-0", 206, 0, 0),
        ("bytes=10-19", 206, 10, 19),
        ("bytes=990-", 206, 990, 999),
        ("bytes=990-5000", 206, 990, 999),
        ("bytes=-10", 206, 990, 999),
        ("bytes=-5000", 200, 0, 999),
        ("bytes=0-", 200, 0, 999),
        ("bytes=1000-", 416, 0, 0),
        ("bytes=5000-6000", 416, 0, 0),
        ("bytes=-0", 416, 0, 0),
        ("bytes=20-10", 200, 0, 999),
        ("bytes=0-1,5-6", 200, 0, 999),
        ("bytes=" + ",".join(f"{n}-{n}" for n in range(1000)), 200, 0, 999),
        ("bytes=-", 200, 0, 999),
        ("bytes=a-b", 200, 0, 999),
        ("lines=1-2", 200, 0, 999),
    ],
)
def test_a_single_range_is_sent_and_nothing_else_is(
    client: Client, asked: str, status: int, first: int, last: int
) -> None:
    content = bytes(n % 251 for n in range(1000))
    file = factory.made("one-1.0-0.conda", content)
    factory.publish(factory.channel(), {"noarch": [file]})
    answer = client.get("/api/repo/tools/noarch/one-1.0-0.conda", range=asked)
    assert answer.status == status
    if status == 416:
        assert answer.headers["Content-Range"] == "bytes */1000"
        return
    assert answer.body == content[first : last + 1]
    assert answer.headers["Accept-Ranges"] == "bytes"
    if status == 206:
        assert answer.headers["Content-Range"] == f"bytes {first}-{last}/1000"
    head = client.head("/api/repo/tools/noarch/one-1.0-0.conda", range=asked)
    assert (head.status, head.headers["Content-Length"]) == (200, "1000")


def test_a_range_of_older_bytes_gets_the_whole(client: Client, tools: Channel) -> None:
    path = f"/api/repo/tools/linux-64/{ONE.filename}"
    full = client.get(path)

    def status(condition: str) -> int:
        return client.get(path, range="bytes=5-", if_range=condition).status

    assert status(full.headers["ETag"]) == 206
    assert status(full.headers["Last-Modified"]) == 206
    assert status('"old"') == 200
    assert status(f"W/{full.headers['ETag']}") == 200
    assert status("Mon, 01 Jan 2001 00:00:00 GMT") == 200


def test_large_files_are_sent_in_chunks_and_parts(client: Client) -> None:
    content = bytes(range(256)) * 12_000
    factory.publish(factory.channel(), {"noarch": [factory.made("big-1-0.conda", content)]})
    assert client.get("/api/repo/tools/noarch/big-1-0.conda").body == content
    part = client.get("/api/repo/tools/noarch/big-1-0.conda", range="bytes=100-2000000")
    assert part.body == content[100:2000001]


def test_nginx_is_told_where_the_bytes_are(
    client: Client, tools: Channel, settings: object
) -> None:
    settings.X_ACCEL = True  # type: ignore[attr-defined]
    answer = client.get(f"/api/repo/tools/linux-64/{ONE.filename}")
    digest = ONE.sha256
    assert answer.headers["X-Accel-Redirect"] == f"/_blobs/{digest[:2]}/{digest[2:4]}/{digest}"
    assert (answer.body, answer.headers["ETag"]) == (b"", f'"{digest}"')
    # What has to be unpacked is not on disk as it is served.
    assert client.get("/api/repo/tools/linux-64/repodata.json").body


def test_s07_bytes_that_are_not_whole_are_an_error_and_no_short_file(
    client: Client, tools: Channel
) -> None:
    path = f"/api/repo/tools/linux-64/{ONE.filename}"
    assert client.get(path).status == 200
    stored = blobs.path(ONE.sha256)
    stored.chmod(0o600)
    stored.write_bytes(ONE.content[:-1])
    assert client.get(path).status == 500
    stored.unlink()
    answer = client.get(path)
    assert answer.status == 500
    assert "damaged or lost" in answer.detail
    index = blobs.path(Blob.objects.filter(document__name="repodata.json.zst").first().pk)  # type: ignore[union-attr]
    index.chmod(0o600)
    index.write_bytes(b"")
    for name in ("repodata.json", "repodata.json.zst"):
        answers = [client.get(f"/api/repo/tools/{s}/{name}") for s in ("noarch", "linux-64")]
        assert 500 in [answer.status for answer in answers]


def test_a_browser_is_sent_to_the_channels_page(client: Client, tools: Channel) -> None:
    html = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    for path, page in [
        ("tools", "/channels/tools/"),
        ("tools/", "/channels/tools/"),
        ("tools.r1", "/channels/tools/"),
        ("tools/sub", "/channels/tools/sub/"),
    ]:
        answer = client.get(f"/t/secret/api/repo/{path}", **html)
        assert (answer.status, answer.headers["Location"]) == (302, page)
    assert client.get("/api/repo/tools").status == 404
    assert client.get("/api/repo/tools/linux-64/repodata.json", **html).status == 200


def test_answers_follow_the_pointer_at_once(client: Client, tools: Channel) -> None:
    path = f"/api/repo/tools/linux-64/{ONE.filename}"
    index = "/api/repo/tools/linux-64/repodata.json"
    before = client.get(index)
    new = factory.made("three-1.0-0.conda", b"3")
    assert client.get(f"/api/repo/tools/linux-64/{new.filename}").status == 404
    factory.publish(tools, {"noarch": [], "linux-64": [new]})
    after = client.get(index, if_none_match=before.headers["ETag"])
    assert after.status == 200
    assert ONE.filename.encode() not in after.body
    assert client.get(f"/api/repo/tools/linux-64/{new.filename}").body == b"3"
    # An installation may have read the index before.
    assert client.get(path).body == ONE.content


def test_what_was_removed_is_gone_after_its_time(client: Client, tools: Channel) -> None:
    factory.publish(tools, {"noarch": [], "linux-64": [TWO]})
    path = f"/api/repo/tools/linux-64/{ONE.filename}"
    assert client.get(path).status == 200
    tools.revisions.update(retired_at=timezone.now() - timedelta(hours=73))
    Generation.rise()
    assert client.get(path).status == 404


def test_numbered_and_dated_addresses_show_older_states(client: Client, tools: Channel) -> None:
    now = timezone.now()
    factory.publish(tools, {"noarch": [], "linux-64": [TWO]})
    tools.revisions.filter(number=1).update(
        created_at=now - timedelta(days=10), retired_at=now - timedelta(days=5)
    )
    tools.revisions.filter(number=2).update(created_at=now - timedelta(days=5))
    Generation.rise()

    def listed(address: str) -> set[str]:
        answer = client.get(f"/api/repo/{address}/linux-64/repodata.json")
        index = json.loads(answer.body)
        return {*index["packages"], *index["packages.conda"]} if answer.status == 200 else set()

    def day(ago: int) -> str:
        return f"tools.{(now - timedelta(days=ago)).date().isoformat()}"

    both = {ONE.filename, TWO.filename}
    assert listed("tools") == listed("tools.r2") == {TWO.filename}
    assert listed("tools.r1") == both
    assert listed(day(0)) == listed(day(5)) == {TWO.filename}
    assert listed(day(6)) == listed(day(10)) == both
    assert client.get(f"/api/repo/tools.r1/linux-64/{ONE.filename}").body == ONE.content
    assert client.get(f"/api/repo/{day(6)}/linux-64/{ONE.filename}").status == 200
    assert client.get(f"/api/repo/tools.r2/linux-64/{ONE.filename}").status == 404
    for address in ("tools.r3", day(11), day(-2), "tools.2026-02-31", "tools.r99999999"):
        answer = client.get(f"/api/repo/{address}/linux-64/repodata.json")
        assert answer.status == 404
        assert answer.detail
    tools.revisions.filter(number=1).update(retired_at=now - timedelta(days=8))
    Generation.rise()
    gone = client.get(f"/api/repo/{day(6)}/linux-64/repodata.json")
    assert (gone.status, "no longer keeps" in gone.detail) == (404, True)


def test_a_subchannel_has_addresses_and_revisions_of_its_own(
    client: Client, tools: Channel
) -> None:
    sub = factory.channel("sub", parent=tools)
    factory.publish(sub, {"noarch": [ONE]})
    factory.publish(sub, {"noarch": [TWO]})
    assert client.get(f"/api/repo/tools/sub/noarch/{TWO.filename}").body == TWO.content
    assert client.get(f"/api/repo/tools/sub.r1/noarch/{ONE.filename}").body == ONE.content
    assert client.get(f"/api/repo/sub/noarch/{TWO.filename}").status == 401
    assert client.get("/api/repo/tools/sub/notices.json").status == 200


def refuse(*names: str) -> list[str]:
    """Have the rules refuse these files; the list grows with every question."""
    asked: list[str] = []

    def judge(channel: Channel, section: str, filename: str) -> Verdict | None:
        asked.append(filename)
        if filename in names:
            return Verdict(True, f"{filename} is left out by the mirror's filter: license GPL.")
        return None

    explain.verdict = judge
    return asked


def addresses_of(filename: str) -> list[str]:
    today = timezone.now().date().isoformat()
    return [
        f"/api/repo/{channel}/linux-64/{filename}"
        for channel in ("tools", "tools.r1", f"tools.{today}", "t/token/tools")
    ]


def test_p08_a_file_that_a_rule_refuses_is_refused_with_the_reason_at_every_address(
    client: Client, tools: Channel
) -> None:
    refuse(ONE.filename)
    factory.publish(tools, {"noarch": [], "linux-64": [TWO]})
    for path in addresses_of(ONE.filename):
        answer = client.get(path)
        assert answer.status == 404
        assert "license GPL" in answer.detail
        assert client.head(path).status == 404
        assert client.get(path, range="bytes=0-1").status == 404
    assert client.get(f"/api/repo/tools/linux-64/{TWO.filename}").status == 200


def test_p08_a_changed_rule_counts_before_its_publication(client: Client, tools: Channel) -> None:
    path = f"/api/repo/tools/linux-64/{ONE.filename}"
    assert client.get(path).status == 200
    refuse(ONE.filename)
    assert client.get(path).status == 200
    tools.request_publication()
    Generation.rise()
    assert client.get(path).status == 404
    assert client.get(f"/api/repo/tools/linux-64/{TWO.filename}").status == 200


def test_p08_in_a_frozen_channel_freeze_wins(client: Client, tools: Channel) -> None:
    refuse(ONE.filename)
    tools.request_publication()
    Channel.objects.filter(pk=tools.pk).update(frozen_at=timezone.now())
    Generation.rise()
    assert client.get(f"/api/repo/tools/linux-64/{ONE.filename}").status == 200


def test_p05_a_storm_of_404_asks_the_database_and_the_rules_once(
    client: Client, tools: Channel
) -> None:
    asked = refuse()
    path = "/api/repo/tools/linux-64/one-9.9-0.conda"
    client.get(path)
    client.get(f"/api/repo/tools/linux-64/{ONE.filename}")
    with CaptureQueriesContext(
        connection,
    ) as queries:
        for _ in range(50):
            assert client.get(path).status == 404
            assert client.get(f"/api/repo/tools/linux-64/{ONE.filename}").status == 200
    assert len(queries) == 0
    assert asked == ["one-9.9-0.conda"]
    with CaptureQueriesContext(connection) as queries:
        client.get("/api/repo/tools/linux-64/never-heard-1-0.conda")
    assert len(queries) <= 2
    assert asked == ["one-9.9-0.conda"]


def test_a_broken_database_connection_is_opened_again(client: Client, tools: Channel) -> None:
    path = f"/api/repo/tools/linux-64/{ONE.filename}"
    client.get(path)
    connection.connection.close()
    assert client.get(path).status == 200


def test_c06_clients_install_through_publications_without_a_404(tools: Channel) -> None:
    sets = [[ONE, TWO], [factory.made(f"new-{n}-0.conda", b"n") for n in range(3)], [TWO]]
    over = threading.Event()
    failures: list[tuple[str, Answer]] = []
    rounds = []

    def install() -> None:
        client = Client(application)
        try:
            while not over.is_set() or not rounds:
                index = client.get("/api/repo/tools/linux-64/repodata.json")
                listing = json.loads(index.body)
                records = listing["packages"] | listing["packages.conda"]
                for name, record in records.items():
                    answer = client.get(f"/api/repo/tools/linux-64/{name}")
                    if answer.status != 200 or len(answer.body) != record["size"]:
                        failures.append((name, answer))
                rounds.append(set(records))
        finally:
            connection.close()

    threads = [threading.Thread(target=install) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(9):
        factory.publish(tools, {"linux-64": sets[(number + 1) % 3]})
    over.set()
    for thread in threads:
        thread.join()
    assert not failures
    known = [{file.filename for file in files} for files in sets]
    assert all(seen in known for seen in rounds)


def test_a_mirror_of_md5_only_records_finds_its_files(client: Client) -> None:
    file = factory.made("old-1.0-0.tar.bz2", b"old bytes", sha256=None)
    factory.publish(factory.channel(), {"noarch": [file]})
    assert client.get("/api/repo/tools/noarch/old-1.0-0.tar.bz2").body == b"old bytes"


def test_only_files_are_found_by_their_hash(client: Client) -> None:
    """A record that names the hash of another blob does not make that blob a file."""
    secret = scene.stored(b"what only we may read")
    file = factory.made("x-1.0-0.conda", b"what only we may read")
    channel = factory.channel()
    factory.publish(channel, {"noarch": [file]}, here=False)
    assert secret.pk == file.sha256
    assert Package.objects.filter(channel=channel, name="x").exists()
    assert client.get("/api/repo/tools/noarch/x-1.0-0.conda").status == 404
