"""Index files: rows N05, N07-N11, N13 and A04."""

from __future__ import annotations

import gzip
import hashlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from ecosystems.upstream import (
    Backoff,
    Client,
    Credential,
    Denied,
    EgressPolicy,
    EgressRefused,
    Elsewhere,
    FetchedFile,
    NotFound,
    NotModified,
    TooSlow,
    UpstreamError,
    split_credentials,
)
from tests.rogue import Behaviour, claiming_gzip, failing, gzipped, html, redirecting
from tests.upstream import FakeUpstream

MakeClient = Callable[..., Client]
BODY = b'{"info": {"subdir": "noarch"}}' * 400


class Stopped(Exception):
    pass


def basic(url: str) -> Credential | None:
    """The login that `url` is given with."""
    return split_credentials(url.replace("://", "://user:canary@"))[1]


@pytest.fixture
def index(upstream: FakeUpstream) -> str:
    upstream.set("/index", BODY)
    return f"{upstream.url}/index"


def test_an_index_is_stored_as_it_comes_with_its_validators(
    client: Client, index: str, tmp_path: Path
):
    done = []
    fetched = client.fetch_index(
        index, tmp_path / "x", progress=lambda n, total: done.append((n, total))
    )
    assert isinstance(fetched, FetchedFile)
    assert (tmp_path / "x").read_bytes() == BODY
    assert fetched.sha256 == hashlib.sha256(BODY).hexdigest()
    assert (fetched.size, fetched.final_url) == (len(BODY), index)
    assert fetched.etag.startswith('"')
    assert fetched.last_modified
    assert done[-1] == (len(BODY), len(BODY))


@pytest.mark.parametrize("by", ["etag", "last_modified"])
def test_an_unchanged_index_is_not_sent_again(
    client: Client, upstream: FakeUpstream, index: str, tmp_path: Path, by: str
):
    fetched = client.fetch_index(index, tmp_path / "x")
    again = client.fetch_index(index, tmp_path / "y", **{by: getattr(fetched, by)})
    assert isinstance(again, NotModified)
    assert upstream.requests()[0].headers["accept-encoding"] == "identity"


def test_a_304_that_was_not_asked_for_is_an_error(
    client: Client, upstream: FakeUpstream, index: str, tmp_path: Path
):
    upstream.behave("/index", Behaviour(status=304))
    with pytest.raises(UpstreamError, match="304 without being asked"):
        client.fetch_index(index, tmp_path / "x")


def test_N02_an_index_cut_in_the_middle_is_resumed_and_whole(
    client: Client, upstream: FakeUpstream, index: str, tmp_path: Path
):
    upstream.behave("/index", Behaviour(cut_at=5000, times=1))
    assert client.fetch_index(index, tmp_path / "x").size == len(BODY)
    assert (tmp_path / "x").read_bytes() == BODY
    assert upstream.requests()[1].headers["range"] == "bytes=5000-"


def test_N05_an_encoding_nobody_asked_for_is_undone(
    client: Client, upstream: FakeUpstream, index: str, tmp_path: Path
):
    upstream.behave("/index", gzipped(BODY))
    fetched = client.fetch_index(index, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == BODY
    assert fetched.sha256 == hashlib.sha256(BODY).hexdigest()
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("x")] == ["x"]


@pytest.mark.parametrize(
    "body",
    [
        BODY,
        gzip.compress(BODY)[:-3],
        gzip.compress(BODY) + b"more",
        gzip.compress(BODY)[:-8] + b"\0\0\0\0" + gzip.compress(BODY)[-4:],
    ],
    ids=["not gzip", "cut", "followed", "bad CRC"],
)
def test_N05_a_false_gzip_is_asked_for_once_more_and_then_refused(
    client: Client, upstream: FakeUpstream, index: str, tmp_path: Path, body: bytes
):
    upstream.behave("/index", claiming_gzip(body))
    with pytest.raises(UpstreamError, match="says that the body is gzip-encoded, but"):
        client.fetch_index(index, tmp_path / "x")
    assert upstream.count("/index") == 2
    assert upstream.requests("/index")[1].headers["cache-control"] == "no-cache"


def test_N05_a_false_gzip_that_is_gone_the_second_time_is_forgotten(
    client: Client, upstream: FakeUpstream, index: str, tmp_path: Path
):
    upstream.behave("/index", claiming_gzip(BODY, times=1))
    assert client.fetch_index(index, tmp_path / "x").size == len(BODY)


def test_N05_a_gz_file_labelled_as_gzip_is_left_as_it_is(
    client: Client, upstream: FakeUpstream, tmp_path: Path
):
    packed = gzip.compress(b"Package: a\n")
    upstream.behave("/PACKAGES.gz", claiming_gzip(packed))
    client.fetch_index(f"{upstream.url}/PACKAGES.gz", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == packed


@pytest.mark.parametrize(
    "behaviour",
    [
        html(),
        Behaviour(body=b"\xef\xbb\xbf\n <!doctype html>Log in"),
        Behaviour(body=b"<?xml version='1.0'?>"),
    ],
)
def test_N07_a_page_in_place_of_an_index_is_called_one(
    client: Client, upstream: FakeUpstream, index: str, tmp_path: Path, behaviour: Behaviour
):
    upstream.behave("/index", behaviour)
    with pytest.raises(UpstreamError, match="HTML was received") as error:
        client.fetch_index(index, tmp_path / "x")
    assert "Log in" not in str(error.value)
    assert upstream.count() == 1


def test_N07_an_empty_body_is_called_one(
    client: Client, upstream: FakeUpstream, index: str, tmp_path: Path
):
    upstream.behave("/index", Behaviour(body=b""))
    with pytest.raises(UpstreamError, match="an empty body was received"):
        client.fetch_index(index, tmp_path / "x")


def test_an_html_index_is_accepted_where_it_is_expected(
    client: Client, upstream: FakeUpstream, index: str, tmp_path: Path
):
    upstream.behave("/index", html())
    assert client.fetch_index(index, tmp_path / "x", html=True, accept="text/html").size > 0
    assert upstream.requests()[0].headers["accept"] == "text/html"


def test_N08_redirects_are_followed_up_to_five(
    client: Client, upstream: FakeUpstream, index: str, tmp_path: Path
):
    for hop in range(6):
        upstream.behave(f"/{hop}", redirecting(f"/{hop - 1}" if hop else "/index"))
    assert client.fetch_index(f"{upstream.url}/4", tmp_path / "x").final_url == index
    with pytest.raises(UpstreamError, match="redirects more than 5 times"):
        client.fetch_index(f"{upstream.url}/5", tmp_path / "x")


@pytest.mark.parametrize(
    "target",
    ["/store/dépôt/index", "/store/my repo/index", '/store/index?f="a b"', " /store/index"],
)
def test_N08_a_location_that_is_not_percent_encoded_is_followed(
    client: Client, upstream: FakeUpstream, tmp_path: Path, target: str
):
    """As browsers, curl and pip do; the header's bytes are UTF-8."""
    upstream.set(target.strip().partition("?")[0], BODY)
    upstream.behave("/a", redirecting(target.encode().decode("latin-1")))
    assert client.fetch_index(f"{upstream.url}/a", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == BODY


def test_N08_a_location_in_latin_1_keeps_its_bytes(
    client: Client, upstream: FakeUpstream, tmp_path: Path
):
    upstream.behave("/a", redirecting("/d\xe9p\xf4t"))
    with pytest.raises(NotFound):
        client.fetch_index(f"{upstream.url}/a", tmp_path / "x")
    assert upstream.requests()[-1].path == "/d%E9p%F4t"


def test_N08_a_redirect_loop_is_refused(client: Client, upstream: FakeUpstream, tmp_path: Path):
    upstream.behave("/a", redirecting("/b"))
    upstream.behave("/b", redirecting("/a"))
    with pytest.raises(UpstreamError, match="redirects in a circle"):
        client.fetch_index(f"{upstream.url}/a", tmp_path / "x")
    assert upstream.count() == 2


@pytest.mark.parametrize(
    "target",
    ["file:///etc/passwd", "http://localhost/", "http://10.0.0.1/", "http://u:p@127.0.0.1/"],
)
def test_N08_a_redirect_to_what_is_not_allowed_is_refused(
    client: Client, upstream: FakeUpstream, tmp_path: Path, target: str
):
    upstream.behave("/a", redirecting(target))
    with pytest.raises(EgressRefused):
        client.fetch_index(f"{upstream.url}/a", tmp_path / "x")


def test_N08_an_index_counts_from_its_own_host_only(
    client: Client, upstream: FakeUpstream, tmp_path: Path
):
    """A server whose token has expired may redirect to a public index: a stranger's packages."""
    with FakeUpstream({"/index": BODY}) as other:
        upstream.behave("/a", redirecting(f"{other.url}/index"))
        with pytest.raises(Elsewhere) as caught:
            client.fetch_index(f"{upstream.url}/a", tmp_path / "x")
        assert upstream.url in str(caught.value)
        assert other.url in str(caught.value)
        assert other.count() == 0


def test_N08_https_never_leads_to_http(
    make_client: MakeClient, upstream: FakeUpstream, tmp_path: Path
):
    from tests.certificates import Authority

    authority = Authority(tmp_path)
    with FakeUpstream(tls=authority.server("127.0.0.1")) as secure:
        secure.behave("/a", redirecting(f"{upstream.url}/index"))
        with pytest.raises(UpstreamError, match="from https to http"):
            make_client(ca_files=[authority.ca_file]).fetch_index(f"{secure.url}/a", tmp_path / "x")
    assert upstream.count() == 0


@pytest.mark.parametrize("kind", ["basic", "token-path"])
def test_N08_credentials_stay_with_their_server(
    make_client: MakeClient, upstream: FakeUpstream, tmp_path: Path, kind: str
):
    with FakeUpstream({"/index": BODY}) as other:
        credential = {
            "basic": basic(upstream.url),
            "token-path": split_credentials(f"{upstream.url}/t/canary/x")[1],
        }[kind]
        for path in ("/a", "/t/canary/a"):
            upstream.behave(path, redirecting("/b"))
        for path in ("/b", "/t/canary/b"):
            upstream.behave(
                path,
                redirecting(
                    f"{other.url}/t/canary/index" if kind == "token-path" else f"{other.url}/index"
                ),
            )
        make_client(credential=credential).download(f"{upstream.url}/a", tmp_path / "x")
        seen = [r.path + r.headers.get("authorization", "") for r in upstream.requests()]
        assert len(seen) == 2
        assert all("canary" in s or "Basic dXNlcjpjYW5hcnk=" in s for s in seen)
        (foreign,) = other.requests()
        assert foreign.path == "/index"
        assert (
            not {"authorization", "cookie", "x-auth", "proxy-authorization"}
            & foreign.headers.keys()
        )
        assert (tmp_path / "x").read_bytes() == BODY


def test_N08_a_way_back_to_the_first_server_brings_no_credential_back(
    make_client: MakeClient, upstream: FakeUpstream, tmp_path: Path
):
    upstream.set("/index", BODY)
    with FakeUpstream() as other:
        upstream.behave("/a", redirecting(f"{other.url}/b"))
        other.behave("/b", redirecting(f"{upstream.url}/index"))
        client = make_client(credential=basic(upstream.url))
        client.download(f"{upstream.url}/a", tmp_path / "x")
    assert ["authorization" in r.headers for r in upstream.requests()] == [True, False]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, Denied),
        (403, Denied),
        (404, NotFound),
        (410, NotFound),
        (400, UpstreamError),
        (204, UpstreamError),
    ],
)
def test_N09_a_refusal_fails_at_once(
    client: Client,
    upstream: FakeUpstream,
    index: str,
    tmp_path: Path,
    status: int,
    kind: type[UpstreamError],
):
    upstream.behave("/index", failing(status))
    with pytest.raises(kind, match=rf"127\.0\.0\.1 .*{status}") as error:
        client.fetch_index(index, tmp_path / "x")
    assert (error.value.status, error.value.permanent) == (status, True)
    assert "secret-body" not in str(error.value)
    assert upstream.count() == 1


@pytest.mark.parametrize(
    ("retry_after", "least", "most"),
    [
        ("7", 7, 8),
        (format_datetime(datetime.now(UTC) + timedelta(days=3650), usegmt=True), 120, 130),
        ("315360000", 120, 130),
        ("9" * 400, 120, 130),
        ("-5", 0.5, 1),
        ("soon", 0.5, 1),
        (None, 0.5, 1),
        (format_datetime(datetime(2001, 1, 1, tzinfo=UTC), usegmt=True), 0.5, 1),
    ],
)
def test_N10_a_busy_server_is_waited_for_as_long_as_it_asks_within_reason(
    client: Client,
    upstream: FakeUpstream,
    index: str,
    tmp_path: Path,
    time,
    retry_after,
    least: float,
    most: float,
):
    upstream.behave("/index", failing(429, retry_after=retry_after, times=1))
    assert client.fetch_index(index, tmp_path / "x").size == len(BODY)
    assert least <= sum(time.slept) <= most


def test_N10_a_server_that_stays_busy_is_given_up_with_the_reason(
    client: Client, upstream: FakeUpstream, index: str, tmp_path: Path
):
    upstream.behave("/index", failing(503, retry_after="1"))
    with pytest.raises(
        UpstreamError, match=r"^127.0.0.1 is not able to answer now \(503\)\. \(Tried 4 times\.\)$"
    ):
        client.fetch_index(index, tmp_path / "x")
    assert upstream.count() == 4


def test_N10_a_request_to_come_back_later_holds_all_clients_back(
    make_client: MakeClient, upstream: FakeUpstream, index: str, tmp_path: Path, time
):
    backoff = Backoff(time.clock, time.sleep, chance=lambda: 0.5)
    upstream.behave("/busy", failing(429, retry_after="60"))
    with pytest.raises(UpstreamError):
        make_client(backoff=backoff, limits={"retries": 0}).fetch_index(
            f"{upstream.url}/busy", tmp_path / "x"
        )
    assert time.slept == []
    make_client(backoff=backoff).fetch_index(index, tmp_path / "x")
    assert 60 <= sum(time.slept) <= 66
    with FakeUpstream({"/index": BODY}) as other:
        make_client(backoff=backoff).fetch_index(f"{other.url}/index", tmp_path / "x")
    assert sum(time.slept) <= 66


def test_N10_waiting_can_be_stopped(
    client: Client, upstream: FakeUpstream, index: str, tmp_path: Path, time
):
    def stop() -> None:
        if sum(time.slept) > 3:
            raise Stopped

    upstream.behave("/index", failing(429, retry_after="100"))
    with pytest.raises(Stopped):
        client.fetch_index(index, tmp_path / "x", stop=stop)
    assert sum(time.slept) < 4


def test_N10_a_file_that_is_not_needed_waits_for_no_pause_and_makes_none_by_failing(
    make_client: MakeClient, upstream: FakeUpstream, index: str, tmp_path: Path, time
):
    client = make_client()
    upstream.behave("/extra", failing(503, retry_after="60"))
    with pytest.raises(UpstreamError, match="503"):
        client.fetch_index(f"{upstream.url}/extra", tmp_path / "x", patience=5.0)
    assert upstream.count("/extra") == 1
    client.fetch_index(index, tmp_path / "x")
    assert time.slept == []
    upstream.behave("/extra", failing(429, retry_after="60"))
    for words in ("429", "asked for a pause"):
        with pytest.raises(UpstreamError, match=words):
            client.fetch_index(f"{upstream.url}/extra", tmp_path / "x", patience=5.0)
    assert upstream.count("/extra") == 2
    assert sum(time.slept) < 6
    client.fetch_index(index, tmp_path / "x")
    assert sum(time.slept) >= 60


@pytest.mark.parametrize("how", [{"drip": True}, {"hold_at": 10}, {"hold_headers": True}])
def test_N11_a_file_that_is_not_needed_is_given_up_sooner(
    make_client: MakeClient, upstream: FakeUpstream, index: str, tmp_path: Path, time, how
):
    upstream.behave("/index", Behaviour(**how))
    time.step = 0.5
    client = make_client(limits={"read_timeout": 1e6, "header_timeout": 1e6, "rate_window": 1e6})
    with pytest.raises(TooSlow):
        client.fetch_index(index, tmp_path / "x", patience=5.0)
    assert upstream.count() == 1


def test_N11_slow_headers_are_given_up(
    make_client: MakeClient, upstream: FakeUpstream, index: str, tmp_path: Path, time
):
    upstream.behave("/index", Behaviour(hold_headers=True))
    time.step = 1.0
    client = make_client(limits={"retries": 0, "read_timeout": 1e6})
    with pytest.raises(TooSlow, match=r"127.0.0.1 did not begin to answer in time"):
        client.fetch_index(index, tmp_path / "x")


def test_N11_stop_works_while_the_headers_do_not_come(
    client: Client, upstream: FakeUpstream, index: str, tmp_path: Path
):
    holding = Behaviour(hold_headers=True)
    upstream.behave("/index", holding)

    def stop() -> None:
        if holding.held.is_set():
            raise Stopped

    with pytest.raises(Stopped):
        client.fetch_index(index, tmp_path / "x", stop=stop)


def test_N13_an_endless_index_is_cut_at_the_cap(
    client: Client, upstream: FakeUpstream, index: str, tmp_path: Path
):
    upstream.behave("/index", Behaviour(endless=True, no_length=True))
    with pytest.raises(UpstreamError, match="more than 20000 bytes"):
        client.fetch_index(index, tmp_path / "x", cap=20_000)
    assert (tmp_path / "x").stat().st_size <= 20_000
    assert upstream.count() == 1


def test_N13_an_index_announced_above_the_cap_is_not_read(
    client: Client, upstream: FakeUpstream, index: str, tmp_path: Path
):
    with pytest.raises(UpstreamError, match="more than 100 bytes"):
        client.fetch_index(index, tmp_path / "x", cap=100)
    assert (tmp_path / "x").stat().st_size == 0


@pytest.mark.parametrize(
    "behaviour",
    [
        failing(403),
        failing(404),
        failing(500),
        html(),
        Behaviour(body=b""),
        redirecting("http://10.0.0.1/t/canary/x?canary"),
    ],
)
def test_A04_no_error_and_no_log_line_shows_a_login_a_token_or_a_query(
    make_client: MakeClient,
    upstream: FakeUpstream,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    behaviour,
):
    caplog.set_level(logging.DEBUG)
    upstream.behave("*", behaviour)
    address = upstream.url.replace("//", "//user:canary@")
    for secret in (f"{address}/chan?sig=canary", f"{upstream.url}/t/canary/chan?sig=canary"):
        url, credential = split_credentials(secret)
        with pytest.raises(UpstreamError) as error:
            make_client(credential=credential, limits={"retries": 0}).fetch_index(
                url, tmp_path / "x"
            )
        shown = f"{error.value} {error.value!r} {error.value.url} {error.value.message}"
        assert "canary" not in shown
    assert "canary" not in caplog.text


def test_a_policy_can_be_asked_before_anything_is_fetched(client: Client, tmp_path: Path):
    with pytest.raises(EgressRefused):
        client.fetch_index("http://10.0.0.1/x", tmp_path / "x")
    assert not (tmp_path / "x").exists() or (tmp_path / "x").stat().st_size == 0
    EgressPolicy(["http://10.0.0.1"]).check("http://10.0.0.1/x")
