"""The Python of CONTRIBUTING.md, run as a shell would."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mirrors.models import Run
from mirrorserver.environment import PROJECT
from tests import scene
from tests.condatree import FakeConda

pytestmark = pytest.mark.django_db(transaction=True)
BLOCKS = re.findall(
    r"^```python\n(.*?)^```", (PROJECT / "CONTRIBUTING.md").read_text(), re.MULTILINE | re.DOTALL
)


def test_the_lines_for_the_shell_show_a_run_and_do_another(
    settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeConda() as conda:
        settings.UPSTREAM_ALLOW = (conda.url,)
        conda.add("noarch", "six", "1.16.0")
        conda.publish()
        scene.run_now(scene.mirror(scene.channel(), conda.channel, "conda-forge"))
        names: dict[str, Any] = {}
        for block in BLOCKS:
            exec(block, names)
    shown = capsys.readouterr().out
    assert "'state': 'completed'" in shown
    assert "Fetching the index" in shown
    assert list(Run.objects.values_list("state", flat=True)) == ["completed", "completed"]
