"""REST: the runs of a mirror, their counts, lists and logs, previews and reasons."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mirrors.models import Mirror
from runs import preview
from tests import scene
from tests.condatree import FakeConda
from tests.rogue import Behaviour
from tests.web.client import Api, message, person

pytestmark = pytest.mark.django_db

SOURCE = "https://mirror.example.org/conda/main"
COMMON = {
    "source_root", "state", "last_run_at", "created_at", "updated_at", "cron", "sync_state",
    "proxy", "filters", "last_success_at", "next_run_at", "held", "warnings",
}  # fmt: skip
MIRRORS = "/channels/main/mirrors"


@pytest.fixture
def api() -> Api:
    api = Api(person("admin"))
    api.post("/channels", {"name": "main"})
    return api


def body(name: str = "m", **fields: Any) -> dict[str, Any]:
    """The body that the vendor's client sends."""
    return {
        "mirror_name": name,
        "source_root": SOURCE,
        "mirror_mode": "passive",
        "mirror_type": "conda",
        "cron": "0 0 * * *",
        "filters": {},
        "run_now": False,
        "proxy": None,
        **fields,
    }


@pytest.fixture
def conda(settings: object) -> Iterator[FakeConda]:
    with FakeConda() as server:
        settings.UPSTREAM_ALLOW = (server.url,)  # type: ignore[attr-defined]
        server.add("noarch", "six", "1.16.0", license="MIT")
        server.add("noarch", "six", "1.15.0", ext=".tar.bz2")
        server.add("linux-64", "readline", "8.2", license="GPL-3.0-only")
        server.publish()
        yield server


@pytest.mark.django_db(transaction=True)
class TestRuns:
    @pytest.fixture
    def address(self, api: Api, conda: FakeConda) -> str:
        """A mirror that leaves out what is GPL3, after one run."""
        made = body(source_root=conda.channel, filters={"exclude_licenses": ["gpl3"]})
        api.post(MIRRORS, made)
        scene.run_now(Mirror.objects.get(name="m"))
        return f"{MIRRORS}/m"

    def test_a_mirror_shows_what_its_run_did_and_names_what_it_left_out(
        self, api: Api, address: str
    ) -> None:
        shown = api.get(address)[1]
        assert shown["state"] == "completed"
        assert shown["last_run_at"]
        assert shown["last_success_at"]
        state = shown["sync_state"]
        assert (state["current_step_number"], state["current_step_percentage"]) == (8, 100)
        assert state["current_step_description"] == "Finish"
        count = state["count"]
        assert count["mirror_filtered"]["license"] == 1
        kept = count["active"] + count["passive"] + count["failed"]
        left_out = scene.filtered(count)
        assert kept + left_out == count["listed"] == 3
        assert state["logs"]["mirror_filtered"]["license"] == ["readline-8.2-0.conda"]
        listed = api.get(MIRRORS)[1]["items"][0]
        assert listed["sync_state"]["count"] == count
        assert set(listed) == set(shown)

    def test_runs_are_listed_with_their_counts_files_and_log(self, api: Api, address: str) -> None:
        runs = api.get(f"{address}/runs")[1]
        assert (runs["total_count"], runs["items"][0]["number"]) == (1, 1)
        assert [step["number"] for step in runs["items"][0]["steps"]] == list(range(1, 9))
        run = api.get(f"{address}/runs/1")[1]
        assert run["state"] == "completed"
        assert run["sync_state"]["logs"]["mirror_filtered"]["license"] == ["readline-8.2-0.conda"]
        files = api.get(f"{address}/runs/1/files?reason=mirror.license")[1]
        assert [one["filename"] for one in files["items"]] == ["readline-8.2-0.conda"]
        assert files["next_offset"] is None
        page = api.get(f"{address}/runs/1/files?limit=2")[1]
        assert (len(page["items"]), page["next_offset"]) == (2, 2)
        log = api.get(f"{address}/log")[1]
        assert log["run"] == 1
        assert log == api.get(f"{address}/runs/1/log")[1]
        for path in ("runs/2", "runs/2/files", "runs/2/log"):
            assert message(api.get(f"{address}/{path}"))[0] == 404
        assert message(api.get(f"{address}/runs/0"))[0] == 422

    def test_why_tells_of_each_file_who_left_it_out(self, api: Api, address: str) -> None:
        answers = api.get("/channels/main/why?q=readline")[1]["items"]
        assert [(one["kept"], one["by"], one["rule"]) for one in answers] == [
            (False, "mirror", "license")
        ]
        kept = api.get("/channels/main/why?q=six-1.16.0-0.conda")[1]["items"]
        assert [(one["filename"], one["kept"]) for one in kept] == [("six-1.16.0-0.conda", True)]
        assert api.get("/channels/main/why?q=nothing")[1]["items"] == []
        assert api.get("/channels/main/why?q=")[1]["items"] == []
        assert message(api.get("/channels/main/why"))[0] == 422

    def test_a_preview_is_accepted_worked_out_and_seen_by_its_asker_only(
        self, api: Api, address: str, conda: FakeConda
    ) -> None:
        asked = {"channel": "main", "mirror": "m", "filters": {}}
        status, begun = api.post("/mirrors/preview", asked)
        assert (status, begun["state"]) == (202, "pending")
        preview.execute(begun["id"], interrupted=lambda: False)
        status, done = api.get(f"/mirrors/preview/{begun['id']}")
        assert (status, done["state"], done["error"]) == (200, "completed", None)
        assert done["result"]["count"]["passive"] == 3
        other = Api(person("anna", "author"))
        assert message(other.get(f"/mirrors/preview/{begun['id']}"))[0] == 404
        assert api.get(address)[1]["filters"]["exclude_licenses"]
        new = body("new", source_root=conda.channel, channel="main")
        assert api.post("/mirrors/preview", new)[0] == 202

    def test_a_preview_is_cancelled(self, api: Api, conda: FakeConda) -> None:
        begun = api.post("/mirrors/preview", body(source_root=conda.channel, channel="main"))[1]
        assert api.delete(f"/mirrors/preview/{begun['id']}") == (204, None)
        assert api.get(f"/mirrors/preview/{begun['id']}")[1]["state"] == "cancelled"
        assert message(api.get("/mirrors/preview/0"))[0] == 404

    def test_a_form_that_cannot_be_saved_has_no_preview(self, api: Api, conda: FakeConda) -> None:
        for change, field in (
            ({"filters": {"date_to": "x"}}, "filters.date_to"),
            ({"source_root": "https://elsewhere.example.net"}, "source_root"),
            ({"source_root": None}, "source_root"),
            ({"mirror_mode": "lazy"}, "mirror_mode"),
        ):
            sent = {**body(source_root=conda.channel, channel="main"), **change}
            status, answer = api.post("/mirrors/preview", sent)
            assert status == 422
            assert set(answer["error"]["fields"]) == {field}
        assert message(api.post("/mirrors/preview", body(channel="nothing")))[0] == 404
        assert message(api.post("/mirrors/preview", body()))[0] == 422

    def test_testing_a_connection_tells_what_is_there(self, api: Api, conda: FakeConda) -> None:
        status, found = api.post("/mirrors/test", {"source_root": conda.channel})
        assert status == 200
        assert found["type"] == "conda"
        assert {"noarch", "linux-64"} == {one["name"] for one in found["sections"]}
        assert (found["found_type"], found["source_root"]) == ("conda", None)
        assert (
            message(api.post("/mirrors/test", {"source_root": "https://no.example.net"}))[0] == 422
        )
        nothing = api.post("/mirrors/test", {"source_root": f"{conda.url}/nothing"})[1]
        assert nothing["sections"] == []
        conda.behave("*", Behaviour(status=403))
        assert message(api.post("/mirrors/test", {"source_root": conda.channel}))[0] == 502
