"""N14: an index that decodes to far more than it weighs costs little memory and is refused.

Each is read by a process of its own, whose peak memory is what the kernel says of it.
"""

from __future__ import annotations

import bz2
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

MIB = 1 << 20
SIZE = 320 * MIB
CAP = 256 * MIB
MOST = CAP
"""Of the whole process: a reader that holds the decoded text is above."""

READ = """
import re, sys
from pathlib import Path
from ecosystems.errors import BadIndex
from ecosystems.progress import never_stop
from ecosystems.conda.repodata import read
from ecosystems.upstream import open_decoded

path, kind, cap, work = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
try:
    read(open_decoded(path, kind, cap=cap), subdir="noarch", work=work, stop=never_stop)
    print("taken")
except BadIndex as error:
    print(error)
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""

RECORD = b'{"packages":{"a-1-0.tar.bz2":{"name":'
TOO_MUCH = f"The index decodes to more than {CAP} bytes."
TOO_LONG = "The index holds a record of more than 64 MB."
BOMBS = {
    "spaces": (b'{"info":{}', b" ", TOO_MUCH),
    "spaces in a record": (RECORD, b" ", TOO_LONG),
    "one text at the top": (b'{"other":"', b"x", TOO_LONG),
    "one number": (RECORD, b"1", TOO_LONG),
}


def pieces(head: bytes, filler: bytes) -> Iterator[bytes]:
    yield head
    for _ in range(SIZE // MIB):
        yield filler * MIB


def packed(path: Path, kind: str, head: bytes, filler: bytes) -> Path:
    """The bomb as an upstream sends it."""
    if kind == "bz2":
        # Streams one after another are one file: the same one again costs no work.
        path.write_bytes(bz2.compress(head) + bz2.compress(filler * 8 * MIB) * (SIZE // MIB // 8))
        return path
    packer = zstandard.ZstdCompressor(level=1).compressobj()
    with path.open("wb") as file:
        for piece in pieces(head, filler):
            file.write(packer.compress(piece))
        file.write(packer.flush())
    return path


@pytest.mark.parametrize("kind", ["zst", "bz2"])
@pytest.mark.parametrize("bomb", BOMBS)
def test_N14_a_bomb_is_refused_within_bounded_memory(tmp_path: Path, bomb: str, kind: str) -> None:
    head, filler, why = BOMBS[bomb]
    path = packed(tmp_path / "bomb", kind, head, filler)
    assert path.stat().st_size < MIB
    command = [sys.executable, "-c", READ, str(path), kind, str(CAP), str(tmp_path)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    found, peak = answer.stdout.splitlines()
    assert found == why
    assert int(peak) << 10 < MOST
