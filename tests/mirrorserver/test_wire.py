"""What attackers and odd clients write on the wire, to a server that runs."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from tests.condatree import FakeConda
from tests.mirrorserver.server import Server, until

PASSWORD = "correct horse battery"
INDEX = "/api/repo/secret/noarch/repodata.json"
OPEN = "/api/repo/open/noarch/repodata.json"


@dataclass
class Reply:
    """One answer as it came over the wire."""

    status: int
    head: str
    body: bytes

    def header(self, name: str) -> str:
        found = re.search(rf"(?im)^{name}: *([^\r\n]*)", self.head)
        return found[1] if found else ""


@dataclass
class Stage:
    """A server with a private and a public channel, and tokens for the private one."""

    server: Server
    jwt: str
    token: str
    foreign: str
    revoked: str

    def send(
        self,
        target: str,
        *headers: str,
        method: str = "GET",
        host: str | None = None,
        body: bytes = b"",
    ) -> Reply:
        """Exactly this request, without any client's corrections."""
        lines = [f"{method} {target} HTTP/1.1"]
        lines.append(f"Host: {f'127.0.0.1:{self.server.port}' if host is None else host}")
        lines += [*headers, "Connection: close", f"Content-Length: {len(body)}", "", ""]
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=20) as wire:
            # It may have heard enough; what it says can still be read.
            with contextlib.suppress(ConnectionError):
                wire.sendall("\r\n".join(lines).encode("latin-1") + body)
            data = b"".join(iter(lambda: wire.recv(65536), b""))
        head, _, rest = data.partition(b"\r\n\r\n")
        return Reply(int(head.split()[1]), head.decode("latin-1"), rest)

    def api(self, method: str, path: str, **more: Any) -> requests.Response:
        url = f"http://127.0.0.1:{self.server.port}{path}"
        headers = {"Authorization": f"Bearer {self.jwt}"}
        return requests.request(method, url, headers=headers, timeout=20, **more)


@pytest.fixture(scope="module")
def conda() -> Iterator[FakeConda]:
    with FakeConda() as conda:
        conda.add("noarch", "six", "1.16.0")
        conda.publish()
        yield conda


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, conda: FakeConda) -> Iterator[Stage]:
    data = tmp_path_factory.mktemp("wire") / "data"
    server = Server(data, ADMIN_PASSWORD=PASSWORD, UPSTREAM_ALLOW="http://127.0.0.1:*")
    try:
        until(server.system)
        stage = Stage(server, "", "", "", "")
        login = {"username": "admin", "password": PASSWORD}
        stage.jwt = stage.api("POST", "/api/auth/login", json=login).json()["token"]
        for name, privacy in (("secret", "private"), ("open", "public")):
            stage.api("POST", "/api/channels", json={"name": name, "privacy": privacy})
            mirror = {"mirror_name": name, "source_root": conda.channel, "run_now": True}
            stage.api("POST", f"/api/channels/{name}/mirrors", json=mirror)
        stage.token, _ = _token(stage)
        stage.foreign, _ = _token(stage, resources=[{"channel": "open"}])
        stage.revoked, number = _token(stage)
        stage.api("DELETE", f"/api/account/tokens/{number}")
        for name in ("secret", "open"):
            address = f"/api/channels/{name}/artifacts"
            until(lambda address=address: stage.api("GET", address).json()["total_count"] == 1)
        yield stage
    finally:
        server.close()


def _token(stage: Stage, **limits: Any) -> tuple[str, int]:
    made = stage.api("POST", "/api/account/tokens", json={"name": "wire", **limits}).json()
    return made["token"], made["id"]


@pytest.mark.parametrize(
    "target",
    [
        "//api/repo/open/noarch/repodata.json",
        "/api//repo/open/noarch/repodata.json",
        "/api/repo//open/noarch/repodata.json",
        "/api/repo/./open/noarch/repodata.json",
        "/api/repo/secret/../open/noarch/repodata.json",
        "/api/repo/%2e%2e/repo/open/noarch/repodata.json",
        "/api/repo/open/noarch/..%2f..%2f..%2fetc%2fpasswd",
        "/api/repo/open/noarch/%5c..%5cpasswd",
        "/api/repo/open/noarch/repodata.json%00",
        "/api/repo/open/noarch/%c0%ae%c0%ae/repodata.json",
        "/api/repo/open/noarch/repodata.json;x=1",
        "/api/repo/open;x/noarch/repodata.json",
        "/API/REPO/open/noarch/repodata.json",
        "/api/repo/OPEN/noarch/repodata.json",
        "/api/repo/open/NOARCH/repodata.json",
        "/api/repo/open/noarch/repodata.json%20",
        "/api/repo/open/noarch/repodata.json%0d%0aX-Evil:%201",
        "/api/repo/open/noarch/repodata.json/",
        "/api/repo/channels/../open/noarch/repodata.json",
        "/static/../api/repo/open/noarch/repodata.json",
        "/t//t//api/repo/open/noarch/repodata.json",
        "/api/repo/open/noarch/\xff\xfe",
        "/api/repo/open/noarch/repo data.json",
        "api/repo/open/noarch/repodata.json",
        "/_blobs/aa/bb/cc",
        "/" + "a" * 70_000,
    ],
)
def test_p07_an_address_in_odd_clothes_is_400_or_404(stage: Stage, target: str) -> None:
    reply = stage.send(target)
    assert reply.status in (400, 404, 414, 431)
    assert "x-evil" not in reply.head.lower()
    assert b"six" not in reply.body


def test_p07_what_decodes_to_an_address_is_judged_like_it(stage: Stage) -> None:
    for target in (
        "/api/repo/secret%2fnoarch/repodata.json",
        "/api%2frepo/secret/noarch/repodata.json",
        f"http://127.0.0.1:{stage.server.port}{INDEX}",
        f"http://evil.example{INDEX}",
        f"{INDEX}?x-auth={stage.token}",
        f"{INDEX}#x",
    ):
        assert stage.send(target).status == 401, target


@pytest.mark.parametrize(
    "header",
    [
        f"X-Original-URL: {OPEN}",
        f"X-Rewrite-URL: {OPEN}",
        "X-HTTP-Method-Override: DELETE",
        "X-Forwarded-Host: evil.example",
        "X-Forwarded-Prefix: /evil",
        "Forwarded: host=evil.example",
        "Remote-User: admin",
        "X-Remote-User: admin",
        "X-Forwarded-User: admin",
        "X-Accel-Redirect: /_blobs/x",
        "X-Sendfile: /etc/passwd",
    ],
)
def test_p07_a09_headers_of_proxies_change_nothing(stage: Stage, header: str) -> None:
    assert stage.send(INDEX, header).status == 401
    assert stage.send("/api/channels/secret", header).status == 401
    assert stage.send("/api/channels/secret", header, f"X-Auth: {stage.token}").status == 200
    page = stage.send("/channels/", header)
    assert (page.status, page.header("location")) == (302, "/sign-in/?next=/channels/")


@pytest.mark.parametrize(
    "ends", ["%0d%0a", "%0a", "%0d", "%0d%0a%0d%0a", "%E5%98%8D%E5%98%8A", "\x85"]
)
def test_p09_line_ends_in_an_address_make_no_header(stage: Stage, ends: str) -> None:
    evil = f"{ends}X-Evil:%20yes"
    for target in (
        f"/api/repo/open/noarch/six-1.16.0-0.conda{evil}",
        f"/api/repo/open{evil}/noarch/repodata.json",
        f"/t/{stage.token}{evil}/api/repo/secret/noarch/repodata.json",
        f"/api/repo/secret/noarch{evil}/repodata.json",
        f"/channels/open{evil}",
        f"/channels/open/?page={evil}",
        f"/sign-in/?next=/{evil}",
        f"/nowhere{evil}",
    ):
        reply = stage.send(target)
        assert not reply.header("x-evil"), (target, reply.head)
        assert reply.status < 500, target


def test_p09_no_shared_cache_keeps_an_answer_of_a_closed_channel(stage: Stage) -> None:
    for target, headers in _ways(stage.token):
        reply = stage.send(target, *headers)
        assert (reply.status, reply.header("vary")) == (200, "Authorization")
        assert reply.header("cache-control").startswith("private,")
    for path in (INDEX, "/api/repo/secret/noarch/none-1-0.conda", "/channels/secret/"):
        assert "public" not in stage.send(path).header("cache-control")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1@evil.example", ""])
def test_a09_a_forged_host_is_refused_and_in_no_address(stage: Stage, host: str) -> None:
    reply = stage.send("/api/system", host=host)
    assert reply.status == 400
    assert b"PUBLIC_URL" in reply.body
    assert reply.header("content-type").startswith("application/json")
    assert stage.send("/sign-in/", host=host).status == 400
    reply = stage.send("/api/repo/open", "Accept: text/html", host=host)
    assert reply.header("location") == "/channels/open/"
    assert stage.send(OPEN, host=host).status == 200
    assert stage.server.said().count("Traceback") == 0


@pytest.mark.parametrize(
    "target", ["//evil.example/", "//evil.example/channels", "/\\evil.example"]
)
def test_a09_no_redirect_leads_away(stage: Stage, target: str) -> None:
    reply = stage.send(target)
    assert (reply.status, reply.header("location")) == (404, "")


def _ways(secret: str) -> list[tuple[str, tuple[str, ...]]]:
    basic = base64.b64encode(f"{secret}:x-auth-token".encode()).decode()
    return [
        (f"/t/{secret}{INDEX}", ()),
        (INDEX.replace("/repo/", f"/repo/t/{secret}/"), ()),
        (INDEX, (f"X-Auth: {secret}",)),
        (INDEX, (f"Authorization: Bearer {secret}",)),
        (INDEX, (f"authorization: bEARER {secret}",)),
        (INDEX, (f"Authorization: Basic {basic}",)),
        (INDEX, (f"AUTHORIZATION: basic {basic}",)),
    ]


def test_a06_every_way_to_send_a_token_opens_a_private_channel(stage: Stage) -> None:
    for target, headers in _ways(stage.token):
        reply = stage.send(target, *headers)
        assert (reply.status, b"six" in reply.body) == (200, True), target
        assert "private" in reply.header("cache-control")
        assert "Authorization" in reply.header("vary")
        assert stage.send(target, *headers, "Range: bytes=0-3").status in (200, 206)
        assert stage.send(target, *headers, method="HEAD").status == 200


@pytest.mark.parametrize("kind", ["foreign", "revoked", "unknown", "odd case"])
def test_a06_no_other_token_opens_it_whatever_is_asked(stage: Stage, kind: str) -> None:
    secret = {
        "foreign": stage.foreign,
        "revoked": stage.revoked,
        "unknown": "0" * 48,
        "odd case": stage.token.upper(),
    }[kind]
    for target, headers in _ways(secret):
        for more in ((), ("Range: bytes=0-3",), ('If-None-Match: "x"',), ("If-None-Match: *",)):
            reply = stage.send(target, *headers, *more)
            assert reply.status in (401, 404), (target, more)
            assert b"six" not in reply.body
            assert not reply.header("etag")
        reply = stage.send(target, *headers, method="HEAD")
        assert (reply.status in (401, 404), reply.body) == (True, b"")
        assert stage.send(target.replace("/secret/", "/open/"), *headers).status == 200


def test_a06_a_token_is_in_no_redirect_and_in_no_log(stage: Stage) -> None:
    token = stage.token
    for target in (
        f"/t/{token}/api/repo/open",
        f"/t/{token}/channels",
        f"/T/{token}{INDEX}",
        f"//t/{token}{INDEX}",
        f"/api/t/{token}/secret",
        f"/api/channels/{token}",
        f"/api/repo/t/{token}/secret",
        f"/channels/{token}/",
    ):
        reply = stage.send(target, "Accept: text/html")
        assert token not in reply.header("location").replace(f"next=/channels/{token}", "")
        assert (
            reply.status != 302
            or not target.startswith("/t/")
            or (reply.header("referrer-policy") == "no-referrer")
        )
    assert token not in stage.server.said()
    assert stage.jwt not in stage.server.said()


@pytest.mark.parametrize(
    ("method", "target", "body", "status"),
    [
        ("POST", "/api/channels", b'{"name": "' + b"a" * 50_000_000 + b'"}', 413),
        ("POST", "/api/auth/login", b'{"username": "' + b"a" * 50_000_000 + b'"}', 413),
        ("GET", "/api/mirrors", b'{"sort": "' + b"a" * 50_000_000 + b'"}', 413),
        ("POST", OPEN, b"a" * 50_000_000, 405),
        ("POST", "/api/channels", b'{"a":' * 100_000 + b"1" + b"}" * 100_000, 422),
        ("GET", "/api/mirrors", b"[" * 100_000, 422),
        ("POST", "/api/channels", b'{"name": "many", "filters": %s}', 422),
        ("GET", "/api/channels?limit=99999999999999999999", b"", 422),
        ("GET", "/api/mirrors?sort=owner__password", b"", 422),
        ("GET", "/api/artifacts?sort=name;drop", b"", 422),
        ("GET", "/api/artifacts?" + "a=1&" * 2000, b"", 400),
    ],
)
def test_a11_too_much_is_4xx_in_a_sentence_at_once(
    stage: Stage, method: str, target: str, body: bytes, status: int
) -> None:
    if b"%s" in body:
        body %= json.dumps({"exclude_specs": ["n" * 300] * 10_000}).encode()
    reply = stage.send(target, f"Authorization: Bearer {stage.jwt}", method=method, body=body)
    assert reply.status == status
    told = json.loads(reply.body)
    sentence = told.get("message") or told["detail"]
    assert sentence.endswith(".")
    assert len(sentence) < 500


def test_a11_the_largest_limit_is_fine(stage: Stage) -> None:
    assert stage.api("GET", "/api/channels?limit=1000000000").json()["total_count"] == 2


def test_the_vendors_newer_client_finds_the_api_below_repo(stage: Stage) -> None:
    base = "/api/repo/channels"
    assert stage.api("POST", base, json={"name": "third"}).status_code == 201
    assert stage.api("POST", f"{base}/third/subchannels", json={"name": "part"}).status_code == 201
    query = "?offset=0&limit=100&include_subchannels=True"
    listed = stage.api("GET", base + query).json()["items"]
    assert [one["name"] for one in listed] == ["open", "part", "secret", "third"]
    mine = stage.api("GET", f"/api/repo/account/channels{query}").json()["items"]
    assert {one["access"] for one in mine} == {"owner"}
    for wish, changed in (("frozen", True), ("frozen", False), ("default", True)):
        put = stage.api("PUT", f"{base}/third", json={"indexing_behavior": wish})
        assert (put.status_code, put.json()["changed"]) == (200, changed)
    query = "?offset=0&limit=100&q=si&artifact_family=conda&platform=noarch"
    [six] = stage.api("GET", f"{base}/open/artifacts{query}").json()["items"]
    assert (six["name"], six["subchannel"], type(six["updated_at"])) == ("six", "", str)
    other = stage.api("GET", f"{base}/open/artifacts?artifact_family=cran").json()
    assert other == {"total_count": 0, "count_exact": True, "items": []}
    made = {"channel_name": "kid", "namespace": "third", "privacy": "private"}
    for status in (201, 200):
        answer = stage.api("POST", "/api/repo/namespace-channels", json=made)
        assert (answer.status_code, answer.json()) == (status, {"channel_path": "third/kid"})
    nowhere = {**made, "namespace": "nowhere"}
    assert stage.api("POST", "/api/repo/namespace-channels", json=nowhere).status_code == 404
    upload = stage.api("POST", f"{base}/third/artifacts", files={"content": b"x"})
    assert (upload.status_code, upload.json()["message"]) == (
        405, "This server does not take uploads.",
    )  # fmt: skip
    bill = stage.send(f"{OPEN}?sbom=download")
    assert (bill.status, b"no bills of materials" in bill.body) == (404, True)
    for path in ("third/subchannels/part", "third/subchannels/kid", "third"):
        assert stage.api("DELETE", f"{base}/{path}").status_code == 202
    assert stage.send(base).status == 401
