"""The examples of docs/api.md, run by a shell against a running server."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirrorserver.environment import PROJECT
from tests.condatree import FakeConda
from tests.mirrorserver.server import Server, services, variables

PASSWORD = "correct horse battery"
DOCUMENT = (PROJECT / "docs" / "api.md").read_text()
SOURCE = "https://conda.anaconda.org/conda-forge"


@pytest.fixture
def conda() -> Iterator[FakeConda]:
    with FakeConda() as upstream:
        upstream.add("noarch", "jupyter", "1.0")
        upstream.add("linux-64", "numpy", "2.0.1", license="BSD-3-Clause")
        upstream.add("linux-64", "readline", "8.2", license="GPL-3.0-only")
        upstream.publish()
        yield upstream


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(
        tmp_path / "data",
        **services(),
        UPSTREAM_ALLOW="http://127.0.0.1:*",
        ADMIN_PASSWORD=PASSWORD,
        DISPATCH_SECONDS="1",
    )
    running.wait_for("The server is ready")
    yield running
    running.close()


def test_the_examples_run_in_their_order(server: Server, conda: FakeConda, tmp_path: Path) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    script = "\n".join(blocks).replace(SOURCE, conda.channel)
    script = script.replace("http://localhost:8000", f"http://localhost:{server.port}")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=variables(tmp_path, PASSWORD=PASSWORD),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr}"
    assert '"rule": "license"' in done.stdout, "why?q=readline names the rule"
