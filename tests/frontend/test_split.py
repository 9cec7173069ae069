"""The page cuts pasted lists as the server does, in one pass."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from playwright._impl._driver import compute_driver_executable

from web.pages.spec_lists import split

APP = Path(__file__).resolve().parents[2] / "static" / "app.js"
TEXTS = (
    "a,b,c", "numpy >=1,<2, scipy", "a[x,y],b", "a], b, c[", "a, b], c", ",,a,,", "a,  3", "",
    "a b\nc,d;e", "a[b,c], d >=1,<2 [x,", "p*, q", "x ,y , z",
)  # fmt: skip
SECONDS = 60


def in_the_page(script: str) -> str:
    """What `script` prints, with the page's own `split`."""
    code = APP.read_text()
    own = code[code.index("const MAX_TAGS") : code.index("// Tom Select names")]
    node = compute_driver_executable()[0]
    command = [node, "--input-type=module", "-e", f"{own}\n{script}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=SECONDS)
    return done.stdout


def test_the_page_and_the_server_cut_alike() -> None:
    script = f"console.log(JSON.stringify({json.dumps(TEXTS)}.map(split)))"
    assert json.loads(in_the_page(script)) == [split(text) for text in TEXTS]


def test_the_page_reads_a_pasted_line_of_any_length() -> None:
    """240 kB of `a,a,a` took 22 s; a quadratic reader does not end here."""
    script = "console.log(split('a,'.repeat(1_000_000)).length, split(', '.repeat(500_000)).length)"
    assert in_the_page(script).split() == ["1000000", "0"]
