"""No test is skipped by chance: the reasons are those of `tests.machine`, and CI knows fewer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import machine

ROOT = Path(__file__).resolve().parent
_SKIPS = re.compile(r"\b(?:skip(?:if|If|Test|Unless)?|xfail|importorskip)\s*\(|mark\.skip\b")


def test_only_one_module_skips_tests() -> None:
    others = set(ROOT.rglob("*.py")) - {Path(__file__), ROOT / "machine.py"}
    assert [str(path) for path in sorted(others) if _SKIPS.search(path.read_text())] == []


def test_what_the_machine_lacks_skips_here_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = "no-such-program-here"
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=f"{missing} is not installed"):
        machine.program(missing)
    monkeypatch.setenv("CI", "1")
    with pytest.raises(pytest.fail.Exception, match=f"{missing} is not installed"):
        machine.program(missing)
    assert machine.program("sh").endswith("/sh")
