"""Past runs, the lists behind their counts, exports and logs."""

from __future__ import annotations

import csv
import io
import json

import pytest

from channels.models import Channel
from mirrors.models import Failure, Run
from tests import scene
from tests.condatree import FakeConda
from tests.rogue import failing
from tests.web.pages.mirror_pages import TAB, browser, text

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("allowed")]


def test_exports_keep_formulas_from_spreadsheets(channel: Channel, conda: FakeConda) -> None:
    mirror = scene.mirror(channel, conda.channel, "m")
    run = scene.run_now(mirror)
    Failure.objects.create(
        run=run, section="noarch", filename="=cmd|' /C calc'!A0", message="+1 \x1b[31mred"
    )
    client = browser()
    answer = client.get(f"{TAB}{mirror.pk}/runs/1/files.csv?reason=failed")
    table = list(csv.reader(io.StringIO(answer.getvalue().decode())))
    assert table[0] == ["section", "file", "outcome", "detail", "size"]
    assert table[1][1].startswith("'=cmd")
    assert table[1][3].startswith("'+1 ")
    assert "\x1b" not in table[1][3]
    whole = client.get(f"{TAB}{mirror.pk}/runs/1/files.json")
    assert len(json.loads(whole.getvalue())) == 3
    assert json.loads(client.get(f"{TAB}{mirror.pk}/runs/1/files.json?reason=x").getvalue()) == []
    log = client.get(f"{TAB}{mirror.pk}/runs/1/log.txt").getvalue().decode()
    assert "Fetching the index" in log


def test_lists_that_are_not_kept_any_more_say_so(channel: Channel, conda: FakeConda) -> None:
    mirror = scene.mirror(channel, conda.channel, "m")
    run = scene.run_now(mirror)
    Run.objects.filter(pk=run.pk).update(snapshots={"noarch": 999_999})
    client = browser()
    assert "no longer kept" in text(client.get(f"{TAB}{mirror.pk}/runs/1/files/"))
    assert client.get(f"{TAB}{mirror.pk}/runs/1/files.csv").status_code == 404


def test_past_runs_show_what_failed_in_them_and_what_was_held(
    channel: Channel, conda: FakeConda
) -> None:
    lost = conda.path("noarch", "six-1.16.0-0.conda")
    conda.behave(lost, failing(404))
    mirror = scene.mirror(channel, conda.channel, "m", mirror_mode="active")
    scene.run_now(mirror)
    for name in ("six-1.16.0-0.conda", "copied-1.0-0.conda"):
        conda.unlist("noarch", name)
    conda.publish()
    scene.run_now(mirror)
    for page in (f"{TAB}{mirror.pk}/runs/", f"{TAB}{mirror.pk}/runs/1/"):
        shown = text(browser().get(page))
        # The run of the page itself has a badge too.
        own = int(page.endswith("/1/"))
        assert shown.count("Completed with errors") >= 1 + own
        assert shown.count(" Held</span>") == 1
