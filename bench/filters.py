"""The longest lists of specs that a filter may have: what saving one costs."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.mirror import environment


def bench() -> None:
    """Print a line a list."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        env = environment(Path(name) / "data", "http://127.0.0.1:9")
        command = [sys.executable, "-m", "bench.saving"]
        subprocess.run(command, check=True, env={**os.environ, **env})
