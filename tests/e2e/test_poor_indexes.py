"""Real pip and uv against mirrors of indexes with other hashes, without any, without metadata."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.api import Script
from tests.e2e.test_python import PASSWORD, mirrored, modules, pip, resolved, uv_install
from tests.mirrorserver.server import Server
from tests.simpletree import FakeSimple

TOOL, LIB = "tool-1.0-py3-none-any.whl", "base_lib-1.0-py3-none-any.whl"
PROJECTS = {"projects": ["tool", "base-lib"]}
MODULES = {"tool": "1.0", "base_lib": "1.0"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(
        tmp_path_factory.mktemp("e2e-poor") / "data",
        UPSTREAM_ALLOW="http://127.0.0.1:*",
        ADMIN_PASSWORD=PASSWORD,
        DISPATCH_SECONDS="1",
    )
    running.wait_for("http://127.0.0.1")
    yield running
    running.close()


@pytest.fixture
def script(server: Server) -> Script:
    return Script(server, PASSWORD)


@pytest.fixture
def simple() -> Iterator[FakeSimple]:
    with FakeSimple() as index:
        index.add_wheel("base-lib", "1.0", metadata=False, license="GPL-3.0-only")
        index.add_wheel("tool", "1.0", requires=["base-lib>=1"], metadata=False)
        yield index


def state_hashes(simple: FakeSimple, algorithm: str) -> None:
    for project, filename in (("tool", TOOL), ("base-lib", LIB)):
        content = simple.bytes_at(simple.path(filename))
        digest = hashlib.new(algorithm, content).hexdigest() if algorithm else ""
        simple.listing(project, filename)["hashes"] = {algorithm: digest} if algorithm else {}
    simple.publish()


@pytest.mark.parametrize("mode", ["active", "passive"])
def test_both_install_where_the_index_states_sha512_only(
    script: Script, simple: FakeSimple, tmp_path: Path, mode: str
) -> None:
    state_hashes(simple, "sha512")
    index = mirrored(script, f"sha512-{mode}", simple, mirror_mode=mode, filters=PROJECTS)
    for number, install in enumerate((pip, uv_install)):
        done = install(index, tmp_path / str(number), "tool")
        assert done.returncode == 0, done.stderr
        assert modules(tmp_path / str(number)) == MODULES


def test_an_index_without_hashes_needs_a_mirror_that_allows_it(
    script: Script, simple: FakeSimple, tmp_path: Path
) -> None:
    state_hashes(simple, "")
    index = mirrored(script, "hashless-off", simple, filters=PROJECTS)
    done = pip(index, tmp_path / "off", "tool")
    assert done.returncode != 0
    assert "No matching distribution found for tool" in done.stderr
    filters: dict[str, Any] = {**PROJECTS, "allow_unhashed": True}
    index = mirrored(script, "hashless-on", simple, filters=filters)
    for number, install in enumerate((pip, uv_install)):
        done = install(index, tmp_path / str(number), "tool")
        assert done.returncode == 0, done.stderr
        assert modules(tmp_path / str(number)) == MODULES


def test_resolvers_read_metadata_that_the_upstream_does_not_offer(
    script: Script, simple: FakeSimple, tmp_path: Path
) -> None:
    state_hashes(simple, "sha256")
    index = mirrored(script, "no-metadata", simple, mirror_mode="active", filters=PROJECTS)
    simple.forget()
    assert resolved(index, tmp_path, "tool") == ["base-lib==1.0", "tool==1.0"]
    assert simple.count() == 0


def test_a_license_rule_acts_on_wheels_without_metadata_and_clients_find_no_file(
    script: Script, simple: FakeSimple, tmp_path: Path
) -> None:
    state_hashes(simple, "sha256")
    filters: dict[str, Any] = {**PROJECTS, "exclude_licenses": ["GPL3"]}
    index = mirrored(script, "no-gpl", simple, mirror_mode="active", filters=filters)
    done = pip(index, tmp_path / "pip", "base-lib")
    assert "No matching distribution found for base-lib" in done.stderr
    # Neither prints the status of a project (pip 26.3, uv 0.13): they see a project without files.
    done = uv_install(index, tmp_path / "uv", "base-lib")
    assert done.returncode != 0
    assert "no versions of base-lib" in " ".join(done.stderr.split())
