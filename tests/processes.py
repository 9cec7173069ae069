"""Workers as real processes, for tests that kill, stop and wake them.

    with Worker("run", run.pk, pause="runs.accept_snapshots.accept_or_hold") as worker:
        worker.reached()        # it stands before the call
        worker.kill()           # SIGKILL
        ...

The child opens the test's database and DATA folder. `pause` names a function (module path, then
attributes) before whose `nth` call the child stops until it is told to go on.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parent.parent
REACHED = "reached"
SHARED = ("LEASE_SECONDS", "HEARTBEAT_SECONDS", "MIN_FREE_BYTES", "DOWNLOAD_THREADS")
"""Settings a test may have changed that the child must have too."""


class Worker:
    """A child process that does one thing: `run <pk>`, `publish <pk>` or a statement."""

    def __init__(
        self,
        what: str,
        *args: object,
        pause: str = "",
        nth: int = 1,
        prefix: Sequence[str] = (),
        **settings: Any,
    ) -> None:
        order = {
            "what": what,
            "args": [str(arg) for arg in args],
            "pause": pause,
            "nth": nth,
            "settings": _shared() | settings,
        }
        self._process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "tests.processes", json.dumps(order)],
            cwd=ROOT,
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    def reached(self) -> None:
        """Wait until the child stands at `pause`."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        assert line == REACHED, f"{line}\n{self._errors()}"

    def go_on(self) -> None:
        """Let a child that stands at `pause` call what it stands before."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        """SIGKILL, and wait until the kernel has freed what it held."""
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """SIGSTOP."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def trace(self, call: str, *, when: int) -> subprocess.Popen[str]:
        """Have the kernel kill the child at its `when`-th system call `call` from now on."""
        tracer = subprocess.Popen(
            [
                *("strace", "-f", "-p", str(self.pid), "-o", os.devnull),
                *("-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={when}"),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert tracer.stderr is not None
        line = tracer.stderr.readline()
        assert "attached" in line, line
        return tracer

    def finish(self, *, timeout: float = 120) -> tuple[int, str]:
        """Wait for its end: exit code and what it wrote to stderr."""
        _, errors = self._process.communicate(timeout=timeout)
        return self._process.returncode, errors

    def _errors(self) -> str:
        self._process.kill()
        return self.finish()[1]


def _shared() -> dict[str, Any]:
    from django.conf import settings

    return {name: getattr(settings, name) for name in SHARED}


def _environment() -> dict[str, str]:
    from django.conf import settings
    from django.db import connection

    at = connection.settings_dict
    url = f"sqlite:///{at['NAME']}"
    if connection.vendor == "postgresql":
        login = ":".join(filter(None, (at["USER"], at["PASSWORD"])))
        url = f"postgres://{login}@{at['HOST'] or '127.0.0.1'}:{at['PORT'] or 5432}/{at['NAME']}"
    return os.environ | {
        "DATABASE_URL": url,
        "DATA": str(settings.DATA),
        "SECRET_KEY": settings.SECRET_KEY,
        "UPSTREAM_ALLOW": ",".join(settings.UPSTREAM_ALLOW),
        "DJANGO_SETTINGS_MODULE": "mirrorserver.settings",
    }


def _main(order: dict[str, Any]) -> None:
    """The child's side."""
    import django
    from django.conf import settings

    for name, value in order["settings"].items():
        setattr(settings, name, value)
    django.setup()
    _let_trace()
    if order["pause"]:
        _pause_before(order["pause"], order["nth"])
    _WORK[order["what"]](*order["args"])


def _let_trace() -> None:
    """Plain users may otherwise trace their descendants only (Yama); elsewhere this is nothing."""
    set_tracer, anybody = 0x59616D61, ctypes.c_ulong(-1)
    ctypes.CDLL(None).prctl(set_tracer, anybody, 0, 0, 0)


def _run(pk: str) -> None:
    from runs import execute

    execute.execute(int(pk), interrupted=lambda: False)


def _publish(pk: str) -> None:
    from channels.models import Channel
    from publishing import publish

    publish.publish(Channel.objects.get(pk=pk), stop=lambda: None)


def _fetch(path: str) -> None:
    """One client's request, in a web process of its own."""
    from tests.wsgi import Client, application

    answer = Client(application).get(path)
    print(answer.status, len(answer.body), answer.error or "", flush=True)  # noqa: T201


def _keep(source: str, sha256: str) -> None:
    """Store the file `source` as a blob."""
    from channels import blobs

    temp = blobs.temporary_path("fault")
    temp.write_bytes(Path(source).read_bytes())
    blobs.store(temp, sha256, file=True)


def _clean() -> None:
    from workers import retention

    retention.clean_up()


_WORK: dict[str, Callable[..., None]] = {
    "run": _run,
    "publish": _publish,
    "fetch": _fetch,
    "keep": _keep,
    "clean": _clean,
}


def _pause_before(path: str, nth: int) -> None:
    owner, name = _owner(path)
    real = getattr(owner, name)
    calls = 0

    def stand(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == nth:
            print(REACHED, flush=True)  # noqa: T201
            sys.stdin.readline()
        return real(*args, **kwargs)

    setattr(owner, name, stand)


def _owner(path: str) -> tuple[Any, str]:
    """The module or class that has the named function, and the function's own name."""
    parts = path.split(".")
    for end in range(len(parts) - 1, 0, -1):
        try:
            owner: Any = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:-1]:
            owner = getattr(owner, part)
        return owner, parts[-1]
    raise LookupError(path)


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
