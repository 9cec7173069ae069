"""Row A04, invariant I7: nobody reads an upstream's login off the processes of a running server."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest

from tests import invariants
from tests.condatree import FakeConda
from tests.e2e.api import Script
from tests.mirrorserver.server import Server
from tests.rogue import Behaviour

PASSWORD = "correct horse battery"
LOGIN, TOKEN = "canary-login-4711", "canary-token-0815"


@pytest.fixture
def conda() -> FakeConda:
    server = FakeConda()
    server.add("noarch", "six", "1.16.0")
    server.publish()
    for path in server.paths():
        server.set(f"/t/{TOKEN}{path}", server.bytes_at(path))
    return server


def test_I7_a_worker_that_uses_a_login_shows_it_in_no_process_and_no_file(
    conda: FakeConda, tmp_path: Path
) -> None:
    index = conda.path("noarch", "repodata.json.zst")
    held = [Behaviour(hold_at=10, times=1), Behaviour(hold_at=10, times=1)]
    for path, behaviour in zip((index, f"/t/{TOKEN}{index}"), held, strict=True):
        conda.behave(path, behaviour)
    with conda:
        server = Server(
            tmp_path / "data", UPSTREAM_ALLOW=conda.url, ADMIN_PASSWORD=PASSWORD, RUN_PROCESSES="2"
        )
        try:
            server.wait_for("The server is ready at")
            script = Script(server, PASSWORD)
            script.channel("main")
            script.channel("other")
            sources = {
                "main": conda.channel.replace("//", f"//user:{LOGIN}@"),
                "other": conda.channel.replace(conda.url, f"{conda.url}/t/{TOKEN}"),
            }
            for channel, source in sources.items():
                body = {
                    "mirror_name": channel,
                    "source_root": source,
                    "mirror_type": "conda",
                    "mirror_mode": "passive",
                    "run_now": True,
                    "filters": {},
                }
                script.call("POST", f"/channels/{channel}/mirrors", body, expect=201)
            # Two workers hold the secrets now: their requests have reached the upstream.
            assert all(one.held.wait(60) for one in held)
            assert "authorization" in conda.requests(index)[0].headers
            seen = dict(invariants.processes())
            of_server = [f"the environ of process {pid}" for pid in server.pids()]
            assert len(of_server) >= 6
            assert all(where in seen for where in of_server)
            assert f"the cmdline of process {os.getpid()}" in seen
            leaks = leaking(seen) + leaking(files(server))
            for one in held:
                one.release()
            states = [script.ended(name, name)["state"] for name in sources]
            assert states == ["completed", "completed"]
            assert leaks + leaking(files(server)) == []
            assert server.end() == 0
        finally:
            server.close()


def files(server: Server) -> dict[str, bytes]:
    """The log and everything in the folder of the server."""
    found = {}
    for path in (server.output, *server.data.rglob("*")):
        with suppress(FileNotFoundError, IsADirectoryError):  # It may have gone since.
            found[str(path)] = path.read_bytes()
    return found


def leaking(places: dict[str, bytes]) -> list[str]:
    """Where one of the secrets stands."""
    return [
        where
        for where, data in places.items()
        if any(invariants.leaks(secret, data) for secret in (LOGIN, TOKEN))
    ]
