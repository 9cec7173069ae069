"""What clients get per second from the embedded server, and from nginx with the same bytes.

50 clients (wrk) ask for files of 50 kB, the index, the index unchanged (304) and for what is not
there (404). Both servers run on this machine at the same time of day, one after the other; wrk and
nginx are Debian's packages and are said to be missing where they are. What a request costs its
server in CPU time is printed with the rate: other programs on the machine change it less.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench import goals
from bench.measure import measure
from bench.mirror import environment

CLIENTS = 50
SECONDS = 5
FILES = 1500
GOALS = {"files": 0.5, "304": 0.3}
"""Requests per CPU second, as a share of nginx's."""
PREFIX = "/api/repo/bench/noarch/"
UNIQUE_NAMES = 10**9
"""So many names that none comes twice."""
PASSES = 20
"""So often each name is asked for before anything is measured. Two workers that take turns by
chance have then both been asked for all of them; the chance that one is left is 1 in 350."""
MISSES = 1000
"""Goal, a second: addresses that nobody asked for before, in a channel of 60,000 packages."""
SLOWER = 20
"""Percent that hits may lose while so many misses are asked for."""
PAUSE = 1000 * CLIENTS // MISSES
"""Milliseconds between the misses of a client, so that all together ask for about `MISSES`."""
LUA = """
local n = os.time() * 1000 % COUNT
local prefix = ""
local header = {}
function init(args)
  prefix = args[1]
  if args[2] and args[2] ~= "" then header["If-None-Match"] = args[2] end
end
DELAY
function request()
  n = (n + 7) % COUNT
  local path = string.gsub(prefix, "@", tostring(n))
  return wrk.format("GET", path, header)
end
"""
NGINX = """
worker_processes 1; pid {root}/nginx.pid; error_log {root}/nginx.err; {user}
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; keepalive_requests 1000000; default_type application/octet-stream;
  client_body_temp_path {root}/t1; proxy_temp_path {root}/t2; fastcgi_temp_path {root}/t3;
  uwsgi_temp_path {root}/t4; scgi_temp_path {root}/t5;
  server {{ listen 127.0.0.1:{port}; root {root}/plain; }}
}}
"""


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests a second, and what each cost the server: microseconds of CPU, user and system."""

    second: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Server:
    """A running server and its address."""

    url: str
    pid: int

    def cpu(self) -> float:
        """CPU seconds of it and its descendants that still run."""
        ticks = {pid: (parent, used) for pid, parent, used in _processes()}
        family, size = {self.pid}, 0
        # Workers are children of the supervisor's children: as many rounds as there are levels.
        while len(family) > size:
            size = len(family)
            family |= {pid for pid, (parent, _) in ticks.items() if parent in family}
        return sum(ticks[pid][1] for pid in family) / os.sysconf("SC_CLK_TCK")


def _processes() -> Iterator[tuple[int, int, int]]:
    """Each process: its id, its parent's, and its ticks of CPU."""
    for folder in Path("/proc").glob("[0-9]*"):
        # A process may end between its listing and its reading.
        with suppress(OSError):
            # From the last parenthesis on: the program's name before it may have spaces.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            yield int(folder.name), int(fields[1]), int(fields[11]) + int(fields[12])


def bench() -> None:
    """Print requests per second and CPU time of both, and the ratios."""
    wrk, nginx = shutil.which("wrk"), shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if wrk is None or nginx is None:
        print("serving: wrk and nginx are needed (Debian: apt-get install wrk nginx-light)\n")
        return
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        root = Path(name)
        # nginx started by root serves as another user, who could not look into it.
        root.chmod(0o755)
        port = _free_port()
        env = environment(root / "data", "http://127.0.0.1:9") | {"PORT": str(port)}
        channel = measure("bench.step", "files", str(FILES), str(root / "plain"), env=env)
        load = Load(root, wrk)
        with _theirs(root, nginx) as server:
            theirs = _each(load, server, "/", _etag(f"{server.url}/repodata.json.zst"))
        with _ours(env, port) as server:
            ours = _each(load, server, PREFIX, channel.answer["etag"])
            _show(ours, theirs)
            _misses(load, server)


def _each(load: Load, server: Server, prefix: str, etag: str) -> dict[str, Rate]:
    requests = {
        "files": (f"{prefix}pkg@-1.0-0.conda", ""),
        "index": (f"{prefix}repodata.json.zst", ""),
        "304": (f"{prefix}repodata.json.zst", etag),
        "404": (f"{prefix}none@-1.0-0.conda", ""),
    }
    return {name: load.warm(server, *request) for name, request in requests.items()}


def _show(ours: dict[str, Rate], theirs: dict[str, Rate]) -> None:
    print(f"{CLIENTS} clients, {FILES} files of 50 kB: requests per second, CPU us of a request")
    print(
        f"{'':12}{'nginx':>10}{'ours':>10}{'ratio':>8}{'nginx us':>10}{'ours us':>10}{'ratio':>8}"
    )
    for name, nginx in theirs.items():
        rate = ours[name]
        ratio = nginx.cpu / rate.cpu
        goal = goals.at_least(ratio, GOALS[name]) if name in GOALS else ""
        print(
            f"{name:12}{nginx.second:10,.0f}{rate.second:10,.0f}{rate.second / nginx.second:8.2f}"
            f"{nginx.cpu:10.0f}{rate.cpu:10.0f}{ratio:8.2f}  {goal}"
        )


def _misses(load: Load, server: Server) -> None:
    """How many misses a second there can be, and what hits lose while `MISSES` of them come."""
    files, missing = f"{PREFIX}pkg@-1.0-0.conda", f"{PREFIX}missing@-1-0.conda"
    most = load.run(server, missing, names=UNIQUE_NAMES)
    print(
        f"misses in a channel of 60,000 packages: {most.second:,.0f} a second, {most.cpu:.0f} us of"
        f" CPU each; {goals.at_least(most.second, MISSES)}"
    )
    alone = load.warm(server, files)
    with ThreadPoolExecutor(1) as threads:
        misses = threads.submit(load.run, server, missing, names=UNIQUE_NAMES, pause=PAUSE)
        meanwhile = load.run(server, files)
        miss_rate = misses.result()
    lost = 100 * (1 - meanwhile.second / alone.second)
    slower = goals.at_most(lost, SLOWER, " %")
    print(
        f"hits while {miss_rate.second:,.0f} misses a second come: {meanwhile.second:,.0f}"
        f" instead of {alone.second:,.0f}, {lost:.0f} % slower; {slower}\n"
    )


class Load:
    """wrk, with names that change from request to request."""

    def __init__(self, root: Path, wrk: str) -> None:
        self._root, self._wrk = root, wrk
        self._scripts = itertools.count()

    def warm(self, server: Server, path: str, etag: str = "") -> Rate:
        """The rate once each name has been asked for often enough."""
        count, enough = 0, PASSES * (FILES if "@" in path else 1)
        while count < enough:
            count += self._run_wrk(server, path, etag, names=FILES, pause=0)[0]
        return self.run(server, path, etag)

    def run(
        self, server: Server, path: str, etag: str = "", *, names: int = FILES, pause: int = 0
    ) -> Rate:
        """The rate now."""
        before = server.cpu()
        count, second = self._run_wrk(server, path, etag, names=names, pause=pause)
        return Rate(second, 1e6 * (server.cpu() - before) / count)

    def _run_wrk(
        self, server: Server, path: str, etag: str, *, names: int, pause: int
    ) -> tuple[int, float]:
        script = self._root / f"load{next(self._scripts)}.lua"
        delay = f"function delay() return {pause} end" if pause else ""
        script.write_text(LUA.replace("COUNT", str(names)).replace("DELAY", delay))
        # One thread: wrk must not take the CPU from the server that is measured.
        command = [self._wrk, "-t1", f"-c{CLIENTS}", f"-d{SECONDS}s", "-s", str(script), server.url]
        output = subprocess.run(
            [*command, "--", path, etag], check=True, capture_output=True, text=True
        ).stdout
        count = re.search(r"(\d+) requests in", output)
        second = re.search(r"Requests/sec:\s+([0-9.]+)", output)
        assert count is not None, output
        assert second is not None, output
        return int(count[1]), float(second[1])


@contextmanager
def _ours(env: dict[str, str], port: int) -> Iterator[Server]:
    command = [sys.executable, "manage.py", "serve", "--only", "web"]
    process = subprocess.Popen(
        command, env={**os.environ, **env}, stdout=subprocess.DEVNULL, start_new_session=True
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(f"{url}/api/system")
        yield Server(url, process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


@contextmanager
def _theirs(root: Path, nginx: str) -> Iterator[Server]:
    port = _free_port()
    config = root / "nginx.conf"
    user = "user root;" if os.getuid() == 0 else ""
    config.write_text(NGINX.format(root=root, port=port, user=user))
    # In the foreground, so that this process can end it.
    process = subprocess.Popen([nginx, "-c", str(config), "-g", "daemon off;"])
    try:
        _wait(f"http://127.0.0.1:{port}/repodata.json.zst")
        yield Server(f"http://127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        process.wait()


def _wait(url: str) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"{url} does not answer")


def _etag(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as response:
        return str(response.headers["ETag"])


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
