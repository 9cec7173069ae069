"""Advisories against a large channel: import, judge all again, one advisory, one curation.

    python -m bench.advisories limit ARCHIVE

The limit of an import, measured in the same run: unzip every record of the same archive and parse
it, keeping nothing. What acts on the channel is compared with a publication that judges it whole.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from bench import generate, goals
from bench.limit import cpu_seconds
from bench.measure import Cost, measure
from bench.mirror import environment, measure_quiet, serving

ADVISORIES = 300_000
RECORDS = 900_000
QUICK = (100_000, 30_000)
"""Files and advisories of the bench for every day."""
GOALS = {"import the archive": 3.0, "one advisory": 0.1, "one curation": 0.1}
"""An import as a multiple of the limit, the others as parts of a full publication."""
THRESHOLD = 7
SINGLE_ID = "CVE-2099-1"

SEED = 1
PROJECTS_PER_NAME = 4
"""So many projects have advisories for each one that the channel lists."""
TWIN_SHARE = 0.4
MALWARE_SHARE = 0.02
VECTORS = (
    "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
    "CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N",
    "CVSS:3.1/AV:L/AC:H/PR:L/UI:R/S:U/C:L/I:N/A:N",
    "CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H",
    "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
)
WORDS = (
    *("a", "an", "attacker", "remote", "crafted", "request", "input", "file", "memory", "server"),
    *("allows", "arbitrary", "code", "before", "version", "through", "parser", "header", "when"),
    *("user", "session", "denial", "of", "service", "injection", "path", "traversal", "the", "is"),
)
JSON = dict[str, Any]


def channel_names(records: int) -> list[str]:
    """The names that `bench.generate` gives an index of `records` records."""
    rng = random.Random(SEED)
    return generate.package_names(rng, max(1, round(records / generate.RECORDS_PER_NAME)))


def archive(path: Path, names: list[str], count: int) -> None:
    """An OSV archive of `count` records like the public one's: sizes, twins, a few of malware."""
    rng = random.Random(SEED)
    projects = [*names, *(f"project-{n}" for n in range(len(names) * (PROJECTS_PER_NAME - 1)))]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target:
        for record in _records(rng, projects, count):
            target.writestr(f"{record['id']}.json", json.dumps(record))


def _records(rng: random.Random, projects: list[str], count: int) -> Iterator[JSON]:
    written = number = 0
    while written < count:
        number += 1
        cve, project = f"CVE-{rng.randint(2005, 2026)}-{number}", rng.choice(projects)
        if rng.random() < MALWARE_SHARE:
            # Malicious packages have names of their own: none that the channel lists.
            yield _record(rng, f"MAL-2025-{number}", [], f"malicious-{number}")
            written += 1
            continue
        ghsa, pysec = f"GHSA-{number:012x}", f"PYSEC-{rng.randint(2005, 2026)}-{number}"
        twins = [(ghsa, [cve, pysec]), (pysec, [cve, ghsa])]
        group = twins if count - written > 1 and rng.random() < TWIN_SHARE else [(ghsa, [cve])]
        for own, aliases in group:
            yield _record(rng, own, aliases, project, vector=rng.choice(VECTORS))
            written += 1


def _record(
    rng: random.Random, own: str, aliases: list[str], project: str, *, vector: str = ""
) -> JSON:
    fixed = f"{rng.randint(0, 4)}.{rng.randint(0, 20)}.{rng.randint(0, 9)}"
    # One record in three lists every version it is about.
    versions = [f"0.{n // 10}.{n % 10}" for n in range(rng.choice((0, 0, rng.randint(5, 120))))]
    events = [{"introduced": "0"}, {"fixed": fixed}] if vector else [{"introduced": "0"}]
    return {
        "schema_version": "1.7.0",
        "id": own,
        "modified": f"2025-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}T10:00:00.123456Z",
        "published": f"2024-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}T10:00:00Z",
        "aliases": aliases,
        "summary": " ".join(rng.choices(WORDS, k=12)),
        "details": " ".join(rng.choices(WORDS, k=rng.randint(40, 260))),
        "affected": [
            {
                "package": {
                    "ecosystem": "PyPI",
                    "name": project,
                    "purl": f"pkg:pypi/{project}",
                },
                "ranges": [{"type": "ECOSYSTEM", "events": events}],
                "versions": versions,
            }
        ],
        "references": [
            {"type": "WEB", "url": f"https://example.org/{own}/{rng.getrandbits(64):016x}"}
            for _ in range(rng.randint(2, 8))
        ],
        "severity": [{"type": "CVSS_V3", "score": vector}] if vector else [],
        "database_specific": {"severity": "HIGH", "cwe_ids": ["CWE-79"], "github_reviewed": True},
    }


def bench(records: int = RECORDS, count: int = ADVISORIES) -> None:
    """Measure all steps and print them."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        root = Path(name)
        upstream = root / "upstream" / "linux-64"
        upstream.mkdir(parents=True)
        index = str(upstream / "repodata.json.zst")
        measure_quiet("bench.generate", "--records", str(records), "--seed", str(SEED), index)
        files, affected = _write_files(root, records, count)
        costs = {"limit": measure("bench.advisories", "limit", files["archive"])}
        with serving(root / "upstream") as source:
            env = environment(root / "data", source)
            measure("bench.step", "setup", source, env=env)
            measure("bench.step", "run", env=env)
        # No upstream from here on: nothing below asks one.
        steps = {
            "full publication": ("edit", "a*"),
            "import the name mapping": ("import", files["mapping"]),
            "import the archive": ("import", files["archive"]),
            "import it again": ("import", files["archive"]),
            "index for pages": ("index",),
            "judge all again": ("score", str(THRESHOLD)),
            "one advisory": ("advisory", files["single"]),
            "one curation": ("curate", SINGLE_ID, affected),
        }
        for step, arguments in steps.items():
            costs[step] = measure("bench.step", *arguments, env=env)
        print(f"{count:,} advisories, a channel of {records:,} files")
        show(costs)
        database = (root / "data" / "mirrorserver.sqlite3").stat().st_size
        print(f"database {database / 1e6:,.0f} MB\n")


def show(costs: dict[str, Cost]) -> None:
    """One line a step: its cost, as a ratio to what it is compared with, and its goal."""
    print(f"{'step':26}{'CPU s':>8}{'wall s':>8}{'peak MiB':>10}{'ratio':>8}")
    for step, cost in costs.items():
        base = "limit" if step == "limit" or step.startswith("import") else "full publication"
        ratio = cost.cpu / costs[base].cpu
        goal = goals.at_most(ratio, GOALS[step]) if step in GOALS else ""
        print(f"{step:26}{cost.cpu:8.1f}{cost.wall:8.1f}{cost.peak:10.0f}{ratio:8.2f}  {goal}")
        facts = [cost.answer[key] for key in ("result", "files") if key in cost.answer]
        if facts:
            print(f"{'':26}{'; '.join(facts)}")


def _write_files(root: Path, records: int, count: int) -> tuple[dict[str, str], str]:
    """The files to import, by kind, and the package that the single advisory is about."""
    names = channel_names(records)
    # Not one that the first edit excludes.
    affected = next(name for name in names[len(names) // 2 :] if not name.startswith("a"))
    single = _record(random.Random(SEED), SINGLE_ID, [], affected, vector=VECTORS[0])
    single["affected"][0]["ranges"][0]["events"] = [{"introduced": "0"}]
    files = {name: root / f"{name}.json" for name in ("archive", "mapping", "single")}
    # No other advisory is about it: one takes its files away, and a curation brings them back.
    archive(files["archive"], [name for name in names if name != affected], count)
    files["mapping"].write_text(json.dumps({name: [name] for name in names}))
    files["single"].write_text(json.dumps(single))
    return {name: str(path) for name, path in files.items()}, affected


def limit(path: str) -> None:
    """Print what unzipping and parsing every record of an archive costs."""
    cpu, wall = cpu_seconds(), time.perf_counter()
    records = size = 0
    with zipfile.ZipFile(path) as source:
        for name in source.namelist():
            text = source.read(name)
            msgspec.json.decode(text)
            records, size = records + 1, size + len(text)
    cost = {"cpu": cpu_seconds() - cpu, "wall": time.perf_counter() - wall}
    print(json.dumps({**cost, "records": records, "bytes": size}))


if __name__ == "__main__":
    limit(sys.argv[2])
