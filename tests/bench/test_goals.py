"""Every goal of a bench says whether it is met."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import bench
from bench import goals, mirror
from bench.measure import Cost


def test_a_goal_says_its_bound_and_whether_it_is_met() -> None:
    assert goals.at_most(1.5, 1.5) == "goal <= 1.5: met"
    assert goals.at_most(201, 200, " ms") == "goal <= 200 ms: missed"
    assert goals.at_least(1000, 1000) == "goal >= 1,000: met"
    assert goals.at_least(0.24, 0.25) == "goal >= 0.25: missed"


def test_a_step_beside_its_limit_says_whether_its_goal_is_met(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = {"rows": {"shards": 1}}
    costs = {
        "limit": Cost(1.0, 1.0, 0.0, {}),
        "first run": Cost(7.9, 8.0, 100.0, rows),
        "0.5 % changed": Cost(3.1, 3.0, 100.0, rows),
    }
    mirror.show(100, costs, Cost(0.0, 0.0, 0.0, {"start": 0.5, "rows": {"shards": 0}}))
    lines = capsys.readouterr().out.splitlines()
    assert any(re.search(r"^first run .* goal <= 8: met$", line) for line in lines)
    assert any(re.search(r"^0\.5 % changed .* goal <= 3: missed$", line) for line in lines)


def test_no_bench_shows_a_goal_in_other_words() -> None:
    for path in Path(bench.__file__).parent.glob("*.py"):
        shown = re.findall(r"goal [<>]=", path.read_text())
        assert not shown, f"{path.name} shows a goal without saying whether it is met"
