"""The generated archive of advisories: as many as asked for, each of them read, and its goals."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest

from advisories.formats import osv
from bench import advisories
from bench.measure import Cost

COUNT = 500


def test_every_generated_record_is_read(tmp_path: Path) -> None:
    names = advisories.channel_names(6_400)
    advisories.archive(tmp_path / "one.zip", names, COUNT)
    advisories.archive(tmp_path / "two.zip", names, COUNT)
    with zipfile.ZipFile(tmp_path / "one.zip") as one, zipfile.ZipFile(tmp_path / "two.zip") as two:
        texts = {name: one.read(name) for name in one.namelist()}
        assert texts == {name: two.read(name) for name in two.namelist()}
    assert len(texts) == COUNT
    reports = [osv.parse(text) for text in texts.values()]
    assert 0 < sum(report.malware for report in reports) < COUNT / 10
    listed = {affected.name for report in reports for affected in report.affected} & set(names)
    assert listed, "the channel has affected packages"


def test_each_step_says_whether_its_goal_is_met(capsys: pytest.CaptureFixture[str]) -> None:
    costs = {
        "limit": Cost(1.0, 1.0, 0.0, {}),
        "full publication": Cost(10.0, 1.0, 0.0, {}),
        "import the archive": Cost(3.1, 1.0, 0.0, {"result": "5 added"}),
        "one advisory": Cost(0.9, 1.0, 0.0, {"files": "7 files listed"}),
    }
    advisories.show(costs)
    lines = capsys.readouterr().out.splitlines()
    assert any(re.search(r"^import the archive .* goal <= 3: missed$", line) for line in lines)
    assert any(re.search(r"^one advisory .* goal <= 0\.1: met$", line) for line in lines)
