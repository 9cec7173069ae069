"""A Simple index of 600,000 projects of which 500 changed, and a page of 10,000 files.

    python -m bench.python generate|limit|refresh|page|serve FOLDER [URL]

The limit of the index, measured in the same run: read the list of projects, take it apart, hash
it, and write it and the bytes of the kept pages once more. That of the page: take its JSON apart
and write it.
"""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec

from bench import goals
from bench.limit import cpu_seconds
from bench.measure import Cost, measure
from bench.mirror import environment
from ecosystems.indexes import FetchContext, FetchedIndex, PreviousIndex
from ecosystems.pack import Pack, PackWriter
from ecosystems.python import pages, simple
from ecosystems.python.ecosystem import PythonSimple
from ecosystems.upstream import Client, EgressPolicy

PROJECTS = 600_000
CHANGED = 500
FILES = 10_000
SECONDS = 3.0
OURS = 1.0
LIST, CHANGES, PACK = "index.json", "changes.json", "old.pack"
JSON_TYPE = "application/vnd.pypi.simple.v1+json"
PEER = r"""
import json, pathlib, sys, time
from bandersnatch.main import main
_, config, home = sys.argv
began = time.process_time(), time.monotonic()
sys.argv = ["bandersnatch", "-c", config, "mirror"]
main()
cost = {"cpu": time.process_time() - began[0], "wall": time.monotonic() - began[1]}
pages = sum(1 for _ in pathlib.Path(home).glob("web/simple/*/index.html"))
print(json.dumps({**cost, "pages": pages}))
"""


def names() -> list[str]:
    """The projects, in their order."""
    return sorted(f"project-{number * 2654435761 % 2**32:x}-{number}" for number in range(PROJECTS))


def listing(serials: dict[str, int]) -> bytes:
    """The list of projects as JSON."""
    projects = [{"_last-serial": serial, "name": name} for name, serial in serials.items()]
    meta = {"_last-serial": max(serials.values()), "api-version": "1.4"}
    return json.dumps({"meta": meta, "projects": projects}, separators=(",", ":")).encode()


def page(name: str, serial: int, *, files: int = 2) -> bytes:
    """A project's page as JSON, of the size of real ones."""
    module = name.replace("-", "_")
    found = []
    for number in range(files):
        filename = f"{module}-{number // 4}.{number % 4}-py3-none-any.whl"
        digest = hashlib.sha256(filename.encode()).hexdigest()
        found.append(
            {
                "core-metadata": {"sha256": digest},
                "data-dist-info-metadata": {"sha256": digest},
                "filename": filename,
                "hashes": {"sha256": digest},
                "provenance": None,
                "requires-python": ">=3.9",
                "size": 12_345 + number,
                "upload-time": "2026-01-02T03:04:05.678901Z",
                "url": f"https://files.example/packages/{digest[:2]}/{digest[2:4]}/{filename}",
                "yanked": False,
            }
        )
    meta = {"_last-serial": serial, "api-version": "1.4"}
    return json.dumps({"files": found, "meta": meta, "name": name, "versions": []}).encode()


def metadata(name: str, serial: int) -> bytes:
    """The same project as the JSON that bandersnatch reads."""
    found = json.loads(page(name, serial, files=3))["files"]
    files = [
        {
            "digests": one["hashes"] | {"md5": "0" * 32},
            "filename": one["filename"],
            "md5_digest": "0" * 32,
            "packagetype": "bdist_wheel",
            "requires_python": one["requires-python"],
            "size": one["size"],
            "upload_time_iso_8601": one["upload-time"],
            "url": one["url"],
            "yanked": False,
        }
        for one in found
    ]
    info = {"name": name, "version": "0.0", "requires_python": ">=3.9"}
    document = {"info": info, "last_serial": serial, "releases": {"0.0": files}, "urls": files}
    return json.dumps(document).encode()


def bandersnatch(folder: Path, url: str) -> Cost:
    """bandersnatch 6.8 on the same 500 changed projects, pages only."""
    venv = Path("var/bench-peers/bandersnatch")
    python = venv / "bin" / "python"
    if not (venv / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        pip = [str(python), "-m", "pip", "install", "-qq", "bandersnatch==6.8.0"]
        subprocess.run(pip, check=True)
        (venv / "installed").touch()
    home = folder / "bandersnatch"
    home.mkdir()
    # As after a whole pass: all but the changed projects have a serial at or below this one.
    (home / "generation").write_text("5")
    (home / "status").write_text(str(1000 + PROJECTS))
    config = folder / "bandersnatch.conf"
    config.write_text(
        f"[mirror]\ndirectory = {home}\nmaster = {url}\nallow-non-https = true\n"
        "api-method = simple\nrelease-files = false\njson = false\nworkers = 3\ntimeout = 60\n"
        "hash-index = false\nstop-on-error = false\nlog-level = error\n"
        # Without it the list of projects is written anew from a walk over all folders.
        "simple-format = ALL\n"
    )
    script = folder / "peer.py"
    script.write_text(PEER)
    found = measure(str(script), str(config), str(home), python=python.absolute())
    if found.answer["pages"] != CHANGED:
        raise SystemExit(f"bandersnatch wrote {found.answer['pages']} pages of {CHANGED}")
    return found


def generate(folder: Path) -> dict[str, Any]:
    """The list after 500 changes, what changed, and the pack of the time before."""
    before = {name: 1000 + number for number, name in enumerate(names())}
    with PackWriter(folder / PACK) as writer:
        for name, serial in before.items():
            address = f"https://index.example/simple/{name}/"
            read = simple.project(page(name, serial), name=name, requested_url=address, url=address)
            writer.add(name, read.body, read.count)
        writer.close({"serials": before, "etags": {}, "failed": [], "licensed": False, "newest": 0})
    changed = random.Random(1).sample(sorted(before), CHANGED)
    after = before | {name: 10_000_000 + number for number, name in enumerate(changed)}
    (folder / LIST).write_bytes(listing(after))
    (folder / CHANGES).write_text(json.dumps({name: after[name] for name in changed}))
    return {"projects": len(after)}


def serve(folder: Path) -> None:
    """Answers for the list and the changed projects; prints its address first."""
    index = (folder / LIST).read_bytes()
    changes: dict[str, int] = json.loads((folder / CHANGES).read_text())
    etag = f'"{hashlib.sha256(index).hexdigest()}"'

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Silent."""

        def do_GET(self) -> None:
            old_way = self.path.startswith("/pypi/")
            name = self.path.removeprefix("/simple").strip("/")
            if old_way:
                name = self.path.split("/")[2]
            unchanged = not name and self.headers.get("If-None-Match") == etag
            body = b"" if unchanged else page(name, changes[name], files=3) if name else index
            if old_way:
                body = metadata(name, changes[name])
            self.send_response(304 if unchanged else 200)
            self.send_header("Content-Type", JSON_TYPE)
            self.send_header("Content-Length", str(len(body)))
            if old_way:
                self.send_header("X-PyPI-Last-Serial", str(changes[name]))
            if not name:
                self.send_header("ETag", etag)
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


def limit(folder: Path) -> dict[str, Any]:
    """See above."""
    text = (folder / LIST).read_bytes()
    found = msgspec.json.decode(text)
    digest = hashlib.sha256(text)
    (folder / "written").write_bytes(msgspec.json.encode(found))
    with (folder / PACK).open("rb") as old, (folder / "copied").open("wb") as new:
        while block := old.read(1 << 20):
            digest.update(block)
            new.write(block)
    return {"projects": len(found["projects"]), "bytes": len(text)}


def refresh(folder: Path, url: str) -> dict[str, Any]:
    """What an active mirror does about the changes: list, changed pages, the new pack."""
    ecosystem = PythonSimple()
    root = f"{url}/simple/"
    old = folder / f"{PACK}.here"
    if not old.exists():
        _place(folder / PACK, old, root)
    seen = PreviousIndex(root, "", "", "", old)
    with (
        tempfile.TemporaryDirectory(dir=folder) as work,
        Client(EgressPolicy(("http://127.0.0.1:*",))) as client,
    ):
        context = FetchContext(client=client, folder=Path(work), previous=seen)
        began = cpu_seconds(), time.perf_counter()
        raw = ecosystem.fetch(root, "simple", context)
        assert isinstance(raw, FetchedIndex)
        read = ecosystem.parse(raw, "simple", context)
        cost = {"cpu": cpu_seconds() - began[0], "wall": time.perf_counter() - began[1]}
        return {**cost, "names": read.names, "listed": read.listed, "warnings": read.warnings}


def _place(template: Path, target: Path, root: str) -> None:
    """The old pack as if it had come from this address."""
    with Pack(template) as pack, PackWriter(target) as writer:
        for name in pack.names():
            writer.copy(name, pack)
        writer.close({**pack.meta, "root": root})


def rates() -> dict[str, float]:
    """How often a second a page of 10,000 files is read, made and given."""
    name = "large"
    address = f"https://index.example/simple/{name}/"
    text = page(name, 1, files=FILES)
    body = simple.project(text, name=name, requested_url=address, url=address).body
    served = pages.served(body)
    plain = pages.project_json(body)
    return {
        "limit: JSON taken apart and written": _rate(
            lambda: msgspec.json.encode(msgspec.json.decode(plain))
        ),
        "read from the upstream": _rate(
            lambda: simple.project(text, name=name, requested_url=address, url=address)
        ),
        "made for publication": _rate(lambda: pages.served(body)),
        "given as JSON": _rate(lambda: pages.page(served, "", pages.JSON)),
        "given as HTML": _rate(lambda: pages.page(served, "", pages.HTML)),
    }


def _rate(work: Callable[[], object]) -> float:
    began, done = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < SECONDS:
        work()
        done += 1
    return done / passed


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The index on a port of its own, by another process."""
    command = [sys.executable, "-m", "bench.python", "serve", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def bench() -> None:
    """Measure everything and print it."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        # By another process, whose memory is not counted as that of those measured.
        measure("bench.python", "generate", name)
        costs: dict[str, Cost] = {"limit": measure("bench.python", "limit", name)}
        with serving(folder) as url:
            costs["active: 500 pages changed"] = measure("bench.python", "refresh", name, url)
            costs["bandersnatch 6.8, the same"] = bandersnatch(folder, url)
            env = environment(folder / "data", url)
            kind = ("{}", "python_simple")
            measure("bench.step", "setup", f"{url}/simple/", *kind, env=env)
            costs["passive: first run"] = measure("bench.step", "run", env=env)
            costs["passive: nothing changed (304)"] = measure("bench.step", "run", env=env)
        least = costs["limit"]
        print(f"Simple: {PROJECTS:,} projects, {CHANGED} of them changed")
        for title, cost in costs.items():
            times = f"{cost.cpu:7.2f} CPU s {cost.wall:7.2f} s {cost.peak:6.0f} MiB"
            print(f"  {title:32} {times} {cost.cpu / least.cpu:6.1f} x the limit")
        ratio = costs["active: 500 pages changed"].cpu / costs["bandersnatch 6.8, the same"].cpu
        print(f"  ours / bandersnatch, CPU: {ratio:.2f}; {goals.at_most(ratio, OURS)}")
    print(f"A page of {FILES:,} files, pages per second")
    found = measure("bench.python", "page", "").answer["rates"]
    for title, rate in found.items():
        print(f"  {title:38} {rate:8.1f}")
    print()


def main() -> None:
    verb, folder, *rest = sys.argv[1:]
    if verb == "serve":
        serve(Path(folder))
    began, wall = cpu_seconds(), time.perf_counter()
    verbs: dict[str, Callable[[], dict[str, Any]]] = {
        "generate": lambda: generate(Path(folder)),
        "limit": lambda: limit(Path(folder)),
        "refresh": lambda: refresh(Path(folder), *rest),
        "page": lambda: {"rates": rates()},
    }
    answer = verbs[verb]()
    cost = {"cpu": cpu_seconds() - began, "wall": time.perf_counter() - wall}
    print(json.dumps({**cost, **answer}))


if __name__ == "__main__":
    main()
