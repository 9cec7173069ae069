"""Disks that are small or full, for tests of what then happens."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from tests.condatree import FakeConda

BIG = "big-1-0.conda"


def fill(disk: Path) -> Path:
    """Leave no byte free."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            pass
    return filler


def enlarge(conda: FakeConda, size: int) -> None:
    """A fifth file, of random bytes."""
    conda.add("noarch", "big", "1")
    body = os.urandom(size)
    digest = hashlib.sha256(body).hexdigest()
    conda.change("noarch", BIG, sha256=digest, md5=None, size=size)
    conda.set(conda.path("noarch", BIG), body)
    conda.publish()
