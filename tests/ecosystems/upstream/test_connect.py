"""Connecting: rows N01, N12, A02 and the outbound proxy (N22), on real ports."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from ecosystems.upstream import Client, EgressPolicy, EgressRefused, FetchedFile, UpstreamError
from tests.certificates import Authority
from tests.rogue import Behaviour
from tests.upstream import FakeUpstream

MakeClient = Callable[..., Client]
NAMED = ["http://repo.corp:*=127.0.0.0/8", "https://repo.corp:*=127.0.0.0/8"]


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that refuses connections, and that nobody else gets meanwhile."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def to_loopback(_host: str, _port: int) -> Sequence[str]:
    return ["127.0.0.1"]


def test_N01_a_refused_connection_is_tried_again_and_then_named(
    client: Client, closed_port: int, tmp_path: Path, time
):
    with pytest.raises(
        UpstreamError, match=r"^127.0.0.1 refused the connection\. \(Tried 4 times\.\)$"
    ) as error:
        client.fetch_index(f"http://127.0.0.1:{closed_port}/repodata.json", tmp_path / "x")
    assert not error.value.permanent
    assert 0.5 <= sum(time.slept) <= 3.5


def test_N01_a_name_that_does_not_resolve_is_named(make_client: MakeClient, tmp_path: Path):
    def nothing(_host: str, _port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    client = make_client(EgressPolicy(NAMED, nothing))
    with pytest.raises(UpstreamError, match=r"The name of repo.corp cannot be resolved"):
        client.fetch_index("http://repo.corp/x", tmp_path / "x")


def test_N01_the_next_checked_address_is_tried_when_the_first_does_not_answer(
    make_client: MakeClient, upstream: FakeUpstream, tmp_path: Path
):
    upstream.set("/x", b"{}")
    client = make_client(EgressPolicy(NAMED, lambda _h, _p: ["127.0.0.77", "127.0.0.1"]))
    fetched = client.fetch_index(f"http://repo.corp:{upstream.port}/x", tmp_path / "x")
    assert isinstance(fetched, FetchedFile)
    assert upstream.requests()[0].headers["host"] == f"repo.corp:{upstream.port}"


def test_N01_an_unknown_certificate_fails_at_once_with_its_reason(
    make_client: MakeClient, authority: Authority, tmp_path: Path
):
    client = make_client()
    with FakeUpstream({"/x": b"{}"}, tls=authority.server("127.0.0.1")) as secure:
        with pytest.raises(
            UpstreamError, match=r"certificate of 127.0.0.1 is not accepted: .*issuer"
        ):
            client.fetch_index(f"{secure.url}/x", tmp_path / "x")
        assert secure.count() == 0


def test_A02_tls_is_verified_for_the_name_while_the_checked_address_is_connected_to(
    make_client: MakeClient, authority: Authority, tmp_path: Path
):
    policy = EgressPolicy([*NAMED, "https://other.corp:*=127.0.0.0/8"], to_loopback)
    client = make_client(policy, ca_files=[authority.ca_file])
    with FakeUpstream({"/x": b"{}"}, tls=authority.server("repo.corp")) as secure:
        assert client.fetch_index(f"https://repo.corp:{secure.port}/x", tmp_path / "x")
        with pytest.raises(
            UpstreamError, match=r"certificate of other.corp is not accepted: .*mismatch"
        ):
            client.fetch_index(f"https://other.corp:{secure.port}/x", tmp_path / "x")
        assert [r.headers["host"] for r in secure.requests()] == [f"repo.corp:{secure.port}"]


def test_A02_a_name_that_turns_to_an_inner_address_after_the_check_is_not_connected_to(
    make_client: MakeClient, upstream: FakeUpstream, tmp_path: Path
):
    """The second answer is the trap: whatever is asked, only a checked answer is used."""
    upstream.set("/x", b"{}")
    replies = iter([["93.184.216.34"], ["127.0.0.1"]])
    policy = EgressPolicy(["http://*.example.org:*"], lambda _h, _p: next(replies))
    url = f"http://a.example.org:{upstream.port}/x"
    policy.check(url)
    policy.addresses("a.example.org", upstream.port, scheme="http")
    with pytest.raises(EgressRefused):
        make_client(policy).fetch_index(url, tmp_path / "x")
    assert upstream.connections == 0


def test_A02_one_connection_asks_for_the_name_once(
    make_client: MakeClient, upstream: FakeUpstream, tmp_path: Path
):
    upstream.set("/x", b"{}")
    asked = []

    def resolve(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"]

    client = make_client(EgressPolicy(NAMED, resolve))
    for _ in range(3):
        client.fetch_index(f"http://repo.corp:{upstream.port}/x", tmp_path / "x")
    assert asked == ["repo.corp"]
    assert upstream.connections == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(200)) + b"\r\n{}",
        b"HTTP/1.1 200 OK\r\n"
        + b"".join(b"X-%d: %s\r\n" % (n, b"a" * 2000) for n in range(40))
        + b"\r\n{}",
    ],
)
def test_N12_doubled_lengths_and_huge_headers_are_refused_at_once(
    client: Client, upstream: FakeUpstream, tmp_path: Path, raw: bytes
):
    upstream.behave("/x", Behaviour(raw=raw))
    with pytest.raises(UpstreamError, match="headers that are too long or contradict each other"):
        client.fetch_index(f"{upstream.url}/x", tmp_path / "x")
    assert upstream.count() == 1


def test_what_is_not_http_at_all_is_an_error_that_does_not_repeat_it(
    client: Client, upstream: FakeUpstream, tmp_path: Path
):
    upstream.behave("/x", Behaviour(raw=b"220 canary.corp ESMTP ready\r\n"))
    with pytest.raises(UpstreamError) as error:
        client.fetch_index(f"{upstream.url}/x", tmp_path / "x")
    assert "canary" not in str(error.value)


def test_N22_through_a_proxy_the_host_list_decides_and_the_proxy_resolves(
    make_client: MakeClient, upstream: FakeUpstream, tmp_path: Path
):
    upstream.set("/x", b"{}")
    policy = EgressPolicy(["http://127.0.0.1:*", "http://repo.corp"], lambda _h, _p: ["10.0.0.1"])
    client = make_client(policy, proxy=f"http://user:canary@127.0.0.1:{upstream.port}")
    assert client.fetch_index("http://repo.corp/x", tmp_path / "x")
    assert upstream.requests()[0].path == "http://repo.corp/x"
    assert upstream.requests()[0].headers["proxy-authorization"] == "Basic dXNlcjpjYW5hcnk="
    with pytest.raises(EgressRefused):
        client.fetch_index("http://other.corp/x", tmp_path / "x")
    assert upstream.count() == 1


def test_N22_https_is_tunnelled_and_the_origin_never_sees_the_proxys_login(
    make_client: MakeClient, upstream: FakeUpstream, authority: Authority, tmp_path: Path
):
    policy = EgressPolicy(["http://127.0.0.1:*", "https://repo.corp"])
    with FakeUpstream({"/x": b"{}"}, tls=authority.server("repo.corp")) as secure:
        upstream.tunnel_to = ("127.0.0.1", secure.port)
        proxy = f"http://user:canary@127.0.0.1:{upstream.port}"
        client = make_client(policy, proxy=proxy, ca_files=[authority.ca_file])
        assert client.fetch_index("https://repo.corp/x", tmp_path / "x")
        assert [(r.method, r.path) for r in upstream.requests()] == [("CONNECT", "repo.corp:443")]
        assert "proxy-authorization" in upstream.requests()[0].headers
        assert "proxy-authorization" not in secure.requests()[0].headers


def test_N22_the_proxy_itself_must_be_allowed(
    make_client: MakeClient, upstream: FakeUpstream, tmp_path: Path
):
    client = make_client(EgressPolicy(["http://repo.corp"]), proxy=upstream.url)
    with pytest.raises(EgressRefused):
        client.fetch_index("http://repo.corp/x", tmp_path / "x")
    assert upstream.connections == 0


@pytest.mark.parametrize(
    "proxy", ["https://u:canary@p.corp", "socks5://p.corp", "canary", "http://p.corp/t/canary/x"]
)
def test_a_proxy_that_is_none_is_refused_without_repeating_it(make_client: MakeClient, proxy: str):
    with pytest.raises(ValueError, match=r"\.$") as error:
        make_client(proxy=proxy)
    assert "canary" not in str(error.value)
