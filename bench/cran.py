"""A passive mirror of a repository of R packages: first run, a day later, a filter edit.

    python -m bench.cran limit FOLDER

The limit, measured in the same run: read PACKAGES.gz, parse every stanza,
hash it, and write the same bytes as gzip and as zstd; and the same for the
table of the archive, as bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import re
import sys
import tempfile
import time
from pathlib import Path

import zstandard

from bench.limit import cpu_seconds
from bench.measure import Cost, folder_size, measure
from bench.mirror import environment, serving, show
from ecosystems.cran.rds_writer import FileRow, write_archive, write_table

PACKAGES = 22_000
CHANGED = 110
BUILT = 1_700_000_000_000
GOALS = {"first run": 30.0, "0.5 % changed": 15.0}
EDIT = ("a*", "b*", "dplyr<1", "pkg10*")
_FIELD = re.compile(rb"^([^\s:]+):[ \t]*(.*(?:\n[ \t].*)*)", re.MULTILINE)
_LICENSES = ("GPL-3", "GPL (>= 2)", "MIT + file LICENSE", "GPL-2 | GPL-3", "Apache License 2.0")


def generate(folder: Path, *, count: int = PACKAGES, newer: int = 0) -> int:
    """A repository with `count` packages of which `newer` have one version more; its records."""
    rng = random.Random(1)
    contrib = folder / "src" / "contrib"
    (contrib / "Meta").mkdir(parents=True, exist_ok=True)
    names = sorted(f"pkg{rng.randrange(10**9):x}{number}" for number in range(count))
    # Spread over the whole index, as real changes are.
    fresh = set(names[:: max(1, count // newer)]) if newer else set()
    stanzas: list[str] = []
    current: list[FileRow] = []
    archive: list[tuple[str, list[FileRow]]] = []
    for name in names:
        # The archive of the main repository has about seven old versions of each package.
        old = rng.randrange(0, 14)
        last = old + (name in fresh)
        stanzas.append(_stanza(name, names, rng).replace("VERSION", f"1.{last}"))
        time = BUILT + last * 86_400_000
        current.append(FileRow(f"{name}_1.{last}.tar.gz", rng.randrange(10**6), time))
        if last:
            archive.append(
                (
                    name,
                    [
                        FileRow(
                            f"{name}/{name}_1.{version}.tar.gz",
                            1000 + version,
                            BUILT + version * 1000,
                        )
                        for version in range(last)
                    ],
                )
            )
    text = "\n".join(stanzas).encode()
    (contrib / "PACKAGES").write_bytes(text)
    (contrib / "PACKAGES.gz").write_bytes(gzip.compress(text, 6, mtime=0))
    write_table(current, contrib / "Meta" / "current.rds")
    write_archive(archive, contrib / "Meta" / "archive.rds")
    return count + sum(len(files) for _, files in archive)


def _stanza(name: str, names: list[str], rng: random.Random) -> str:
    """A stanza of the size and shape of the main repository's."""
    imports = ", ".join(rng.choice(names) for _ in range(rng.randrange(1, 9)))
    suggests = ",\n        ".join(rng.choice(names) for _ in range(rng.randrange(1, 7)))
    return (
        f"Package: {name}\nVersion: VERSION\nDepends: R (>= 4.1.0)\nImports: {imports}\n"
        f"Suggests: {suggests}\nLicense: {rng.choice(_LICENSES)}\n"
        f"MD5sum: {rng.getrandbits(128):032x}\nNeedsCompilation: no\n"
    )


def limit(folder: str) -> None:
    """Print what the same bytes cost once; see above."""
    contrib = Path(folder) / "src" / "contrib"
    cpu, wall = cpu_seconds(), time.perf_counter()
    text = gzip.decompress((contrib / "PACKAGES.gz").read_bytes())
    stanzas = [dict(_FIELD.findall(part)) for part in text.split(b"\n\n")]
    hashlib.sha256(text).hexdigest()
    gzip.compress(text, 6)
    zstandard.compress(text, 1)
    table = gzip.decompress((contrib / "Meta" / "archive.rds").read_bytes())
    gzip.compress(table, 6)
    cost = {"cpu": cpu_seconds() - cpu, "wall": time.perf_counter() - wall}
    print(json.dumps({**cost, "stanzas": len(stanzas), "bytes": len(text), "table": len(table)}))


def bench() -> None:
    """Measure all steps and print them."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        root = Path(name)
        upstream = root / "upstream"
        records = generate(upstream)
        least = measure("bench.cran", "limit", str(upstream))
        costs: dict[str, Cost] = {"limit": least}
        with serving(upstream) as source:
            env = environment(root / "data", source)
            empty = measure("bench.step", "setup", source, "{}", "CRAN", env=env)
            costs["first run"] = measure("bench.step", "run", env=env)
            costs["nothing changed (304)"] = measure("bench.step", "run", env=env)
            generate(upstream, newer=CHANGED)
            later = time.time() + 60
            for file in (upstream / "src" / "contrib").iterdir():
                # Last-Modified has whole seconds: without this a fast bench would get a 304.
                os.utime(file, (later, later))
            costs["0.5 % changed"] = measure("bench.step", "run", env=env)
            costs["filter edit"] = measure("bench.step", "edit", *EDIT, env=env)
        print(f"R: {PACKAGES:,} packages, {records:,} files with their archive")
        show(records, costs, empty, bounds=GOALS)
        database = (root / "data" / "mirrorserver.sqlite3").stat().st_size
        blobs = folder_size(root / "data" / "blobs")
        print(f"database {database / 1e6:,.0f} MB, blobs {blobs / 1e6:,.0f} MB\n")


if __name__ == "__main__":
    limit(sys.argv[2])
