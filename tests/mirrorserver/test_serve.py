"""`manage.py serve`, end to end: a process tree that starts, heals and ends as promised."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mirrorserver.server import PROJECT, Server, until, variables


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    started = Server(tmp_path / "data")
    try:
        started.wait_for("The server is ready at")
        yield started
    finally:
        started.close()


def serve(data: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A start that is expected to be refused."""
    return subprocess.run(
        [sys.executable, "manage.py", "serve", *arguments],
        cwd=PROJECT,
        env=variables(data, **more),
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_it_answers_and_shows_the_password_once_and_ends_within_15_seconds(tmp_path: Path) -> None:
    first = Server(tmp_path / "data")
    try:
        first.wait_for("The server is ready at")
        assert first.system() == {"service_name": "repo", "version": "0.1.0"}
        assert "user name: admin" in first.said()
        assert "shown only this once" in first.said()
        first.wait_for(" ready.")
        assert len(first.pids()) >= 6
        assert first.end(signal.SIGINT) == 0
        assert first.pids() == set()
    finally:
        first.close()
    second = Server(tmp_path / "data")
    try:
        second.wait_for("The server is ready at")
        assert "user name: admin" not in second.said()
        assert second.end(signal.SIGTERM) == 0
    finally:
        second.close()


def test_a_second_start_on_the_same_data_is_refused_with_a_sentence(server: Server) -> None:
    refused = serve(server.data)
    assert refused.returncode == 2
    assert f"(process {server.process.pid}) already uses the data folder" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert server.system()


@pytest.mark.parametrize("only", [(), ("--only", "worker")])
@pytest.mark.parametrize(
    ("variable", "url", "sentence"),
    [
        (
            "DATABASE_URL",
            "postgres://user:s3cret@127.0.0.1:1/name",
            "The database of DATABASE_URL cannot be used: ",
        ),
        ("REDIS_URL", "redis://:s3cret@127.0.0.1:1/0", "The Redis of REDIS_URL cannot be used: "),
        ("REDIS_URL", "unix:///nowhere/redis.sock", "The Redis of REDIS_URL cannot be used: "),
    ],
)
def test_a_service_that_cannot_be_reached_ends_the_start_with_a_sentence(
    tmp_path: Path, only: tuple[str, ...], variable: str, url: str, sentence: str
) -> None:
    refused = serve(tmp_path / "data", *only, **{variable: url})
    assert refused.returncode == 2
    said = refused.stderr.strip()
    assert sentence in said
    assert said.endswith(".")
    assert "\n" not in said
    assert "Traceback" not in said
    assert "s3cret" not in said


def test_a_port_in_use_is_refused_with_a_sentence(server: Server, tmp_path: Path) -> None:
    refused = serve(tmp_path / "other", PORT=str(server.port))
    assert refused.returncode == 2
    assert f"Cannot listen on 127.0.0.1 port {server.port}" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_bad_variable_is_refused_with_a_sentence(tmp_path: Path) -> None:
    refused = serve(tmp_path / "data", PORT="eighty")
    assert refused.returncode == 2
    assert refused.stderr == (
        "PORT='eighty' cannot be used: a whole number from 1 to 65535 expected.\n"
    )


def test_an_unreachable_database_is_refused_with_a_sentence(tmp_path: Path) -> None:
    refused = serve(tmp_path / "data", DATABASE_URL="postgres://nobody@127.0.0.1:1/none")
    assert refused.returncode == 2
    assert "The database of DATABASE_URL cannot be used: connection to server" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("word", ["granian", "celery --quiet --app mirrorserver worker"])
def test_a_killed_part_is_started_again(server: Server, word: str) -> None:
    before = until(lambda: server.pids(word))
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    until(lambda: server.pids(word) - before)
    until(server.system)
    assert "it starts again in 0.5 s" in server.said()
    assert server.end() == 0


def test_when_the_supervisor_is_killed_nothing_stays_and_the_next_start_works(
    server: Server,
) -> None:
    until(lambda: len(server.pids("celery")) >= 3)
    server.process.kill()
    server.process.wait()
    again = Server(server.data, PORT=str(server.port))
    try:
        again.wait_for("The server is ready at")
        assert again.system()
        assert again.end() == 0
        assert again.pids() == set()
    finally:
        again.close()


def test_a_second_interrupt_ends_at_once(server: Server) -> None:
    worker = until(lambda: server.pids("celery"))
    for pid in worker:
        os.kill(pid, signal.SIGSTOP)
    server.process.send_signal(signal.SIGINT)
    server.wait_for("Once more Ctrl-C")
    assert server.end(within=5) == 1
    until(lambda: not server.pids())


def test_one_part_alone_runs_for_containers(tmp_path: Path) -> None:
    web = Server(tmp_path / "data", "--only", "web")
    beat = None
    try:
        web.wait_for("The server is ready at")
        assert web.pids("celery") == set()
        beat = Server(tmp_path / "data", "--only", "beat")
        beat.wait_for("beat: Starting")
        assert beat.end(signal.SIGTERM) == 0
        assert web.end(signal.SIGTERM) == 0
    finally:
        if beat is not None:
            beat.close()
        web.close()
