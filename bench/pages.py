"""Every page of the browser on a large server: time at the server and number of queries."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.mirror import environment


def bench() -> None:
    """Print a line a page."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        env = environment(Path(name) / "data", "http://127.0.0.1:9")
        # Another process, because Django reads its settings from the environment once.
        command = [sys.executable, "-m", "bench.views"]
        subprocess.run(command, check=True, env={**os.environ, **env})
