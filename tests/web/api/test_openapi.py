"""Requests made from the OpenAPI document, to a server that runs: never 5xx, always as declared."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.condatree import FakeConda
from tests.mirrorserver.server import Server, until

PASSWORD = "correct horse battery"
CONFIG = """
[parameters]
"path.channel" = "main"
"path.sub" = "sub"
"path.mirror" = "{mirror}"
"path.family" = "conda"
"path.name" = "six"
"path.span" = "1..2"
"path.number" = 1
"""
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)


class Asker:
    """Somebody signed in, who knows where to ask."""

    def __init__(self, server: Server) -> None:
        self.base = f"http://127.0.0.1:{server.port}/api"
        login = {"username": "admin", "password": PASSWORD}
        answer = requests.post(f"{self.base}/auth/login", json=login, timeout=20)
        self.header = f"Bearer {answer.json()['token']}"

    def ask(self, method: str, path: str, **body: object) -> requests.Response:
        headers = {"Authorization": self.header}
        url = self.base + path
        return requests.request(method, url, headers=headers, json=body or None, timeout=20)


def test_generated_requests_get_what_the_document_says(tmp_path: Path) -> None:
    with FakeConda() as conda:
        conda.add("noarch", "six", "1.16.0")
        conda.publish()
        server = Server(
            tmp_path / "data", ADMIN_PASSWORD=PASSWORD, UPSTREAM_ALLOW=conda.url, LIMIT_WRITES="off"
        )
        try:
            until(server.system)
            asker = Asker(server)
            asker.ask("POST", "/channels", name="main")
            asker.ask("POST", "/channels/main/subchannels", name="sub")
            for place, name in (("/channels/main", "m"), ("/channels/main/subchannels/sub", "s")):
                mirror = {"mirror_name": name, "source_root": conda.channel, "run_now": True}
                asker.ask("POST", f"{place}/mirrors", **mirror)
                artifacts = f"{place}/artifacts"
                until(lambda path=artifacts: asker.ask("GET", path).json()["total_count"])
            for place, mirror_name in (("^/api/(?!.*/subchannels/)", "m"), ("/subchannels/", "s")):
                _fuzz(tmp_path, asker, place, mirror_name)
            assert "Traceback" not in server.said()
        finally:
            server.close()


def _fuzz(folder: Path, asker: Asker, paths: str, mirror: str) -> None:
    config = folder / "schemathesis.toml"
    config.write_text(CONFIG.format(mirror=mirror))
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)),
        *("run", f"{asker.base}/openapi.json", "--header", f"Authorization: {asker.header}"),
        # Deleted things and a limit on signing in would end the rest too soon.
        *("--include-path-regex", paths, "--exclude-path-regex", "auth/login"),
        *("--exclude-method", "DELETE", "--checks", ",".join(CHECKS)),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", "4"),
        *("--generation-deterministic", "--continue-on-failure", "--no-color"),
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    if done.returncode:
        pytest.fail(done.stdout[-20_000:] + done.stderr)
