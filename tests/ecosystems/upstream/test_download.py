"""Package files: rows N02, N03, N06, N11, N13 and N17."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ecosystems.upstream import Client, DigestMismatch, NotFound, TooSlow, UpstreamError
from tests.certificates import Authority
from tests.rogue import Behaviour, claiming_gzip, failing, gzipped
from tests.upstream import FakeUpstream

MakeClient = Callable[..., Client]
BODY = random.Random(7).randbytes(50_000)
OTHER = random.Random(8).randbytes(50_000)
SHA256 = hashlib.sha256(BODY).hexdigest()
MD5 = hashlib.md5(BODY).hexdigest()
WANTED: dict[str, Any] = {"size": len(BODY), "sha256": SHA256}


class Stopped(Exception):
    pass


@pytest.fixture
def url(upstream: FakeUpstream) -> str:
    upstream.set("/p.conda", BODY)
    return f"{upstream.url}/p.conda"


def ranges(upstream: FakeUpstream) -> list[str | None]:
    return [r.headers.get("range") for r in upstream.requests("/p.conda")]


def test_a_file_is_verified_and_counted_while_it_is_written(
    client: Client, url: str, tmp_path: Path
):
    done: list[tuple[int, int]] = []
    digest = client.download(
        url, tmp_path / "p", **WANTED, progress=lambda n, total: done.append((n, total))
    )
    assert (digest.sha256, digest.md5, digest.size) == (SHA256, MD5, len(BODY))
    assert (tmp_path / "p").read_bytes() == BODY
    assert done[-1] == (len(BODY), len(BODY))
    assert done == sorted(done)


def test_an_open_file_is_written_from_its_position_on(
    client: Client, upstream: FakeUpstream, url: str
):
    upstream.behave("/p.conda", Behaviour(body=OTHER, times=1))
    file = io.BytesIO(b"head")
    file.seek(4)
    client.download(url, file, **WANTED)
    assert file.getvalue() == b"head" + BODY


def test_a_file_without_size_and_hash_is_taken_as_it_is(client: Client, url: str, tmp_path: Path):
    assert client.download(url, tmp_path / "p").sha256 == SHA256


def test_md5_counts_where_there_is_no_sha256(client: Client, url: str, tmp_path: Path):
    assert client.download(url, tmp_path / "p", md5=MD5.upper()).md5 == MD5
    with pytest.raises(DigestMismatch, match="md5"):
        client.download(url, tmp_path / "p", md5="0" * 32)


def test_N02_reset_mid_body_is_resumed_by_range(
    client: Client, upstream: FakeUpstream, url: str, tmp_path: Path
):
    upstream.behave("/p.conda", Behaviour(cut_at=20_000, times=1))
    assert client.download(url, tmp_path / "p", **WANTED).sha256 == SHA256
    first, second = upstream.requests("/p.conda")
    assert "range" not in first.headers
    assert second.headers["range"] == "bytes=20000-"
    assert second.headers["if-range"].startswith('"')


def test_N02_a_connection_reset_by_the_server_is_tried_again(
    client: Client, upstream: FakeUpstream, url: str, tmp_path: Path
):
    upstream.behave("/p.conda", Behaviour(reset_at=20_000, times=2))
    assert client.download(url, tmp_path / "p", **WANTED).sha256 == SHA256
    assert (tmp_path / "p").read_bytes() == BODY


def test_N02_without_a_validator_the_file_is_begun_anew(
    client: Client, upstream: FakeUpstream, tmp_path: Path
):
    upstream.set("/p.conda", BODY, etag="", last_modified=None)
    upstream.behave("/p.conda", Behaviour(cut_at=20_000, times=1))
    client.download(f"{upstream.url}/p.conda", tmp_path / "p", **WANTED)
    assert ranges(upstream) == [None, None]


def test_N02_a_weak_etag_is_no_validator_but_the_date_is(
    client: Client, upstream: FakeUpstream, tmp_path: Path
):
    upstream.set("/p.conda", BODY, etag='W/"1"')
    upstream.behave("/p.conda", Behaviour(cut_at=20_000, times=1))
    client.download(f"{upstream.url}/p.conda", tmp_path / "p", **WANTED)
    assert ranges(upstream) == [None, "bytes=20000-"]
    assert upstream.requests()[1].headers["if-range"].endswith("GMT")


def test_N02_progress_gives_new_tries_and_standing_still_does_not(
    client: Client, upstream: FakeUpstream, url: str, tmp_path: Path
):
    cuts = [Behaviour(cut_at=4000, only="ranged", times=8), Behaviour(cut_at=4000, times=1)]
    upstream.behave("/p.conda", *cuts)
    assert client.download(url, tmp_path / "p", **WANTED).sha256 == SHA256
    upstream.forget()
    upstream.behave("/p.conda", Behaviour(cut_at=4000, ignore_range=True))
    with pytest.raises(
        UpstreamError, match=r"127.0.0.1 broke off the connection\. \(Tried 4 times\.\)"
    ):
        client.download(url, tmp_path / "p", **WANTED)
    assert upstream.count() == 4


def test_N02_a_length_that_is_too_large_is_asked_for_once_more(
    client: Client, upstream: FakeUpstream, url: str, tmp_path: Path
):
    upstream.behave("/p.conda", Behaviour(length=60_000, times=1))
    assert client.download(url, tmp_path / "p", **WANTED).sha256 == SHA256
    upstream.behave("/p.conda", Behaviour(length=60_000))
    with pytest.raises(DigestMismatch, match="sends 60000 bytes where the index promises 50000"):
        client.download(url, tmp_path / "p", **WANTED)


def test_N03_a_length_that_is_too_small_never_passes(
    client: Client, upstream: FakeUpstream, url: str, tmp_path: Path
):
    upstream.behave("/p.conda", Behaviour(length=40_000))
    with pytest.raises(DigestMismatch):
        client.download(url, tmp_path / "p", **WANTED)
    with pytest.raises(DigestMismatch):
        client.download(url, tmp_path / "p", sha256=SHA256)
    assert upstream.count() == 4


def test_N03_a_body_cut_without_a_length_is_resumed(
    client: Client, upstream: FakeUpstream, url: str, tmp_path: Path
):
    upstream.behave("/p.conda", Behaviour(no_length=True, cut_at=30_000, times=1))
    assert client.download(url, tmp_path / "p", **WANTED).sha256 == SHA256
    assert ranges(upstream) == [None, "bytes=30000-"]


def test_N03_a_body_cut_without_length_and_size_fails_by_its_hash(
    client: Client, upstream: FakeUpstream, url: str, tmp_path: Path
):
    upstream.behave("/p.conda", Behaviour(no_length=True, cut_at=30_000))
    with pytest.raises(DigestMismatch, match="sha256"):
        client.download(url, tmp_path / "p", sha256=SHA256)


def test_N06_a_part_nobody_asked_for_is_not_taken_for_the_whole(
    client: Client, upstream: FakeUpstream, url: str, tmp_path: Path
):
    upstream.behave("/p.conda", Behaviour(unasked_206=True, times=1))
    assert client.download(url, tmp_path / "p", **WANTED).sha256 == SHA256
    upstream.behave("/p.conda", Behaviour(unasked_206=True))
    with pytest.raises(UpstreamError, match="a part that was not asked for"):
        client.download(url, tmp_path / "p", **WANTED)


@pytest.mark.parametrize(
    "second",
    [
        Behaviour(only="ranged", ignore_range=True, times=1),
        Behaviour(only="ranged", content_range="bytes 19999-49999/50000", times=1),
        Behaviour(only="ranged", content_range="bytes 20000-49999/60000", times=1),
        Behaviour(only="ranged", content_range="nonsense", times=1),
        Behaviour(only="ranged", headers=[("ETag", '"changed"')], etag="", times=1),
        Behaviour(only="ranged", status=416, times=1),
    ],
    ids=["200 to a range", "wrong start", "wrong total", "nonsense", "other ETag", "416"],
)
def test_N06_an_answer_that_does_not_fit_begins_the_file_anew(
    client: Client, upstream: FakeUpstream, url: str, tmp_path: Path, second: Behaviour
):
    upstream.behave("/p.conda", second, Behaviour(cut_at=20_000, times=1))
    assert client.download(url, tmp_path / "p", **WANTED).sha256 == SHA256
    assert (tmp_path / "p").read_bytes() == BODY


def test_N06_a_file_that_changes_between_two_tries_is_never_mixed(
    client: Client, upstream: FakeUpstream, url: str, tmp_path: Path
):
    """If-Range makes the server send the new file whole."""
    upstream.behave("/p.conda", Behaviour(cut_at=20_000, body=OTHER, etag='"other"', times=1))
    assert client.download(url, tmp_path / "p").sha256 == SHA256
    assert ranges(upstream) == [None, "bytes=20000-"]


def test_N09_a_missing_file_is_not_asked_for_again(
    client: Client, upstream: FakeUpstream, tmp_path: Path
):
    with pytest.raises(NotFound):
        client.download(f"{upstream.url}/gone.conda", tmp_path / "p", **WANTED)
    assert upstream.count() == 1


def test_N10_a_file_on_a_busy_server_comes_later(
    client: Client, upstream: FakeUpstream, url: str, tmp_path: Path, time
):
    upstream.behave("/p.conda", failing(503, retry_after="9", times=2))
    assert client.download(url, tmp_path / "p", **WANTED).sha256 == SHA256
    assert 18 <= sum(time.slept) < 20


def test_N11_a_drip_below_the_minimum_rate_is_given_up(
    make_client: MakeClient, upstream: FakeUpstream, url: str, tmp_path: Path, time
):
    """Every byte comes long before the read timeout, so only the rate can tell."""
    upstream.behave("/p.conda", Behaviour(drip=True))
    client = make_client(limits={"retries": 0, "min_rate": 1_000_000, "header_timeout": 1e9})

    def progress(_done: int, _total: int) -> None:
        time.step = 0.5

    with pytest.raises(TooSlow, match=r"127.0.0.1 sends too slowly"):
        client.download(url, tmp_path / "p", **WANTED, progress=progress)


def test_N11_a_server_that_falls_silent_is_given_up(
    make_client: MakeClient, upstream: FakeUpstream, url: str, tmp_path: Path, time
):
    upstream.behave("/p.conda", Behaviour(hold_at=20_000))
    client = make_client(limits={"retries": 0, "rate_window": 1e9})

    def progress(_done: int, _total: int) -> None:
        time.step = 1.0

    with pytest.raises(UpstreamError, match=r"127.0.0.1 stopped sending"):
        client.download(url, tmp_path / "p", **WANTED, progress=progress)


def test_N11_stop_works_while_nothing_comes_and_comes_through_untouched(
    client: Client, upstream: FakeUpstream, url: str, tmp_path: Path
):
    holding = Behaviour(hold_at=20_000)
    upstream.behave("/p.conda", holding)
    asked_by = []

    def stop() -> None:
        asked_by.append(threading.current_thread())
        if holding.held.is_set():
            raise Stopped

    with pytest.raises(Stopped):
        client.download(url, tmp_path / "p", **WANTED, stop=stop)
    assert set(asked_by) == {threading.current_thread()}


def test_N11_stop_works_inside_a_tls_connection_too(make_client: MakeClient, tmp_path: Path):
    authority = Authority(tmp_path)
    holding = Behaviour(hold_at=20_000)
    client = make_client(ca_files=[authority.ca_file])

    def stop() -> None:
        if holding.held.is_set():
            raise Stopped

    with FakeUpstream({"/p.conda": BODY}, tls=authority.server("127.0.0.1")) as secure:
        secure.behave("/p.conda", holding)
        with pytest.raises(Stopped):
            client.download(f"{secure.url}/p.conda", tmp_path / "p", **WANTED, stop=stop)
        secure.behave("/p.conda", Behaviour(cut_at=20_000, times=1))
        assert client.download(f"{secure.url}/p.conda", tmp_path / "p", **WANTED).sha256 == SHA256


def test_N13_an_endless_file_is_refused_at_its_size(
    client: Client, upstream: FakeUpstream, url: str, tmp_path: Path
):
    upstream.behave("/p.conda", Behaviour(endless=True, no_length=True))
    with pytest.raises(DigestMismatch, match="more than the 50000 bytes"):
        client.download(url, tmp_path / "p", **WANTED)
    assert (tmp_path / "p").stat().st_size <= len(BODY)
    assert upstream.count() == 2


def test_N13_an_endless_file_of_unknown_size_is_cut_at_the_cap(
    make_client: MakeClient, upstream: FakeUpstream, url: str, tmp_path: Path
):
    upstream.behave("/p.conda", Behaviour(endless=True, no_length=True))
    with pytest.raises(UpstreamError, match="more than 70000 bytes"):
        make_client(limits={"file_cap": 70_000}).download(url, tmp_path / "p")


def test_N17_wrong_bytes_are_asked_for_once_more_past_all_caches(
    client: Client, upstream: FakeUpstream, url: str, tmp_path: Path
):
    upstream.behave("/p.conda", Behaviour(body=OTHER, times=1))
    assert client.download(url, tmp_path / "p", **WANTED).sha256 == SHA256
    first, second = upstream.requests("/p.conda")
    assert "cache-control" not in first.headers
    assert second.headers["cache-control"] == "no-cache"


def test_N17_bytes_that_stay_wrong_are_a_lasting_error(
    client: Client, upstream: FakeUpstream, url: str, tmp_path: Path
):
    upstream.behave("/p.conda", Behaviour(body=OTHER))
    with pytest.raises(
        DigestMismatch, match="do not have the sha256 that the index promises"
    ) as error:
        client.download(url, tmp_path / "p", **WANTED)
    assert error.value.permanent
    assert upstream.count() == 2


def test_an_encoded_file_without_size_and_hash_is_refused(
    client: Client, upstream: FakeUpstream, url: str, tmp_path: Path
):
    upstream.behave("/p.conda", claiming_gzip(BODY))
    assert client.download(url, tmp_path / "p", **WANTED).sha256 == SHA256
    with pytest.raises(UpstreamError, match="encoding that was not asked for"):
        client.download(url, tmp_path / "p")


def test_N05_a_file_in_an_encoding_nobody_asked_for_is_decoded(
    client: Client, upstream: FakeUpstream, url: str, tmp_path: Path
):
    upstream.behave("/p.conda", gzipped(BODY))
    digest = client.download(url, tmp_path / "p", **WANTED)
    assert (digest.sha256, digest.size) == (SHA256, len(BODY))
    assert (tmp_path / "p").read_bytes() == BODY
    assert client.download(url, tmp_path / "q", md5=MD5).sha256 == SHA256
    assert client.download(url, tmp_path / "r").sha256 == SHA256


def test_N05_a_packed_file_is_decoded_only_where_it_is_not_itself_otherwise(
    client: Client, upstream: FakeUpstream, tmp_path: Path
):
    packed = gzip.compress(BODY)
    wanted: dict[str, Any] = {"sha256": hashlib.sha256(packed).hexdigest()}
    for size in (-1, len(packed)):
        for name, behaviour in (("own", claiming_gzip(packed)), ("twice", gzipped(packed))):
            upstream.set(f"/{name}.tar.gz", packed)
            upstream.behave(f"/{name}.tar.gz", behaviour)
            to = tmp_path / name
            client.download(f"{upstream.url}/{name}.tar.gz", to, size=size, **wanted)
            assert to.read_bytes() == packed


def test_N05_a_file_that_decodes_to_more_than_it_may_is_cut_off(
    make_client: MakeClient, upstream: FakeUpstream, url: str, tmp_path: Path
):
    upstream.behave("/p.conda", gzipped(bytes(64 << 20)))
    client = make_client(limits={"file_cap": 1 << 20})
    with pytest.raises(DigestMismatch, match=r"sends more .*unasked.* than the 50000 bytes"):
        client.download(url, tmp_path / "p", **WANTED)
    with pytest.raises(UpstreamError, match=r"more than 1048576 bytes"):
        client.download(url, tmp_path / "p")
    assert (tmp_path / "p").stat().st_size <= 1 << 20


def test_N05_another_encoding_is_named_as_the_cause(
    client: Client, upstream: FakeUpstream, url: str, tmp_path: Path
):
    upstream.behave("/p.conda", Behaviour(headers=[("Content-Encoding", "br")], body=BODY[:51]))
    with pytest.raises(DigestMismatch, match=r"51 bytes \(in the encoding 'br', unasked\) where"):
        client.download(url, tmp_path / "p", **WANTED)
    with pytest.raises(UpstreamError, match="encoding that was not asked for"):
        client.download(url, tmp_path / "p")


def test_N05_a_decoded_file_that_is_cut_is_brought_again_from_its_begin(
    client: Client, upstream: FakeUpstream, url: str, tmp_path: Path
):
    whole = gzipped(BODY)
    upstream.behave("/p.conda", replace(whole, cut_at=20_000, times=1), whole)
    assert client.download(url, tmp_path / "p", **WANTED).sha256 == SHA256
    assert ranges(upstream) == [None, None]


def test_N05_the_first_bytes_of_an_encoded_index_are_decoded(
    client: Client, upstream: FakeUpstream, url: str
):
    upstream.behave("/p.conda", gzipped(b'{"info": {}}' * 1000))
    peek = client.peek(url, most=50)
    assert (peek.body[:12], len(peek.body), peek.size) == (b'{"info": {}}', 50, None)


def test_threads_share_a_client_and_its_few_connections(
    make_client: MakeClient, upstream: FakeUpstream, url: str, tmp_path: Path
):
    client = make_client(limits={"connections": 3})
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for _ in range(5):
                client.download(url, tmp_path / f"p{number}", **WANTED)
        except UpstreamError as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert upstream.count() == 60
    assert upstream.connections <= 3
