"""The tool that writes the pictures of the pages works as it stands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOOKS = {
    f"sign-in.{theme}.{size}.png" for theme in ("light", "dark") for size in ("wide", "narrow")
}


@pytest.mark.usefixtures("browser_type_launch_args")
def test_a_page_is_pictured_in_every_look(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    command = (sys.executable, "tools/screenshots.py", "--to", str(pictures), "sign-in")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in pictures.iterdir()} == LOOKS
