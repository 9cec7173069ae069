"""Writes a conda index like a real one, of any size, from a seed.

    python -m bench.generate --records 900000 --seed 1 linux-64.json.zst
    python -m bench.generate --from linux-64.json.zst --delta 0.005 next-day.json.zst

Names, builds, dependencies and hashes have the sizes and the randomness of a
large real channel (about 480 bytes a record, 64 records a name, a few names
with thousands), so that parsing and compressing cost what they cost there.
The same seed gives the same bytes. Records are written one package name at a
time: memory does not grow with their number.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

import zstandard

RECORDS_PER_NAME = 64
CHANGES_PER_NAME = 6
TWIN_SHARE = 0.65  # of the builds of a name that has .tar.bz2 files at all
SYLLABLES = (
    *("al", "an", "ar", "be", "bio", "ca", "cy", "da", "de", "do", "el", "en", "fa", "fast", "ge"),
    *("go", "gra", "hy", "im", "in", "ja", "ki", "lib", "lo", "ma", "me", "mi", "mo", "ne", "nu"),
    *("om", "or", "pa", "pi", "pro", "py", "qu", "ra", "re", "ro", "sa", "se", "sci", "si", "so"),
    *("sta", "sy", "ta", "te", "ti", "to", "ul", "un", "va", "ve", "vi", "wa", "web", "xa", "ya"),
    *("ze", "zo", "core", "data", "flow", "graph", "image", "kit", "lab", "learn", "math", "net"),
    *("parse", "plot", "seq", "stat", "sync", "tools"),
)
LICENSES = (
    ("MIT", "MIT"),
    ("BSD-3-Clause", "BSD"),
    ("Apache-2.0", "APACHE"),
    ("GPL-3.0-or-later", "GPL3"),
    ("LGPL-2.1-or-later", "LGPL"),
    ("BSD-2-Clause", "BSD"),
    ("GPL-2.0-only", "GPL2"),
    ("MPL-2.0", "MOZILLA"),
    ("MIT OR Apache-2.0", ""),
    ("LicenseRef-Public-Domain", "PUBLIC-DOMAIN"),
    ("CC-BY-4.0", "CC"),
    ("Proprietary", "PROPRIETARY"),
)
LICENSE_WEIGHTS = (30, 22, 14, 9, 5, 5, 4, 2, 3, 1, 1, 1)
FIRST_BUILD = 1_420_070_400_000  # 2015-01-01 in milliseconds
LAST_BUILD = 1_790_000_000_000  # September 2026
PYTHONS = (27, 36, 37, 38, 39, 310, 311, 312, 313)
SECTIONS = (("packages", ".tar.bz2"), ("packages.conda", ".conda"))


def package_names(rng: random.Random, count: int) -> list[str]:
    """`count` distinct names in the order of their file names."""
    # A set, because random parts repeat.
    names: set[str] = set()
    while len(names) < count:
        stem = "".join(rng.choices(SYLLABLES, k=rng.choice((2, 2, 3, 3, 4))))
        prefix = rng.choices(("", "r-", "lib", "python-", "perl-"), (70, 14, 8, 5, 3))[0]
        suffix = rng.choices(("", "-cpp", "-dev", "-base", "2"), (86, 4, 4, 4, 2))[0]
        names.add(prefix + stem + suffix)
    return sorted(names, key=lambda name: name + "-")


def sizes(rng: random.Random, count: int, total: int) -> list[int]:
    """How many records each name has: a long tail, `total` in all."""
    # Capped, or a single name could take most of a small index.
    weights = [min(rng.paretovariate(0.95), 100.0) for _ in range(count)]
    scale = total / sum(weights)
    counts = [max(1, round(weight * scale)) for weight in weights]
    # Rounding misses the total: the largest names take the difference, and none falls below one.
    excess = sum(counts) - total
    for index in sorted(range(count), key=counts.__getitem__, reverse=True):
        step = max(min(excess, counts[index] - 1), -counts[index]) if excess else 0
        counts[index] -= step
        excess -= step
    return counts


def depends_pool(rng: random.Random, names: list[str]) -> list[str]:
    """The dependency strings one package picks from."""
    pool = [
        rng.choice(("__glibc >=2.17,<3.0.a0", "libgcc >=13", "libgcc-ng >=12")),
        rng.choice(("libstdcxx >=13", "libstdcxx-ng >=12", "python_abi 3.10.* *_cp310")),
    ]
    for name in rng.choices(names, k=rng.randint(1, 7)):
        low = f"{rng.randint(0, 9)}.{rng.randint(0, 30)}"
        form = rng.choice(("", f" >={low}", f" >={low}.{rng.randint(0, 9)},<{low[0]}9.0a0"))
        pool.append(name + form)
    return pool


def entries(name: str, records: int, *, seed: int, names: list[str], subdir: str) -> list[bytes]:
    """All entries (`"file":{...}`) of one package, each with its section's index in front."""
    # A generator for each name: both sections give the same entries without keeping them.
    rng = random.Random(f"{seed}/{name}")
    license_, family = rng.choices(LICENSES, LICENSE_WEIGHTS)[0]
    pool = depends_pool(rng, names)
    # Three names in ten began before .conda files existed.
    twins = TWIN_SHARE if rng.random() < 0.7 else 0.0
    major, minor, patch = rng.randint(0, 4), 0, 0
    stamp = rng.randint(FIRST_BUILD, LAST_BUILD)
    step = max(1, (LAST_BUILD - stamp) // records)
    lines: list[bytes] = []
    while len(lines) < records:
        major, minor, patch = _next_version(rng, major, minor, patch)
        version = f"{major}.{minor}.{patch}"
        number = rng.choices((0, 1, 2), (7, 2, 1))[0]
        for python in rng.sample(PYTHONS, rng.randint(1, 4)):
            build = f"py{python}h{rng.getrandbits(28):07x}_{number}"
            stamp += step
            head = _depends(rng, pool, python)
            tail = f',"license":"{license_}"' + (f',"license_family":"{family}"' if family else "")
            # A build that is not in both forms is nearly always a .conda file.
            kinds = (0, 1) if rng.random() < twins else (1,) if rng.random() < 0.95 else (0,)
            for kind in kinds[: records - len(lines)]:
                file = f"{name}-{version}-{build}{SECTIONS[kind][1]}"
                random_bytes = rng.randbytes(48).hex()
                lines.append(
                    f'{kind}"{file}":{{"build":"{build}","build_number":{number},"depends":[{head}]'
                    f'{tail},"md5":"{random_bytes[:32]}","name":"{name}"'
                    f',"sha256":"{random_bytes[32:]}","size":{rng.randint(4_000, 4_000_000)}'
                    f',"subdir":"{subdir}","timestamp":{stamp},"version":"{version}"}}'.encode()
                )
    # By section and file name, as conda writes its indexes.
    lines.sort(key=lambda entry: entry[: entry.index(b'":')])
    return lines


def _next_version(rng: random.Random, major: int, minor: int, patch: int) -> tuple[int, int, int]:
    kind = rng.random()
    if kind < 0.05:
        return major + 1, 0, 0
    if kind < 0.35:
        return major, minor + 1, 0
    return major, minor, patch + 1


def _depends(rng: random.Random, pool: list[str], python: int) -> str:
    major, minor = str(python)[0], int(str(python)[1:])
    line = f"python >={major}.{minor},<{major}.{minor + 1}.0a0"
    depends = [*rng.sample(pool, rng.randint(2, len(pool))), line]
    return ",".join(f'"{item}"' for item in sorted(depends))


def index(*, records: int, seed: int, subdir: str) -> Iterator[bytes]:
    """The JSON of an index of `records` records, in pieces of one name each."""
    rng = random.Random(seed)
    count = max(1, round(records / RECORDS_PER_NAME))
    names = package_names(rng, count)
    counts = sizes(rng, count, records)
    yield f'{{"info":{{"subdir":"{subdir}"}}'.encode()
    for kind, (section, _) in enumerate(SECTIONS):
        yield f',"{section}":{{'.encode()
        marker, comma = str(kind).encode(), b""
        for name, size in zip(names, counts, strict=True):
            lines = entries(name, size, seed=seed, names=names, subdir=subdir)
            chosen = [entry[1:] for entry in lines if entry.startswith(marker)]
            if chosen:
                yield comma + b",".join(chosen)
                comma = b","
        yield b"}"
    yield b',"removed":[],"repodata_version":1}\n'


ENTRY = re.compile(rb'"([^"\\]+\.(?:conda|tar\.bz2))":(\{[^{}]*\})(,?)')


def next_day(blocks: Iterable[bytes], *, delta: float, seed: int) -> Iterator[bytes]:
    """The index `blocks` (one of ours) a day later: `delta` of its records differ.

    Of the differences 8 in 10 are new builds, 1 is a patched record, 1 a
    removed one. As in life they fall on few names, and mostly on busy ones.
    """
    rng = random.Random(seed)
    for is_entry, group in groupby(_tokens(blocks), key=lambda token: bool(token[0])):
        if not is_entry:
            yield from (text for _, text, _ in group)
            continue
        yield from _joined(_changed(group, rng, delta=delta))


def _changed(
    tokens: Iterable[tuple[str, bytes, bytes]], rng: random.Random, *, delta: float
) -> Iterator[tuple[bytes, bytes]]:
    for _, grouped in groupby(tokens, key=lambda token: token[0]):
        group = [(file, record) for _, file, record in grouped]
        # A name is touched in proportion to its size, and then several times at once.
        if rng.random() < delta * len(group) / CHANGES_PER_NAME:
            changes = min(len(group), max(CHANGES_PER_NAME, round(delta * len(group))))
            for index in sorted(rng.sample(range(len(group)), changes), reverse=True):
                _change(group, index, rng)
            group.sort()
        yield from group


def _change(group: list[tuple[bytes, bytes]], index: int, rng: random.Random) -> None:
    kind = rng.random()
    file, text = group[index]
    if kind < 0.1:
        del group[index]
        return
    record = json.loads(text)
    if kind < 0.2:
        record["depends"] = [*record["depends"], "patched-later >=1"]
        group[index] = (file, _dump(record))
        return
    build = f"h{rng.getrandbits(28):07x}_9"
    extension = ".conda" if file.endswith(b".conda") else ".tar.bz2"
    record |= {"build": build, "build_number": 9, "timestamp": record["timestamp"] + 86_400_000}
    record |= {"sha256": rng.randbytes(32).hex(), "md5": rng.randbytes(16).hex()}
    name = f"{record['name']}-{record['version']}-{build}{extension}"
    group.append((name.encode(), _dump(record)))


def _dump(record: dict[str, object]) -> bytes:
    return json.dumps(record, separators=(",", ":"), sort_keys=True).encode()


def _joined(pairs: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
    comma = b""
    for file, record in pairs:
        yield comma + b'"' + file + b'":' + record
        comma = b","


def _tokens(blocks: Iterable[bytes]) -> Iterator[tuple[str, bytes, bytes]]:
    """(package name, file, record) for each entry; ("", text, b"") for the text in between."""
    text = b""
    for block in blocks:
        text += block
        position = 0
        for match in ENTRY.finditer(text):
            if match.start() > position:
                yield "", text[position : match.start()], b""
            yield match[1].decode().rsplit("-", 2)[0], match[1], match[2]
            position = match.end()
        # An entry may go on in the next block.
        text = text[position:]
    yield "", text, b""


def compressed(pieces: Iterable[bytes], to: Path) -> int:
    """Write the pieces as zstd; returns how many bytes they had."""
    size = 0
    with to.open("wb") as file, zstandard.ZstdCompressor(level=3).stream_writer(file) as out:
        buffer: list[bytes] = []
        buffered = 0
        for piece in pieces:
            buffer.append(piece)
            buffered += len(piece)
            # A write for each name would cost more than the compression.
            if buffered > 1 << 20:
                out.write(b"".join(buffer))
                size, buffered = size + buffered, 0
                buffer.clear()
        out.write(b"".join(buffer))
    return size + buffered


def decompressed(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from zstandard.ZstdDecompressor().read_to_iter(file, write_size=1 << 20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("to", type=Path, help="the .json.zst to write")
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--subdir", default="linux-64")
    parser.add_argument("--from", dest="source", type=Path, help="make the day after this index")
    parser.add_argument("--delta", type=float, default=0.005, help="share of records that differ")
    options = parser.parse_args()
    if options.source:
        pieces = next_day(decompressed(options.source), delta=options.delta, seed=options.seed)
    else:
        pieces = index(records=options.records, seed=options.seed, subdir=options.subdir)
    size = compressed(pieces, options.to)
    packed = options.to.stat().st_size
    sys.stdout.write(f"{options.to}: {size / 1e6:.1f} MB of JSON, {packed / 1e6:.1f} MB\n")


if __name__ == "__main__":
    main()
