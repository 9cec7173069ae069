"""bandersnatch 6.8 on the index of `bench.python`, in a virtual environment of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.measure import Cost, measure
from bench.python_index import CHANGED, FIRST_SERIAL, PROJECTS

VENV = Path("var/bench-peers/bandersnatch")
# Its own main program, with the time of the work itself: the start of Python does not count.
PROGRAM = r"""
import json, pathlib, sys, time
from bandersnatch.main import main
_, config, home = sys.argv
began = time.process_time(), time.monotonic()
sys.argv = ["bandersnatch", "-c", config, "mirror"]
main()
cost = {"cpu": time.process_time() - began[0], "wall": time.monotonic() - began[1]}
pages = sum(1 for _ in pathlib.Path(home).glob("web/simple/*/index.html"))
print(json.dumps({**cost, "pages": pages}))
"""


def measure_bandersnatch(folder: Path, url: str) -> Cost:
    """bandersnatch 6.8 on the same 500 changed projects, pages only."""
    python = VENV / "bin" / "python"
    # A file, because a folder is also there when an installation was interrupted.
    if not (VENV / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        pip = [str(python), "-m", "pip", "install", "-qq", "bandersnatch==6.8.0"]
        subprocess.run(pip, check=True)
        (VENV / "installed").touch()
    home = folder / "bandersnatch"
    home.mkdir()
    # As after a whole pass: all but the changed projects have a serial at or below this one.
    (home / "generation").write_text("5")
    (home / "status").write_text(str(FIRST_SERIAL + PROJECTS))
    config = folder / "bandersnatch.conf"
    config.write_text(
        f"[mirror]\ndirectory = {home}\nmaster = {url}\nallow-non-https = true\n"
        "api-method = simple\nrelease-files = false\njson = false\nworkers = 3\ntimeout = 60\n"
        "hash-index = false\nstop-on-error = false\nlog-level = error\n"
        # Without it the list of projects is written anew from a walk over all folders.
        "simple-format = ALL\n"
    )
    script = folder / "peer.py"
    script.write_text(PROGRAM)
    cost = measure(str(script), str(config), str(home), python=python.absolute())
    if cost.answer["pages"] != CHANGED:
        raise SystemExit(f"bandersnatch wrote {cost.answer['pages']} pages of {CHANGED}")
    return cost
