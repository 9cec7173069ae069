"""The style sheet and the scripts: nothing in them that no page uses."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "static"


def _used() -> str:
    """All that can name a class: templates, scripts, and what Python writes into pages."""
    files = [
        *(ROOT / "templates").rglob("*.html"),
        *STATIC.glob("*.js"),
        *(ROOT / "web").rglob("*.py"),
    ]
    return "\n".join(path.read_text("utf-8") for path in files)


def test_every_class_of_our_style_sheet_is_used_or_a_librarys() -> None:
    sheet = re.sub(r"/\*.*?\*/", "", (STATIC / "app.css").read_text("utf-8"), flags=re.DOTALL)
    selectors = " ".join(re.findall(r"([^{}]*)\{", sheet))
    names = set(re.findall(r"\.([A-Za-z][\w-]*)", selectors))
    words = set(re.findall(r"[\w-]+", _used()))
    libraries = "\n".join(path.read_text("utf-8") for path in (STATIC / "vendor").glob("*.*s*"))
    # Their level is the end of the name in the template.
    composed = {name for name in names if name.startswith(("toast-", "log-"))}
    unused = {name for name in names - words - composed if name not in libraries}
    assert unused == set()


def test_every_function_of_our_scripts_is_called() -> None:
    for path in STATIC.glob("*.js"):
        source = path.read_text("utf-8")
        names = re.findall(r"(?:function|const) (\w+)\s*(?:\(|= (?:async )?\()", source)
        for name in names:
            assert len(re.findall(rf"\b{name}\b", source)) > 1, f"{path.name}: {name}"
