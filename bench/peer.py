"""conda-mirror 0.10 and this server: the same index, the same filter.

conda-mirror's own functions read the index, match every entry of its lists and
write the index once (it would write it again after every 15 downloads). Ours
does a whole passive run: index forms, shards, rows and history included.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import zstandard

from bench import goals
from bench.measure import Cost, measure
from bench.mirror import environment, measure_quiet, serving

CPU, MEMORY = 0.167, 0.2
VENV = Path("var/bench-peers/conda-mirror")
EXCLUDE = (
    *("a*", "b*", "ca*", "lib*", "py*", "mat*", "*core", "*kit", "x*", "z*", "numpy", "pandas"),
    *("foo", "scipy<1.9", "dask>=2023", "pillow<9", "flask", "django", "tornado<6", "jax*"),
)
INCLUDE = ("python", "pytest*", "libz*", "bokeh", "matplotlib*")
# Its private functions: the command itself would download every package that it keeps.
PROGRAM = r"""
import json, os, resource, sys, time
from conda_mirror import conda_mirror as peer
peer._init_logger(0)
source, target, exclude, include = sys.argv[1], sys.argv[2], *map(json.loads, sys.argv[3:5])
began = time.process_time(), time.monotonic()
info, packages = peer.get_repodata(source, "linux-64")
excluded, included = set(), set()
for spec in exclude:
    excluded.update(peer._match(packages, spec))
for spec in include:
    included.update(peer._match(packages, spec))
excluded -= included
listed = {name: packages[name] for name in packages if name not in excluded}
peer._write_repodata(target, {"info": info, "packages": listed})
cost = {"cpu": time.process_time() - began[0], "wall": time.monotonic() - began[1]}
print(json.dumps({**cost, "kept": len(listed)}))
"""


def bench(records: int = 300_000) -> None:
    """Print both costs and their ratio."""
    python = _install()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        root = Path(name)
        upstream = root / "channel" / "linux-64"
        upstream.mkdir(parents=True)
        index = upstream / "repodata.json.zst"
        measure_quiet("bench.generate", "--records", str(records), "--seed", "1", str(index))
        with serving(root / "channel") as source:
            env = environment(root / "data", source)
            filters = {
                "subdirs": ["linux-64"],
                # conda-mirror keeps the .tar.bz2 files, so both write the same index.
                "keep_legacy": True,
                "exclude_specs": list(EXCLUDE),
                "include_specs": list(INCLUDE),
            }
            measure("bench.step", "setup", source, json.dumps(filters), env=env)
            ours = measure("bench.step", "run", env=env)
            # It reads the plain form only.
            plain = zstandard.ZstdDecompressor().decompressobj().decompress(index.read_bytes())
            (upstream / "repodata.json").write_bytes(plain)
            theirs = _theirs(python, source, root / "theirs")
    print(f"{records:,} records, {len(EXCLUDE)} excluded and {len(INCLUDE)} included specs")
    for who, cost in (("conda-mirror 0.10", theirs), ("ours", ours)):
        print(f"{who:24}{cost.cpu:8.1f} CPU s{cost.wall:8.1f} s{cost.peak:8.0f} MiB")
    cpu, memory = ours.cpu / theirs.cpu, ours.peak / theirs.peak
    print(f"{'ours / theirs, CPU':24}{cpu:8.3f}  {goals.at_most(cpu, CPU)}")
    print(f"{'ours / theirs, memory':24}{memory:8.3f}  {goals.at_most(memory, MEMORY)}\n")


def _theirs(python: Path, source: str, target: Path) -> Cost:
    target.mkdir()
    lists = [json.dumps([_entry(spec) for spec in specs]) for specs in (EXCLUDE, INCLUDE)]
    script = target / "peer.py"
    script.write_text(PROGRAM)
    return measure(str(script), source, str(target), *lists, python=python)


def _entry(spec: str) -> dict[str, str]:
    for sign in ("<", ">="):
        name, separator, version = spec.partition(sign)
        if separator:
            return {"name": name, "version": sign + version}
    return {"name": spec}


def _install() -> Path:
    python = VENV / "bin" / "python"
    # A file, because a folder is also there when an installation was interrupted.
    if not (VENV / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        pip = [str(python), "-m", "pip", "install", "-qq", "conda-mirror==0.10.0"]
        subprocess.run(pip, check=True)
        (VENV / "installed").touch()
    return python.absolute()
