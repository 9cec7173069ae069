"""A real `manage.py serve` for tests: started on a free port with a data folder of its own."""

import contextlib
import itertools
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import redis
import requests

T = TypeVar("T")

PROJECT = Path(__file__).resolve().parent.parent.parent


def until(answer: Callable[[], T], *, within: float = 60.0) -> T:
    """The first true answer; asked again and again, and an error after `within` seconds."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if found := answer():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {within:g} s: {answer}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def variables(data: Path, **more: str) -> dict[str, str]:
    """The environment of a server on SQLite and the embedded broker."""
    dropped = ("DATABASE_URL", "REDIS_URL", "ADMIN_PASSWORD", "PUBLIC_URL", "HOST", "TZ")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, "DATA": str(data), "WORKERS": "1", "RUN_PROCESSES": "1", **more}


# Redis has 16 databases; the first is for the tests in this process, whose messages wait in it.
REDIS_DATABASES = itertools.cycle(range(1, 16))


def services() -> dict[str, str]:
    """The suite's own PostgreSQL and Redis for a server, a new database in each; {} on SQLite."""
    url = os.environ.get("DATABASE_URL", "")
    if not url.startswith("postgres"):
        return {}
    name = f"e2e_{secrets.token_hex(6)}"
    with contextlib.closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{name}"')
    parts = urlsplit(url)
    found = {"DATABASE_URL": urlunsplit(parts._replace(path=f"/{name}"))}
    if redis_url := os.environ.get("REDIS_URL"):
        found["REDIS_URL"] = urlunsplit(
            urlsplit(redis_url)._replace(path=f"/{next(REDIS_DATABASES)}")
        )
        with contextlib.closing(redis.Redis.from_url(found["REDIS_URL"])) as connection:
            connection.flushdb()
    return found


class Server:
    """One running server and what it has said so far."""

    def __init__(self, data: Path, *arguments: str, **more: str) -> None:
        self.data = data
        self.port = int(more.pop("PORT", "") or free_port())
        self.output = data.with_name(f"{data.name}.{self.port}.log")
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "serve", *arguments],
                cwd=PROJECT,
                env=variables(data, PORT=str(self.port), **more),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def said(self) -> str:
        return self.output.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, text: str) -> None:
        def answer() -> bool:
            assert self.process.poll() is None, self.said()
            return text in self.said()

        until(answer)

    def system(self) -> dict[str, str] | None:
        """What `GET /api/system` answers; None while nobody does."""
        try:
            answer = requests.get(f"http://127.0.0.1:{self.port}/api/system", timeout=5)
        except requests.RequestException:
            return None
        found: dict[str, str] | None = answer.json() if answer.status_code == 200 else None
        return found

    def pids(self, word: str = "") -> set[int]:
        """Every process that works on this data folder and has `word` in its command line."""
        found = set()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environment = (folder / "environ").read_bytes().split(b"\0")
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if f"DATA={self.data}".encode() in environment and word in command:
                found.add(int(folder.name))
        return found

    def end(self, number: int = signal.SIGINT, *, within: float = 15.0) -> int:
        """Send the signal and wait for the end; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(within)

    def close(self) -> None:
        """Whatever the test did, leave no process behind."""
        self.process.kill()
        self.process.wait()
        until(lambda: not self.pids())
