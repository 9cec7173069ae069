"""Attack: send more than anybody should. Refused before it is read, and nothing is left behind."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from mirrorserver.rsgi.bodies import MaxBody, max_body
from tests.advisories import files as files_of_advisories
from tests.advisories import records
from tests.mirrorserver.server import Server, until

PASSWORD = "correct horse battery"
KIB = 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("bodies") / "data", ADMIN_PASSWORD=PASSWORD)
    try:
        until(server.system)
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")
def token(server: Server) -> str:
    login = {"username": "admin", "password": PASSWORD}
    answer = requests.post(f"{url(server)}/api/auth/login", json=login, timeout=20)
    return str(answer.json()["token"])


def large_archive() -> bytes:
    """A record, and more than fits in memory: bytes that do not compress."""
    return files_of_advisories.zipped(
        {"0.json": records.PYYAML, "README": random.Random(0).randbytes(3_000_000)}
    )


def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}"


def head_only(server: Server, path: str, *headers: str, method: str = "POST") -> bytes:
    """What is answered to a request's head alone: its body never comes."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{server.port}", *headers, "", ""]
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as wire:
        wire.sendall("\r\n".join(lines).encode())
        return wire.recv(4096)


@pytest.mark.parametrize("path", ["/sign-in/", "/api/auth/login", "/api/channels", "/api/mirrors"])
def test_a_stranger_is_refused_by_length_before_anything_is_read(server: Server, path: str) -> None:
    answer = head_only(server, path, f"Content-Length: {MaxBody.ANONYMOUS + 1}")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"16 KiB" in answer


@pytest.mark.parametrize("bad", ["Authorization: Bearer abc.def.ghi", "Cookie: sessionid=abcdef"])
def test_a_credential_that_is_not_valid_makes_nobody_known(server: Server, bad: str) -> None:
    answer = head_only(server, "/api/channels", bad, "Content-Length: 100000")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"without a valid sign-in" in answer


def test_pieces_without_a_length_are_counted(server: Server) -> None:
    piece = b"2000\r\n" + b"x" * 8192 + b"\r\n"
    head = f"POST /sign-in/ HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as wire:
        wire.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + 3 * piece)
        assert wire.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_known_clients_may_send_more_and_most_where_lists_belong(
    server: Server, token: str
) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    specs = [f"package-number-{number}" for number in range(100_000)]
    body = {"name": "many", "filters": {"exclude_specs": specs}}
    answer = requests.post(f"{url(server)}/api/channels", json=body, headers=headers, timeout=60)
    assert answer.status_code == 201, answer.text[:300]
    known = ("Content-Type: application/json", f"Authorization: Bearer {token}")
    refused = head_only(server, "/api/account/tokens", *known, "Content-Length: 3000000")
    assert refused.startswith(b"HTTP/1.1 413 ")
    assert b"2 MiB" in refused


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/channels/main", MaxBody.SPECS),
        ("/api/channels/main/subchannels/sub/mirrors", MaxBody.SPECS),
        ("/api/channels/main/mirrors/3", MaxBody.SPECS),
        ("/api/mirrors/preview", MaxBody.SPECS),
        ("/channels/main/settings/", MaxBody.SPECS),
        ("/channels/main/sub/mirrors/12/edit/", MaxBody.SPECS),
        ("/api/account/tokens", MaxBody.AUTHENTICATED),
        ("/profile/password/", MaxBody.AUTHENTICATED),
        ("/api/advisories/import", MaxBody.FILE),
        ("/cves/data/import/", MaxBody.FILE),
        ("/api/cves/curations", MaxBody.AUTHENTICATED),
        ("/sign-in/", MaxBody.ANONYMOUS),
        ("/api/auth/login", MaxBody.ANONYMOUS),
    ],
)
def test_how_much_an_address_takes(path: str, allowed: MaxBody) -> None:
    assert max_body("POST", path) == allowed
    assert max_body("GET", path) <= MaxBody.AUTHENTICATED


def test_a_file_of_advisories_is_received_from_known_clients_only(
    server: Server, token: str
) -> None:
    before = sorted((server.data / "tmp").iterdir())
    address = f"{url(server)}/api/advisories/import"
    files = {"file": large_archive()}
    assert requests.post(address, files=files, timeout=20).status_code == 401
    headers = {"Authorization": f"Bearer {token}"}
    answer = requests.post(address, files=files, headers=headers, timeout=60)
    assert (answer.status_code, answer.json()["added"]) == (200, 1), answer.text
    bundle = requests.get(f"{url(server)}/api/advisories/bundle", headers=headers, timeout=20)
    assert bundle.content.startswith(b"PK")
    files = {"file": bundle.content}
    answer = requests.post(address, files=files, headers=headers, timeout=60)
    assert (answer.status_code, answer.json()["unchanged"]) == (200, 1), answer.text
    assert sorted((server.data / "tmp").iterdir()) == before


def test_no_other_address_takes_files_and_nothing_is_written(server: Server) -> None:
    before = sorted((server.data / "tmp").iterdir())
    before = sorted((server.data / "tmp").iterdir())
    files = {"file": b"x" * 10_000}
    answer = requests.post(f"{url(server)}/sign-in/", files=files, timeout=20)
    assert (answer.status_code, "multipart" in answer.json()["detail"]) == (415, True)
    assert sorted((server.data / "tmp").iterdir()) == before


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_a_body_that_nothing_reads_leaves_the_connection_usable(
    server: Server, method: str
) -> None:
    with requests.Session() as session:
        for path in ("/api/repo/none/noarch/repodata.json", "/api/system"):
            answer = session.request(method, f"{url(server)}{path}", data=b"{}" * 100, timeout=20)
            assert answer.status_code in (200, 401, 404, 405)
            assert answer.raw.version == 11
            assert session.get(f"{url(server)}/api/system", timeout=20).status_code == 200


def test_headers_are_capped(server: Server) -> None:
    answer = head_only(server, "/api/system", f"X-Long: {'a' * 200_000}", method="GET")
    assert answer.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_a_channel_takes_no_uploads_and_says_so(server: Server, method: str) -> None:
    path = "/api/repo/main/noarch/a-1-0.conda"
    answer = requests.request(method, f"{url(server)}{path}", data=b"x" * 1000, timeout=20)
    assert answer.status_code == 405
    assert "takes no uploads" in json.loads(answer.content)["detail"]
    assert answer.headers["Content-Security-Policy"] == "sandbox"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_a_burst_of_sign_in_pages_loses_none(server: Server) -> None:
    def page(_: int) -> int:
        return requests.get(f"{url(server)}/sign-in/", timeout=60).status_code

    with ThreadPoolExecutor(100) as pool:
        assert list(pool.map(page, range(400))) == [200] * 400
