"""Run a piece of work in a process of its own and say what it took."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU (user + system) and wall seconds, peak resident memory in MiB, and its answer."""

    cpu: float
    wall: float
    peak: float
    answer: dict[str, Any]
    """The JSON object that the process printed last."""


def measure(
    module: str, *args: str, env: dict[str, str] | None = None, python: Path | None = None
) -> Cost:
    """`python -m module args` (or a script of another `python`) in a process of its own.

    Its last line of output is JSON with `cpu` and `wall` of the work itself,
    without the start of the process; the peak is the whole process's.
    """
    process = subprocess.Popen(
        [str(python), module, *args] if python else [sys.executable, "-m", module, *args],
        stdout=subprocess.PIPE,
        # A peer's own log would bury the figures.
        stderr=subprocess.DEVNULL if python else None,
        env={**os.environ, **(env or {})},
        text=True,
    )
    assert process.stdout is not None
    # Before the wait: a full pipe would block the process for ever.
    output = process.stdout.read()
    # `Popen.wait` would reap the process and lose its resource usage.
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{module} {' '.join(args)} ended with {process.returncode}:\n{output}")
    answer = json.loads(output.strip().splitlines()[-1])
    return Cost(answer["cpu"], answer["wall"], usage.ru_maxrss / 1024, answer)


def folder_size(path: Path) -> int:
    """Bytes of all files below `path`."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
