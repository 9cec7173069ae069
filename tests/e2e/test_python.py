"""Real pip and real uv install from mirrors of a Simple index with real wheels and sdists."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from uv import find_uv_bin

from tests.e2e.api import Script, in_a_month
from tests.mirrorserver.server import Server
from tests.simpletree import FakeSimple
from tests.upstream import FakeUpstream

PASSWORD = "correct horse battery"
PROJECTS = {"projects": ["tool", "base-lib", "source-only", "wrong"]}
OLD, NEW = "2024-01-01T00:00:00Z", "2026-01-01T00:00:00Z"


@pytest.fixture
def simple() -> Iterator[FakeSimple]:
    with FakeUpstream() as files, FakeSimple(files_at=files) as index:
        index.add_wheel("base-lib", "1.0", **{"upload-time": OLD})
        index.add_wheel("base-lib", "2.0", **{"upload-time": NEW})
        index.add_wheel("tool", "2.0", requires=["base-lib>=1"], **{"upload-time": OLD})
        index.add_wheel("tool", "3.0", requires=["base-lib>=1"], **{"upload-time": NEW})
        index.add_wheel("tool", "4.0", **{"upload-time": NEW}, yanked="it deletes files")
        index.add_wheel("tool", "5.0", requires_python=">=99", **{"upload-time": NEW})
        index.add_sdist("source-only", "0.1")
        index.add_wheel("wrong", "1.0", hashes={"sha256": "0" * 64})
        index.publish()
        yield index


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(
        tmp_path_factory.mktemp("e2e-python") / "data",
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


def mirrored(script: Script, name: str, simple: FakeSimple, **fields: Any) -> str:
    """A channel with one mirror that has run; its index as clients are told it."""
    script.channel(name)
    fields.setdefault("filters", PROJECTS)
    mirror = script.mirror(name, simple.index, mirror_type="python_simple", **fields)
    assert mirror["state"] == "completed", mirror["sync_state"]["last_exception"]
    return f"{script.url}/api/repo/{name}/simple"


def run(*command: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "UV_"))}
    env = {**kept, "PIP_CONFIG_FILE": os.devnull, "NO_COLOR": "1"}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)


def pip(index: str, folder: Path, *specs: str) -> subprocess.CompletedProcess[str]:
    options = (
        "--isolated",
        "--no-cache-dir",
        "--disable-pip-version-check",
        "--quiet",
        "--retries=0",
    )
    where = ("--index-url", index, "--target", str(folder))
    return run(sys.executable, "-m", "pip", "install", *options, *where, *specs)


def uv(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run(find_uv_bin(), *arguments, "--no-config", "--no-cache", "--python", sys.executable)


def uv_install(index: str, folder: Path, *specs: str) -> subprocess.CompletedProcess[str]:
    return uv("pip", "install", "--index-url", index, "--target", str(folder), *specs)


def resolved(index: str, tmp_path: Path, *specs: str) -> list[str]:
    """What uv would install, by `name==version`."""
    wanted = tmp_path / "wanted.in"
    wanted.write_text("\n".join(spec for spec in specs if not spec.startswith("--")))
    options = [spec for spec in specs if spec.startswith("--")]
    done = uv("pip", "compile", "--index-url", index, "--no-header", *options, str(wanted))
    assert done.returncode == 0, done.stderr
    return sorted(re.findall(r"^[a-z-]+==\S+", done.stdout, re.MULTILINE))


def modules(folder: Path) -> dict[str, str]:
    """The installed modules with their versions."""
    return {
        path.stem: path.read_text().split("'")[1]
        for path in folder.glob("*.py")
        if path.read_text().startswith("__version__")
    }


def test_pip_installs_wheels_and_sdists_from_a_passive_mirror(
    script: Script, simple: FakeSimple, tmp_path: Path
) -> None:
    index = mirrored(script, "pip-passive", simple)
    assert simple.files_at.count() == 0
    done = pip(index, tmp_path, "tool", "source-only")
    assert done.returncode == 0, done.stderr
    assert modules(tmp_path) == {"tool": "3.0", "base_lib": "2.0", "source_only": "0.1"}
    assert simple.files_at.count("/packages/tool-3.0-py3-none-any.whl") == 1


def test_uv_installs_wheels_and_sdists_from_a_passive_mirror(
    script: Script, simple: FakeSimple, tmp_path: Path
) -> None:
    index = mirrored(script, "uv-passive", simple)
    done = uv_install(index, tmp_path, "tool", "source-only")
    assert done.returncode == 0, done.stderr
    assert modules(tmp_path) == {"tool": "3.0", "base_lib": "2.0", "source_only": "0.1"}


def test_both_install_from_an_active_mirror_while_the_upstream_is_gone(
    script: Script, simple: FakeSimple, tmp_path: Path
) -> None:
    index = mirrored(
        script, "active", simple, mirror_mode="active", filters={"only_specs": PROJECTS["projects"]}
    )
    counts = script.call("GET", "/channels/active/mirrors/active-mirror")["sync_state"]["count"]
    assert (counts["active"], counts["failed"], counts["listed"]) == (7, 1, 8)
    simple.files_at.stop()
    for install in (pip, uv_install):
        folder = tmp_path / install.__name__
        done = install(index, folder, "tool", "source-only")
        assert done.returncode == 0, done.stderr
        assert modules(folder)["tool"] == "3.0"


def test_resolving_downloads_no_wheel(script: Script, simple: FakeSimple, tmp_path: Path) -> None:
    simple.add_wheel("fresh", "1.0", requires=["tool"])
    simple.publish()
    index = mirrored(script, "resolve", simple, filters={"projects": ["fresh", "tool", "base-lib"]})
    assert resolved(index, tmp_path, "fresh") == ["base-lib==2.0", "fresh==1.0", "tool==3.0"]
    asked = [request.path for request in simple.files_at.requests()]
    assert "/packages/fresh-1.0-py3-none-any.whl.metadata" in asked
    assert [path for path in asked if not path.endswith(".metadata")] == []


@pytest.mark.parametrize(
    "specs",
    [
        ("tool", "--exclude-newer=2025-01-01"),
        ("tool",),
        ("tool==4.0",),
        ("tool<3",),
        ("base-lib", "--exclude-newer=2025-01-01"),
    ],
)
def test_uv_chooses_from_the_mirror_what_it_chooses_from_the_upstream(
    script: Script, simple: FakeSimple, tmp_path: Path, specs: tuple[str, ...]
) -> None:
    name = "like-" + re.sub(r"[^a-z0-9]+", "-", specs[0]) + str(len(specs))
    index = mirrored(script, name, simple)
    assert resolved(index, tmp_path, *specs) == resolved(simple.index, tmp_path, *specs)


def test_a_yanked_version_is_installed_when_it_is_pinned_only(
    script: Script, simple: FakeSimple, tmp_path: Path
) -> None:
    index = mirrored(script, "yanked", simple)
    done = pip(index, tmp_path, "tool==4.0")
    assert done.returncode == 0, done.stderr
    assert "it deletes files" in done.stderr
    assert modules(tmp_path) == {"tool": "4.0"}


def test_wrong_bytes_of_the_upstream_reach_nobody(
    script: Script, simple: FakeSimple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The refusal says when to come again, and the clients would wait for that.
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    index = mirrored(script, "wrong", simple)
    for install in (pip, uv_install):
        done = install(index, tmp_path, "wrong")
        assert done.returncode != 0
        assert not modules(tmp_path)


def test_a_private_channel_takes_a_token_as_user(
    script: Script, simple: FakeSimple, tmp_path: Path
) -> None:
    index = mirrored(script, "private", simple)
    script.call("PUT", "/channels/private", {"privacy": "private"})
    assert pip(index, tmp_path, "tool").returncode != 0
    body = {"name": "pip", "expires_at": in_a_month()}
    token = script.call("POST", "/account/tokens", body)["token"]
    with_login = index.replace("http://", f"http://{token}:x-auth-token@")
    for install in (pip, uv_install):
        folder = tmp_path / install.__name__
        done = install(with_login, folder, "tool")
        assert done.returncode == 0, done.stderr
        assert modules(folder)["tool"] == "3.0"


def test_pip_tells_the_versions_and_downloads_sdists(
    script: Script, simple: FakeSimple, tmp_path: Path
) -> None:
    index = mirrored(script, "versions", simple)
    where = ("--index-url", index, "--disable-pip-version-check", "--no-cache-dir")
    told = run(sys.executable, "-m", "pip", "index", "versions", "Base.Lib", *where)
    assert "Available versions: 2.0, 1.0" in told.stdout, told.stderr
    into = ("--dest", str(tmp_path), "--no-binary", ":all:")
    done = run(sys.executable, "-m", "pip", "download", "Source_Only", *into, *where)
    assert done.returncode == 0, done.stderr
    name = "source_only-0.1.tar.gz"
    digest = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    assert simple.listing("source-only", name)["hashes"] == {"sha256": digest}


def test_uv_locks_and_syncs_a_project(script: Script, simple: FakeSimple, tmp_path: Path) -> None:
    index = mirrored(script, "locked", simple)
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "mine"\nversion = "1"\nrequires-python = ">=3.11,<4"\n'
        'dependencies = ["tool", "source-only"]\n'
        f'[[tool.uv.index]]\nname = "ours"\nurl = "{index}"\ndefault = true\n'
    )
    for verb in ("lock", "sync"):
        where = ("--project", str(tmp_path), "--no-cache", "--python", sys.executable)
        done = run(find_uv_bin(), verb, *where)
        assert done.returncode == 0, done.stderr
    lock = (tmp_path / "uv.lock").read_text()
    files = re.findall(r'url = "([^"]+)", hash = "sha256:[0-9a-f]{64}"', lock)
    assert len(files) == 3
    assert all(one.startswith(f"{index}/") for one in files), files
    site = next((tmp_path / ".venv" / "lib").glob("python*/site-packages"))
    assert modules(site) == {"tool": "3.0", "base_lib": "2.0", "source_only": "0.1"}
