"""What clients get per second from the embedded server, beside nginx serving the same bytes.

50 clients (wrk) ask for files of 50 kB, the index, the index unchanged (304) and for what is not
there (404). Both servers run on this machine at the same time of day, one after the other; wrk and
nginx are Debian's packages and are said to be missing where they are.
"""

from __future__ import annotations

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
from contextlib import contextmanager
from pathlib import Path

from bench import goals
from bench.measure import measure
from bench.mirror import environment

CLIENTS = 50
SECONDS = 5
FILES = 1500
GOALS = {"files": 0.25, "304": 0.3}
MISSES = 1000
"""Goal, a second: addresses that nobody asked for before, in a channel of 60,000 packages."""
SLOWER = 20
"""Of what hits may lose while misses are asked for."""
LUA = """
local n = os.time() * 1000 % COUNT
local prefix = ""
local header = {}
function init(args)
  prefix = args[1]
  if args[2] and args[2] ~= "" then header["If-None-Match"] = args[2] end
end
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


def bench() -> None:
    """Print requests per second of both, and the ratios."""
    wrk, nginx = shutil.which("wrk"), shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if wrk is None or nginx is None:
        print("serving: wrk and nginx are needed (Debian: apt-get install wrk nginx-light)\n")
        return
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        root = Path(name)
        root.chmod(0o755)
        port = _free_port()
        env = environment(root / "data", "http://127.0.0.1:9") | {"PORT": str(port)}
        made = measure("bench.step", "files", str(FILES), str(root / "plain"), env=env)
        etag = made.answer["etag"]
        with _ours(env, port) as url:
            prefix = "/api/repo/bench/noarch/"
            ours = _load(root, wrk, url, prefix, etag)
            ours["misses"] = _wrk(root, wrk, url, f"{prefix}never@-1-0.conda", "", names=10**9)
            ours["files after misses"] = _wrk(root, wrk, url, f"{prefix}pkg@-1.0-0.conda", "")
        with _theirs(root, nginx) as url:
            plain_etag = _etag(f"{url}/repodata.json.zst")
            theirs = _load(root, wrk, url, "/", plain_etag)
    print(f"{CLIENTS} clients, {FILES} files of 50 kB, requests per second")
    print(f"{'':12}{'nginx':>10}{'ours':>10}{'ratio':>8}")
    for what, rate in theirs.items():
        ratio = ours[what] / rate
        goal = goals.at_least(ratio, GOALS[what]) if what in GOALS else ""
        print(f"{what:12}{rate:10,.0f}{ours[what]:10,.0f}{ratio:8.2f}  {goal}")
    print(
        f"misses in a channel of 60,000 packages: {ours['misses']:,.0f} a second;"
        f" {goals.at_least(ours['misses'], MISSES)}"
    )
    lost = 100 * (1 - ours["files after misses"] / ours["files"])
    print(f"hits after them: {lost:.0f} % slower; {goals.at_most(lost, SLOWER, ' %')}")
    print()


def _load(root: Path, wrk: str, url: str, prefix: str, etag: str) -> dict[str, float]:
    asked = {
        "files": (f"{prefix}pkg@-1.0-0.conda", ""),
        "index": (f"{prefix}repodata.json.zst", ""),
        "304": (f"{prefix}repodata.json.zst", etag),
        "404": (f"{prefix}none@-1.0-0.conda", ""),
    }
    return {what: _wrk(root, wrk, url, *ask) for what, ask in asked.items()}


def _wrk(root: Path, wrk: str, url: str, path: str, etag: str, *, names: int = FILES) -> float:
    script = root / "load.lua"
    script.write_text(LUA.replace("COUNT", str(names)))
    rate = 0.0
    for seconds in (2, SECONDS):  # the first warms both sides' caches
        command = [wrk, "-t1", f"-c{CLIENTS}", f"-d{seconds}s", "-s", str(script), url]
        output = subprocess.run(
            [*command, "--", path, etag], check=True, capture_output=True, text=True
        ).stdout
        found = re.search(r"Requests/sec:\s+([0-9.]+)", output)
        assert found is not None, output
        rate = float(found.group(1))
    return rate


@contextmanager
def _ours(env: dict[str, str], port: int) -> Iterator[str]:
    command = [sys.executable, "manage.py", "serve", "--only", "web"]
    process = subprocess.Popen(
        command, env={**os.environ, **env}, stdout=subprocess.DEVNULL, start_new_session=True
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(f"{url}/api/system")
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


@contextmanager
def _theirs(root: Path, nginx: str) -> Iterator[str]:
    port = _free_port()
    config = root / "nginx.conf"
    user = "user root;" if os.getuid() == 0 else ""
    config.write_text(NGINX.format(root=root, port=port, user=user))
    process = subprocess.Popen([nginx, "-c", str(config), "-g", "daemon off;"])
    try:
        _wait(f"http://127.0.0.1:{port}/repodata.json.zst")
        yield f"http://127.0.0.1:{port}"
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
    with urllib.request.urlopen(url, timeout=5) as answer:
        return str(answer.headers["ETag"])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
