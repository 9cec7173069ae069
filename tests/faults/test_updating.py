"""An update of active mirrors under a slow upstream, while a client reads all there is.

One real server with mirrors of all three types in one channel. Whatever happens to the runs, the
client never meets an error and never finds fewer packages than before or after.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.condatree import FakeConda
from tests.crantree import FakeCran
from tests.e2e.api import Script
from tests.faults.readers import Known, Reader
from tests.mirrorserver.server import Server, services, until
from tests.rogue import Behaviour, failing
from tests.simpletree import FakeSimple
from tests.upstream import FakeUpstream

PASSWORD = "correct horse battery"
FLAVORS = itertools.count(1)
"""No two tests have the same bytes, which the server would know already."""
NEWER = (("aa", "2.0"), ("cc", "1.0"))
WORKER = "celery --quiet --app mirrorserver worker --queues celery"


@dataclass
class Kind:
    """One type: its upstream, how it is mirrored and updated, and what it lists when."""

    name: str
    upstream: FakeUpstream
    body: dict[str, Any]
    old: dict[str, str]
    """Path on the upstream by file name, before the update."""
    update: Callable[[], dict[str, str]]
    """Does the update; the same for after it."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(
        tmp_path_factory.mktemp("updating") / "data",
        **services(),
        UPSTREAM_ALLOW="http://127.0.0.1:*",
        ADMIN_PASSWORD=PASSWORD,
        DISPATCH_SECONDS="1",
        RUN_PROCESSES="3",
        DOWNLOAD_THREADS="1",
    )
    running.wait_for("The server is ready at")
    yield running
    running.close()


@pytest.fixture
def kinds() -> Iterator[list[Kind]]:
    with FakeConda() as conda, FakeSimple() as simple, FakeCran() as cran:
        flavor = next(FLAVORS)
        yield [_conda(conda, flavor), _python(simple, flavor), _cran(cran, flavor)]


def _conda(conda: FakeConda, flavor: int) -> Kind:
    def paths() -> dict[str, str]:
        return {name: conda.path("noarch", name) for name in conda.records("noarch")}

    for name in "abc":
        conda.add("noarch", name, "1.0", payload=flavor)
    conda.publish()

    def update() -> dict[str, str]:
        conda.add("noarch", "a", "2.0", payload=flavor)
        conda.add("noarch", "b", "1.0", payload=5000 + flavor)
        conda.add("noarch", "d", "1.0", payload=flavor)
        conda.drop("noarch", "a-1.0-0.conda")
        conda.drop("noarch", "c-1.0-0.conda")
        conda.publish()
        return paths()

    body = {"source_root": conda.channel, "mirror_type": "conda"}
    return Kind("conda", conda, body, paths(), update)


def _python(simple: FakeSimple, flavor: int) -> Kind:
    def paths(*names: str) -> dict[str, str]:
        whole = [*names, *(f"{name}.metadata" for name in names)]
        return {name: simple.path(name) for name in whole}

    def add(name: str, version: str) -> str:
        return simple.add_wheel(name, version, payload=f"flavor = {flavor}")

    first, other = add("six", "1.0"), add("toml", "1.0")
    simple.publish()

    def update() -> dict[str, str]:
        new = [add("six", version) for version in ("2.0", "2.1")]
        simple.drop("six", first)
        simple.publish()
        return paths(*new, other)

    body = {
        "source_root": simple.index,
        "mirror_type": "python_simple",
        "filters": {"only_specs": ["six", "toml"]},
    }
    return Kind("python", simple, body, paths(first, other), update)


def _cran(cran: FakeCran, flavor: int) -> Kind:
    def paths(*names: str) -> dict[str, str]:
        return {name: cran.path(name) for name in names}

    old = [cran.add(name, "1.0", payload=flavor) for name in ("aa", "bb")]
    cran.publish()

    def update() -> dict[str, str]:
        new = [cran.add(name, version, payload=flavor) for name, version in NEWER]
        cran.publish()
        return paths(*new, "bb_1.0.tar.gz")

    body = {"source_root": cran.repository, "mirror_type": "CRAN"}
    return Kind("CRAN", cran, body, paths(*old), update)


class Stage:
    """A channel with a mirror of each type that has run once, and then its upstreams' updates."""

    def __init__(self, script: Script, channel: str, kinds: list[Kind]) -> None:
        self.script, self.channel, self.kinds = script, channel, kinds
        script.channel(channel)
        for kind in kinds:
            mirror = script.mirror(
                channel, mirror_name=self.mirror(kind), mirror_mode="active", **_named(kind.body)
            )
            assert (mirror["state"], mirror["outcome"]) == ("completed", "ok"), mirror
        digests = {kind.name: _digests(kind.upstream, kind.old) for kind in kinds}
        self.new = {kind.name: kind.update() for kind in kinds}
        for kind in kinds:
            for name, found in _digests(kind.upstream, self.new[kind.name]).items():
                digests[kind.name].setdefault(name, set()).update(found)
        self.known = {kind.name: self._known(kind, digests[kind.name]) for kind in kinds}

    def _known(self, kind: Kind, digests: dict[str, set[str]]) -> Known:
        old, new = _packages(kind.old), _packages(self.new[kind.name])
        return Known(frozenset(old & new), min(len(old), len(new)), digests)

    def mirror(self, kind: Kind) -> str:
        return f"{self.channel}-{kind.name.lower()}"

    def reader(self) -> Reader:
        return Reader(f"{self.script.url}/api/repo/{self.channel}", self.known)

    def slow(self) -> list[Behaviour]:
        """Let the first new file of each upstream hang in its middle."""
        made = []
        for kind in self.kinds:
            first = min(_packages(self.new[kind.name]) - _packages(kind.old))
            made.append(Behaviour(hold_at=10, times=1))
            kind.upstream.behave(self.new[kind.name][first], made[-1])
        return made

    def run(self, action: str = "run") -> None:
        for kind in self.kinds:
            self.script.call("POST", f"{self._path(kind)}/{action}")

    def ended(self) -> list[dict[str, Any]]:
        return [self.script.ended(self.channel, self.mirror(kind)) for kind in self.kinds]

    def _path(self, kind: Kind) -> str:
        return f"/channels/{self.channel}/mirrors/{self.mirror(kind)}"

    def updated(self, reader: Reader) -> None:
        """All that the upstreams have now is there, and nothing else."""
        reader.rounds(1)
        assert reader.seen == {kind.name: _packages(self.new[kind.name]) for kind in self.kinds}

    def untouched(self, reader: Reader) -> None:
        """What was there is there."""
        reader.rounds(1)
        for kind in self.kinds:
            assert reader.seen[kind.name] >= _packages(kind.old)


def _named(body: dict[str, Any]) -> dict[str, Any]:
    fields = dict(body)
    return {"source": fields.pop("source_root"), **fields}


def _packages(paths: dict[str, str]) -> set[str]:
    return {name for name in paths if not name.endswith(".metadata")}


def _digests(upstream: FakeUpstream, paths: dict[str, str]) -> dict[str, set[str]]:
    return {
        name: {hashlib.sha256(upstream.bytes_at(path)).hexdigest()} for name, path in paths.items()
    }


@contextlib.contextmanager
def under_way(stage: Stage) -> Iterator[tuple[Reader, list[Behaviour]]]:
    """All three runs wait in the middle of a file, and a client has read everything meanwhile."""
    slow = stage.slow()
    with stage.reader() as reader:
        stage.run()
        assert all(one.held.wait(60) for one in slow)
        stage.untouched(reader)
        yield reader, slow
    reader.check()


def release(slow: list[Behaviour]) -> None:
    for one in slow:
        one.release()


def test_clients_notice_nothing_of_an_update(server: Server, kinds: list[Kind]) -> None:
    stage = Stage(Script(server, PASSWORD), "slow", kinds)
    with under_way(stage) as (reader, slow):
        release(slow)
        assert [one["outcome"] for one in stage.ended()] == ["ok"] * 3
        stage.updated(reader)


def test_clients_notice_nothing_of_an_update_that_is_stopped(
    server: Server, kinds: list[Kind]
) -> None:
    stage = Stage(Script(server, PASSWORD), "stopped", kinds)
    with under_way(stage) as (reader, slow):
        stage.run("stop_mirror_sync")
        # A file that came whole before the stop is noticed would be listed.
        assert [one["state"] for one in stage.ended()] == ["stopped"] * 3
        release(slow)
        stage.untouched(reader)
        stage.run("restart")
        assert [one["outcome"] for one in stage.ended()] == ["ok"] * 3
        stage.updated(reader)


def test_clients_notice_nothing_of_an_update_whose_files_all_fail(
    server: Server, kinds: list[Kind]
) -> None:
    stage = Stage(Script(server, PASSWORD), "failing", kinds)
    for kind in kinds:
        for name, path in stage.new[kind.name].items():
            if name not in kind.old or kind.name == "conda":
                kind.upstream.behave(path, failing(404))
    with stage.reader() as reader:
        stage.run()
        found = stage.ended()
        assert [(one["state"], one["outcome"]) for one in found] == [("completed", "errors")] * 3
        reader.rounds(1)
        assert reader.seen == {kind.name: _packages(kind.old) for kind in kinds}
        for kind in kinds:
            for path in stage.new[kind.name].values():
                kind.upstream.behave(path)
        stage.run()
        assert [one["outcome"] for one in stage.ended()] == ["ok"] * 3
        stage.updated(reader)
    reader.check()


def test_clients_notice_nothing_of_an_update_whose_workers_are_killed(
    server: Server, kinds: list[Kind]
) -> None:
    stage = Stage(Script(server, PASSWORD), "killed", kinds)
    with under_way(stage) as (reader, slow):
        killed = server.pids(WORKER)
        for pid in killed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until(lambda: server.pids(WORKER) - killed)
        release(slow)
        assert [one["outcome"] for one in stage.ended()] == ["ok"] * 3
        stage.updated(reader)
