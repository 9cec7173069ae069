"""A passive mirror of one large subdir with shards (CEP 16): first run, a day later, nothing new.

The first run takes the single file, the later ones only shards that have changed. Each step runs in
a process of its own.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench import goals, mirror
from bench.measure import Cost, measure
from ecosystems.conda.repodata import read
from ecosystems.conda.shards import FOLDER, INDEX_NAME, shard_bytes, shard_index
from ecosystems.progress import never_stop
from ecosystems.upstream import open_decoded

GOAL = 0.35
"""CPU time of a run that finds 0.5 % changed, beside the first run."""
CAP = 8 << 30
MOMENT = 1_700_000_000


def bench(sizes: Sequence[int]) -> None:
    """Measure all steps at these sizes and print them."""
    for records in sizes:
        _bench(records)


def _bench(records: int) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        root = Path(name)
        first, second = root / "first.json.zst", root / "second.json.zst"
        generate = "bench.generate"
        mirror.measure_quiet(generate, "--records", str(records), "--seed", "1", str(first))
        mirror.measure_quiet(generate, "--from", str(first), "--delta", "0.005", str(second))
        subdir = root / "upstream" / "linux-64"
        (subdir / FOLDER).mkdir(parents=True)
        before = _publish(first, subdir, MOMENT)
        costs: dict[str, Cost] = {}
        with mirror.serving(root / "upstream") as source:
            env = mirror.environment(root / "data", source)
            measure("bench.step", "setup", source, env=env)
            costs["first run"] = measure("bench.step", "run", env=env)
            costs["nothing changed"] = measure("bench.step", "run", env=env)
            after = _publish(second, subdir, MOMENT + 86_400)
            costs["0.5 % changed"] = measure("bench.step", "run", env=env)
        _show(records, costs, changed=len(after - before), shards=len(after))


def _publish(index: Path, subdir: Path, moment: int) -> set[str]:
    """The index as a single file and as shards in the folder `subdir`; the hashes of the shards."""
    packed = subdir / "repodata.json.zst"
    packed.unlink(missing_ok=True)
    packed.hardlink_to(index)
    digests = []
    blocks = open_decoded(index, "zst", cap=CAP)
    with read(blocks, subdir=subdir.name, work=subdir, stop=never_stop) as records:
        for shard in records.shards(never_stop):
            body = shard_bytes(shard.body)
            digest = hashlib.sha256(body)
            (subdir / FOLDER / f"{digest.hexdigest()}.msgpack.zst").write_bytes(body)
            digests.append((shard.name, digest.digest()))
    listing = subdir / INDEX_NAME
    listing.write_bytes(shard_index(subdir.name, digests))
    for path in (packed, listing):
        os.utime(path, (moment, moment))
    return {digest.hex() for _, digest in digests}


def _show(records: int, costs: dict[str, Cost], *, changed: int, shards: int) -> None:
    print(f"{records:,} records with shards; a day later {changed:,} of {shards:,} shards differ")
    print(f"{'step':24}{'CPU s':>8}{'wall s':>8}{'peak MiB':>10}")
    for step, cost in costs.items():
        print(f"{step:24}{cost.cpu:8.1f}{cost.wall:8.1f}{cost.peak:10.0f}")
    ratio = costs["0.5 % changed"].cpu / costs["first run"].cpu
    print(f"0.5 % changed beside the first run: {ratio:.2f}; {goals.at_most(ratio, GOAL)}")
    quiet = costs["nothing changed"].cpu
    print(f"nothing changed: {goals.at_most(quiet, mirror.QUIET, ' CPU s')}\n")
