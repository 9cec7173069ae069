"""Real tools as upstreams: a tree that bandersnatch writes, and a devpi server."""

from __future__ import annotations

import asyncio
import base64
import configparser
import hashlib
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from mirrors import warnings
from tests import scene
from tests.runs.test_python import ask, files, page, projects
from tests.simpletree import JSON_TYPE, FakeSimple
from tests.upstream import FakeUpstream, Request

pytestmark = pytest.mark.django_db(transaction=True)

FREE = "free-1.0-py3-none-any.whl"
VIRAL = "viral-1.0-py3-none-any.whl"
DEADLINE = 90.0
SCRIPTS = Path(sysconfig.get_path("scripts"))


class Tree:
    """A folder that bandersnatch's own code fills, and a server that negotiates its forms."""

    def __init__(self, folder: Path, server: FakeUpstream) -> None:
        from bandersnatch.simple import SimpleAPI
        from bandersnatch_storage_plugins.filesystem import FilesystemStorage

        config = configparser.ConfigParser()
        options = {"directory": str(folder), "storage-backend": "filesystem", "workers": "1"}
        config.read_dict({"mirror": {**options, "hash-index": "false"}})
        self.web, self.server, self.serial = folder / "web", server, 0
        self._api = SimpleAPI(FilesystemStorage(config=config), "ALL", [], "sha256", False, None)
        self._made = FakeSimple()
        self._releases: dict[str, dict[str, list[dict[str, Any]]]] = {}

    def add(self, name: str, version: str, **wheel: Any) -> str:
        """A release, as bandersnatch learns of it from its own upstream, then a sync."""
        from bandersnatch.package import Package

        self.serial += 1
        filename = self._made.add_wheel(name, version, **wheel)
        body = self._made.bytes_at(self._made.path(filename))
        path = f"/packages/{hashlib.sha256(body).hexdigest()[:2]}/{filename}"
        self.server.set(path, body)
        release = {
            "filename": filename,
            "digests": {"sha256": hashlib.sha256(body).hexdigest()},
            "requires_python": None,
            "size": len(body),
            "upload_time_iso_8601": "2024-01-01T00:00:00.000000Z",
            "url": f"https://files.example{path}",
            "yanked": False,
        }
        self._releases.setdefault(name, {})[version] = [release]
        package = Package(name, self.serial)
        package._metadata = {
            "info": {"name": name},
            "last_serial": self.serial,
            "releases": self._releases[name],
        }
        pages = self._api.generate_simple_pages(package)
        folder = self.web / "simple" / name
        folder.mkdir(parents=True, exist_ok=True)
        self._serve(f"/simple/{name}/", pages.html, pages.json)
        self._api.sync_index_page(True, self.web, self.serial)
        listed = [(self.web / "simple" / f).read_text() for f in ("index.html", "index.v1_json")]
        self._serve("/simple/", *listed)
        return filename

    def _serve(self, path: str, html: str, json: str) -> None:
        def body(request: Request) -> bytes:
            return (json if "+json" in request.headers.get("accept", "") else html).encode()

        self.server.set(path, body, content_type=JSON_TYPE, last_modified=None)


@pytest.fixture
def event_loop() -> Iterator[None]:
    """bandersnatch takes the thread's event loop, which `asyncio.run` has removed by then."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.mark.usefixtures("event_loop")
@pytest.mark.parametrize("mode", ["active", "passive"])
def test_a_tree_of_bandersnatch_is_mirrored_and_kept_fresh(
    settings: Any, tmp_path: Path, mode: str
) -> None:
    with FakeUpstream() as server:
        settings.UPSTREAM_ALLOW = (server.url,)
        tree = Tree(tmp_path, server)
        tree.add("free", "1.0")
        tree.add("other", "1.0")
        channel = scene.channel()
        mirror = scene.mirror(
            channel,
            f"{server.url}/simple/",
            mirror_type="python_simple",
            mirror_mode=mode,
            filters={},
        )
        run = scene.run_now(mirror)
        assert (run.state, run.error) == ("completed", "")
        assert projects(channel) == ["free", "other"]
        assert files(channel, "free") == [FREE]
        assert ask(channel, f"/free/{FREE}").status == 200
        later = tree.add("free", "1.1")
        run = scene.run_now(mirror)
        assert (run.state, run.error) == ("completed", "")
        assert files(channel, "free") == [FREE, later]
        assert ask(channel, f"/free/{later}").status == 200


class Devpi:
    """A devpi server of its own, with one index."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url, self._folder = f"http://127.0.0.1:{port}", folder
        where = ["--serverdir", str(folder / "data")]
        start = ["--no-root-pypi", "--root-passwd", "secret"]
        subprocess.run(
            self._command("devpi-init", *where, *start),
            check=True,
            timeout=DEADLINE,
            capture_output=True,
        )
        self._log = (folder / "log").open("w")
        self._process = subprocess.Popen(
            self._command(
                "devpi-server", *where, "--host", "127.0.0.1", "--port", str(port), "--offline-mode"
            ),
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    @property
    def index(self) -> str:
        return f"{self.url}/root/dev/+simple/"

    def ready(self) -> None:
        """Wait until it answers, then sign in and make the index."""
        end = time.monotonic() + DEADLINE
        while True:
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < end, (self._folder / "log").read_text()
            try:
                login = {"user": "root", "password": "secret"}
                answer = requests.post(f"{self.url}/+login", json=login, timeout=DEADLINE)
                break
            except requests.ConnectionError:
                # Whoever waits for its end wakes up when it fails, else after a moment.
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(timeout=0.2)
        secret = base64.b64encode(f"root:{answer.json()['result']['password']}".encode()).decode()
        self._auth = {"X-Devpi-Auth": secret}
        index = {"type": "stage", "bases": [], "volatile": True}
        made = requests.put(
            f"{self.url}/root/dev", json=index, headers=self._auth, timeout=DEADLINE
        )
        made.raise_for_status()

    def upload(self, name: str, version: str, **wheel: Any) -> str:
        simple = FakeSimple()
        filename = simple.add_wheel(name, version, **wheel)
        fields = {
            ":action": "file_upload",
            "name": name,
            "version": version,
            "filetype": "bdist_wheel",
            "pyversion": "py3",
            "metadata_version": "2.1",
        }
        content = {"content": (filename, simple.bytes_at(simple.path(filename)))}
        answer = requests.post(
            f"{self.url}/root/dev/",
            data=fields,
            files=content,
            headers=self._auth,
            timeout=DEADLINE,
        )
        answer.raise_for_status()
        return filename

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=DEADLINE)
        self._log.close()

    @staticmethod
    def _command(name: str, *arguments: str) -> list[str]:
        return [sys.executable, str(SCRIPTS / name), *arguments]


@pytest.fixture(scope="module")
def devpi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devpi]:
    server = Devpi(tmp_path_factory.mktemp("devpi"))
    try:
        server.ready()
        server.upload("free", "1.0", license="MIT")
        server.upload("viral", "1.0", license="GPL-3.0-only")
        yield server
    finally:
        server.stop()


def test_devpi_is_mirrored_and_its_wheels_tell_their_licenses(devpi: Devpi, settings: Any) -> None:
    settings.UPSTREAM_ALLOW = (devpi.url,)
    channel = scene.channel()
    mirror = scene.mirror(
        channel,
        devpi.index,
        mirror_type="python_simple",
        mirror_mode="active",
        filters={"exclude_licenses": ["GPL"]},
    )
    run = scene.run_now(mirror)
    assert (run.state, run.error) == ("completed", "")
    assert run.counts["mirror_filtered"] == {"license": 1}
    assert files(channel, "free") == [FREE]
    assert ask(channel, f"/free/{FREE}").status == 200
    refused = page(channel, "viral")
    assert refused["files"] == []
    assert "GPL-3.0-only" in refused["project-status"]["reason"]
    assert "viral" not in projects(channel)
    for filename in (VIRAL, f"{VIRAL}.metadata"):
        assert ask(channel, f"/viral/{filename}").status == 404


def test_a_passive_mirror_of_devpi_says_which_licenses_it_cannot_know(
    devpi: Devpi, settings: Any
) -> None:
    settings.UPSTREAM_ALLOW = (devpi.url,)
    channel = scene.channel()
    mirror = scene.mirror(
        channel,
        devpi.index,
        mirror_type="python_simple",
        mirror_mode="passive",
        filters={"projects": ["free", "viral"], "exclude_licenses": ["GPL"]},
    )
    run = scene.run_now(mirror)
    assert run.counts["license_unknown"] == 2
    assert any("unknown" in text for text in warnings.of(mirror))
    assert ask(channel, f"/free/{FREE}").status == 200


def test_devpis_new_releases_arrive(devpi: Devpi, settings: Any) -> None:
    settings.UPSTREAM_ALLOW = (devpi.url,)
    channel = scene.channel()
    mirror = scene.mirror(
        channel,
        devpi.index,
        mirror_type="python_simple",
        mirror_mode="active",
        filters={"only_specs": ["fresh*"]},
    )
    devpi.upload("fresh", "1.0")
    scene.run_now(mirror)
    later = devpi.upload("fresh", "1.1")
    run = scene.run_now(mirror)
    assert (run.state, run.error) == ("completed", "")
    assert later in files(channel, "fresh")
