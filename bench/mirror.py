"""A passive mirror of one large subdir: first run, a day later, nothing new, a filter edit.

Each step runs in a process of its own and is compared with the limit measured
in the same run: decompress + slice + hash + compress the same bytes once.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench import goals, limit
from bench.measure import Cost, folder_size, measure

GOALS = {"first run": 8.0, "0.5 % changed": 3.0, "filter edit": 8.0}
PEAK = 400e6 / 2**20
QUIET = 1.0
EDIT = ("a*", "b*", "numpy<2", "python>=3.13")


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[str]:
    """The folder on a port of its own, by another process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.files", str(folder), *options],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        # It holds nothing that a clean end would save.
        process.kill()
        process.wait()


def bench(records: int) -> dict[str, Cost]:
    """Measure all steps at this size and print them."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        root = Path(name)
        first, second = root / "first.json.zst", root / "second.json.zst"
        generate = "bench.generate"
        measure_quiet(generate, "--records", str(records), "--seed", "1", str(first))
        measure_quiet(generate, "--from", str(first), "--delta", "0.005", str(second))
        upstream = root / "upstream" / "linux-64"
        upstream.mkdir(parents=True)
        index = upstream / "repodata.json.zst"
        index.hardlink_to(first)
        least = limit.measure(first)
        costs = {"limit": Cost(least.cpu, least.wall, 0.0, {})}
        with serving(root / "upstream") as source:
            # One database for all steps: each finds what the one before has written.
            env = environment(root / "data", source)
            empty = measure("bench.step", "setup", source, env=env)
            costs["first run"] = measure("bench.step", "run", env=env)
            costs["nothing changed (304)"] = measure("bench.step", "run", env=env)
            index.unlink()
            index.hardlink_to(second)
            os.utime(index)
            costs["0.5 % changed"] = measure("bench.step", "run", env=env)
            # The same bytes with a new Last-Modified, so that they are sent again.
            os.utime(index)
            costs["same bytes, no 304"] = measure("bench.step", "run", env=env)
            costs["filter edit"] = measure("bench.step", "edit", *EDIT, env=env)
        show(records, costs, empty)
        peak = max(cost.peak for cost in costs.values())
        print(f"largest peak: {peak:.0f} MiB; {goals.at_most(peak, PEAK, ' MiB')}")
        print(f"nothing changed: {_unchanged_goals(costs)}")
        ratio = costs["filter edit"].cpu / costs["first run"].cpu
        print(f"filter edit / first run, CPU: {ratio:.2f}; {goals.at_most(ratio, 1.0)}")
        database = (root / "data" / "mirrorserver.sqlite3").stat().st_size
        blobs = folder_size(root / "data" / "blobs")
        print(f"database {database / 1e6:,.0f} MB, blobs {blobs / 1e6:,.0f} MB\n")
        return costs


def _unchanged_goals(costs: dict[str, Cost]) -> str:
    """A run on a 304: its CPU time, and that it writes nothing but its own row."""
    cost, before = costs["nothing changed (304)"], costs["first run"].answer["rows"]
    written = sum(abs(cost.answer["rows"][key] - before[key]) for key in before)
    return f"{goals.at_most(cost.cpu, QUIET, ' CPU s')}, {goals.at_most(written, 0, ' rows')}"


def environment(data: Path, source: str) -> dict[str, str]:
    """The server's environment for a bench."""
    return {"DATA": str(data), "UPSTREAM_ALLOW": source, "DATABASE_URL": "", "REDIS_URL": ""}


def measure_quiet(module: str, *args: str) -> None:
    subprocess.run([sys.executable, "-m", module, *args], check=True, stdout=subprocess.DEVNULL)


def show(
    records: int, costs: dict[str, Cost], empty: Cost, *, bounds: Mapping[str, float] = GOALS
) -> None:
    """One line a step: its cost, the ratio to the limit, and what it wrote."""
    least = costs["limit"].cpu
    print(
        f"{records:,} records in one section; start of a process: {empty.answer['start']:.1f} CPU s"
    )
    print(f"{'step':24}{'CPU s':>8}{'wall s':>8}{'peak MiB':>10}{'x limit':>9}")
    before: dict[str, int] = empty.answer["rows"]
    for step, cost in costs.items():
        ratio = cost.cpu / least
        goal = goals.at_most(ratio, bounds[step]) if step in bounds else ""
        print(f"{step:24}{cost.cpu:8.1f}{cost.wall:8.1f}{cost.peak:10.0f}{ratio:9.2f}  {goal}")
        if "rows" in cost.answer:
            after = cost.answer["rows"]
            fresh = {key: after[key] - before[key] for key in after if after[key] != before[key]}
            print(f"{'':24}rows written: {fresh or 'none'}")
            before = after
