"""A Simple index of 600,000 projects of which 500 changed, and a page of 10,000 files.

    python -m bench.python generate|limit|refresh|page|serve FOLDER [URL]

The limit of the index, measured in the same run: read the list of projects, parse it, hash it,
and write it and the bytes of the kept pages once more. That of the page: parse its JSON
and write it.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench import goals
from bench.bandersnatch import measure_bandersnatch
from bench.limit import cpu_seconds
from bench.measure import Cost, measure
from bench.mirror import environment
from bench.python_index import CHANGED, LIST, PACK, PROJECTS, generate, page, serve
from ecosystems.indexes import FetchContext, FetchedIndex, PreviousIndex
from ecosystems.pack import Pack, PackWriter
from ecosystems.python import pages, simple
from ecosystems.python.ecosystem import PythonSimple
from ecosystems.upstream import Client, EgressPolicy

FILES = 10_000
SECONDS = 3.0
"""How long each rate is measured."""
CPU_RATIO = 1.0
"""Goal: at most as much CPU time as bandersnatch."""


def limit(folder: Path) -> dict[str, object]:
    """Do what no mirror of the index can do without; see above."""
    text = (folder / LIST).read_bytes()
    document = msgspec.json.decode(text)
    digest = hashlib.sha256(text)
    (folder / "written").write_bytes(msgspec.json.encode(document))
    with (folder / PACK).open("rb") as old, (folder / "copied").open("wb") as new:
        while block := old.read(1 << 20):
            digest.update(block)
            new.write(block)
    return {"projects": len(document["projects"]), "bytes": len(text)}


def refresh(folder: Path, url: str) -> dict[str, object]:
    """What an active mirror does about the changes: list, changed pages, the new pack."""
    ecosystem = PythonSimple()
    root = f"{url}/simple/"
    # The port is known only now, and a pack counts only for the address that it came from.
    old = folder / f"{PACK}.local"
    if not old.exists():
        _copy_pack(folder / PACK, old, root)
    previous = PreviousIndex(root, "", "", "", old)
    with (
        tempfile.TemporaryDirectory(dir=folder) as work,
        Client(EgressPolicy(("http://127.0.0.1:*",))) as client,
    ):
        context = FetchContext(client=client, folder=Path(work), previous=previous)
        began = cpu_seconds(), time.perf_counter()
        fetched = ecosystem.fetch(root, "simple", context)
        assert isinstance(fetched, FetchedIndex)
        parsed = ecosystem.parse(fetched, "simple", context)
        cost = {"cpu": cpu_seconds() - began[0], "wall": time.perf_counter() - began[1]}
        return {**cost, "names": parsed.names, "listed": parsed.listed, "warnings": parsed.warnings}


def _copy_pack(template: Path, target: Path, root: str) -> None:
    """The old pack as if it had come from this address."""
    with Pack(template) as pack, PackWriter(target) as writer:
        for name in pack.names():
            writer.copy(name, pack)
        writer.close({**pack.meta, "root": root})


def rates() -> dict[str, float]:
    """How often a second a page of 10,000 files is read, built and served."""
    name = "large"
    address = f"https://index.example/simple/{name}/"
    text = page(name, 1, files=FILES)
    body = simple.project(text, name=name, requested_url=address, url=address).body
    served = pages.served(body)
    plain = pages.project_json(body)
    return {
        "limit: JSON parsed and written": _rate(
            lambda: msgspec.json.encode(msgspec.json.decode(plain))
        ),
        "read from the upstream": _rate(
            lambda: simple.project(text, name=name, requested_url=address, url=address)
        ),
        "built for publication": _rate(lambda: pages.served(body)),
        "served as JSON": _rate(lambda: pages.page(served, "", pages.JSON)),
        "served as HTML": _rate(lambda: pages.page(served, "", pages.HTML)),
    }


def _rate(work: Callable[[], object]) -> float:
    began, done = time.perf_counter(), 0
    # By time, not by count: the rates differ by orders of magnitude.
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
            costs["bandersnatch 6.8, the same"] = measure_bandersnatch(folder, url)
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
        print(f"  ours / bandersnatch, CPU: {ratio:.2f}; {goals.at_most(ratio, CPU_RATIO)}")
    print(f"A page of {FILES:,} files, pages per second")
    page_rates = measure("bench.python", "page", "").answer["rates"]
    for title, rate in page_rates.items():
        print(f"  {title:38} {rate:8.1f}")
    print()


def main() -> None:
    verb, folder, *args = sys.argv[1:]
    if verb == "serve":
        serve(Path(folder))
    began, wall = cpu_seconds(), time.perf_counter()
    verbs: dict[str, Callable[[], Mapping[str, object]]] = {
        "generate": lambda: generate(Path(folder)),
        "limit": lambda: limit(Path(folder)),
        "refresh": lambda: refresh(Path(folder), *args),
        "page": lambda: {"rates": rates()},
    }
    answer = verbs[verb]()
    cost = {"cpu": cpu_seconds() - began, "wall": time.perf_counter() - wall}
    print(json.dumps({**cost, **answer}))


if __name__ == "__main__":
    main()
