"""Mirrors of a Simple index, from its pages to what clients see."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from channels import services as channel_manage
from channels.models import Blob, Channel, Package, Revision, Shard
from history.models import Event
from mirrors import services, source_urls, warnings
from mirrors.models import Mirror, Snapshot
from runs import preview
from runs.execute import execute
from tests import scene
from tests.rogue import Behaviour, failing
from tests.simpletree import FakeSimple
from tests.upstream import FakeUpstream
from tests.wsgi import Answer, Client, packages

pytestmark = pytest.mark.django_db(transaction=True)

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"
NAMES = {"projects": ["six", "numpy"]}
WHEEL = "six-1.16.0-py3-none-any.whl"
SDIST = "six-1.15.0.tar.gz"


@pytest.fixture
def simple(settings: Any) -> Iterator[FakeSimple]:
    with FakeSimple() as server:
        settings.UPSTREAM_ALLOW = (server.url,)
        server.add_wheel("six", "1.16.0", requires_python=">=3.8")
        server.add_sdist("six", "1.15.0", yanked="broken")
        server.add_wheel("numpy", "2.0", requires=("six",), license="GPL-3.0-only")
        server.add_wheel("other", "1.0")
        server.publish()
        yield server


def mirror(channel: Channel, simple: FakeSimple, **body: Any) -> Mirror:
    body.setdefault("filters", NAMES)
    return scene.mirror(channel, simple.index, mirror_type="python_simple", **body)


def ask(channel: Channel, path: str, accept: str = JSON, method: str = "GET") -> Answer:
    address = f"/api/repo/{channel.path}/simple{path}"
    return Client(packages).ask(method, address, {"accept": accept})


def page(channel: Channel, project: str) -> dict[str, Any]:
    answer = ask(channel, f"/{project}/")
    assert answer.status == 200, answer.body
    assert answer.headers["Content-Type"] == JSON
    found: dict[str, Any] = json.loads(answer.body)
    return found


def files(channel: Channel, project: str) -> list[str]:
    return [file["filename"] for file in page(channel, project)["files"]]


def projects(channel: Channel) -> list[str]:
    return [one["name"] for one in json.loads(ask(channel, "/").body)["projects"]]


class TestListOfProjects:
    def test_a_passive_mirror_asks_for_the_pages_of_its_projects_only(
        self, simple: FakeSimple
    ) -> None:
        channel = scene.channel()
        run = scene.run_now(mirror(channel, simple))
        assert (run.state, run.error) == ("completed", "")
        assert sorted(r.path for r in simple.requests()) == ["/simple/numpy/", "/simple/six/"]
        assert run.counts["passive"] == run.counts["listed"] == 3
        assert files(channel, "six") == [SDIST, WHEEL]
        assert projects(channel) == ["numpy", "six"]

    def test_an_active_run_brings_files_and_their_metadata(self, simple: FakeSimple) -> None:
        channel = scene.channel()
        run = scene.run_now(mirror(channel, simple, mirror_mode="active"))
        assert (run.state, run.error) == ("completed", "")
        assert run.counts["active"] == run.counts["listed"] == 3
        simple.forget()
        for path in (f"/six/{WHEEL}", f"/six/{SDIST}", f"/six/{WHEEL}.metadata"):
            assert ask(channel, path).status == 200
        assert simple.count() == 0

    @pytest.mark.parametrize("fault", [failing(500), failing(503, retry_after="90"), failing(404)])
    def test_metadata_that_cannot_be_had_comes_out_of_its_wheel(
        self, simple: FakeSimple, fault: Behaviour
    ) -> None:
        path = simple.path(f"{WHEEL}.metadata")
        text = simple.bytes_at(path)
        simple.behave(path, fault)
        channel = scene.channel()
        run = scene.run_now(mirror(channel, simple, mirror_mode="active"))
        assert (run.state, run.counts["active"], run.counts["failed"]) == ("completed", 3, 0)
        assert page(channel, "six")["files"][1]["core-metadata"]
        assert ask(channel, f"/six/{WHEEL}.metadata").body == text

    @pytest.mark.parametrize("mode", ["active", "passive"])
    @pytest.mark.parametrize("lists", [True, False])
    def test_files_of_a_quarantined_project_are_refused_at_their_addresses(
        self, simple: FakeSimple, mode: str, lists: bool
    ) -> None:
        channel = scene.channel()
        what = mirror(channel, simple, mirror_mode=mode)
        scene.run_now(what)
        paths = [f"/six/{WHEEL}", f"/six/{SDIST}", f"/six/{WHEEL}.metadata"]
        assert [ask(channel, path).status for path in paths] == [200] * 3
        simple.status["six"] = {"status": "quarantined"}
        for filename in () if lists else (WHEEL, SDIST):
            simple.drop("six", filename)
        simple.publish()
        assert scene.run_now(what).state == "completed"
        assert [ask(channel, path).status for path in paths] == [404] * 3
        assert files(channel, "numpy")

    def test_pages_are_asked_for_conditionally_and_nothing_new_writes_nothing(
        self, simple: FakeSimple
    ) -> None:
        channel = scene.channel()
        what = mirror(channel, simple)
        scene.run_now(what)

        def rows() -> list[int]:
            models = (Shard, Package, Revision, Blob, Snapshot)
            return [model.objects.count() for model in models]

        before = rows()
        simple.forget()
        run = scene.run_now(what)
        assert run.state == "completed"
        assert all("if-none-match" in one.headers for one in simple.requests())
        assert rows() == before
        assert run.counts["listed"] == 3

    def test_one_changed_page_changes_one_package(self, simple: FakeSimple) -> None:
        channel = scene.channel()
        what = mirror(channel, simple)
        scene.run_now(what)
        simple.add_wheel("six", "1.17.0")
        simple.publish("six")
        scene.run_now(what)
        channel.refresh_from_db()
        assert channel.revisions.get(number=channel.current).added == 1
        assert "six-1.17.0-py3-none-any.whl" in files(channel, "six")

    def test_a_project_that_does_not_exist_is_told_and_the_others_are_mirrored(
        self, simple: FakeSimple
    ) -> None:
        channel = scene.channel()
        run = scene.run_now(mirror(channel, simple, filters={"projects": ["six", "nowhere"]}))
        assert run.state == "completed"
        assert any("no project nowhere" in line.text for line in run.log.all())
        assert projects(channel) == ["six"]

    def test_no_project_at_all_is_no_index(self, simple: FakeSimple) -> None:
        run = scene.run_now(mirror(scene.channel(), simple, filters={"projects": ["nowhere"]}))
        assert run.state == "failed"
        assert "no index" in run.error

    def test_a_page_that_fails_stays_as_it_was_and_is_asked_for_again(
        self, simple: FakeSimple, settings: Any
    ) -> None:
        channel = scene.channel()
        what = mirror(channel, simple)
        scene.run_now(what)
        simple.add_wheel("six", "1.17.0")
        simple.add_wheel("numpy", "2.1")
        simple.publish()
        simple.behave(simple.page("six"), Behaviour(status=403))
        run = scene.run_now(what)
        assert run.state == "completed"
        assert any("denies access" in line.text for line in run.log.all())
        assert len(files(channel, "six")) == 2
        assert len(files(channel, "numpy")) == 2
        simple.behave(simple.page("six"))
        scene.run_now(what)
        assert len(files(channel, "six")) == 3

    def test_an_upstream_that_fails_for_all_fails_the_run(self, simple: FakeSimple) -> None:
        channel = scene.channel()
        what = mirror(channel, simple)
        scene.run_now(what)
        simple.behave("*", Behaviour(status=403))
        assert scene.run_now(what).state == "failed"
        assert files(channel, "six") == [SDIST, WHEEL]

    def test_mirrors_with_different_lists_of_one_source_do_not_disturb_each_other(
        self, simple: FakeSimple
    ) -> None:
        one, two = scene.channel("one"), scene.channel("two")
        first = mirror(one, simple)
        second = mirror(two, simple, filters={"projects": ["other"]})
        scene.run_now(first)
        scene.run_now(second)
        scene.run_now(first)
        assert (projects(one), projects(two)) == (["numpy", "six"], ["other"])

    def test_a_shorter_list_is_no_shrunken_upstream(self, simple: FakeSimple) -> None:
        for number in range(60):
            simple.add_wheel("many", f"{number}.0")
        simple.publish()
        channel = scene.channel()
        what = mirror(channel, simple, filters={"projects": ["six", "many"]})
        scene.run_now(what)
        services.edit(what, {"filters": {"projects": ["six"]}}, actor="admin")
        # Another part of the index is asked for, so a run begins by itself.
        run = what.runs.get(state="pending")
        execute(run.pk, interrupted=lambda: False)
        run.refresh_from_db()
        assert (run.state, run.held) == ("completed", {})
        assert projects(channel) == ["six"]

    def test_a_longer_list_brings_the_new_projects_at_once(self, simple: FakeSimple) -> None:
        channel = scene.channel()
        what = mirror(channel, simple)
        scene.run_now(what)
        simple.forget()
        edited = {"filters": {"projects": ["six", "numpy", "other"]}}
        services.edit(what, edited, actor="admin")
        execute(what.runs.get(state="pending").pk, interrupted=lambda: False)
        assert projects(channel) == ["numpy", "other", "six"]
        known = [one.path for one in simple.requests() if "if-none-match" in one.headers]
        assert sorted(known) == ["/simple/numpy/", "/simple/six/"]

    def test_a_page_that_lost_most_of_its_files_is_held(self, simple: FakeSimple) -> None:
        for number in range(60):
            simple.add_wheel("many", f"{number}.0")
        simple.publish()
        channel = scene.channel()
        what = mirror(channel, simple, filters={"projects": ["many"]})
        scene.run_now(what)
        for number in range(50):
            simple.drop("many", f"many-{number}.0-py3-none-any.whl")
        simple.publish()
        assert "shrank" in scene.run_now(what).held["simple"]["reason"]
        assert len(files(channel, "many")) == 60


class TestWholeIndex:
    def test_an_active_mirror_without_a_list_takes_every_project(self, simple: FakeSimple) -> None:
        channel = scene.channel()
        run = scene.run_now(mirror(channel, simple, mirror_mode="active", filters={}))
        assert (run.state, run.error) == ("completed", "")
        assert projects(channel) == ["numpy", "other", "six"]

    def test_only_projects_with_a_new_serial_are_asked_for(self, simple: FakeSimple) -> None:
        simple.serials = {"six": 1, "numpy": 2, "other": 3}
        simple.publish()
        channel = scene.channel()
        what = mirror(channel, simple, mirror_mode="active", filters={})
        scene.run_now(what)
        simple.serials["six"] = 4
        simple.add_wheel("six", "1.17.0")
        simple.publish()
        simple.forget()
        scene.run_now(what)
        pages = [one.path for one in simple.requests() if one.path.startswith("/simple/")]
        assert sorted(pages) == ["/simple/", "/simple/six/"]
        assert "six-1.17.0-py3-none-any.whl" in files(channel, "six")

    def test_a_page_older_than_the_list_says_is_not_taken(self, simple: FakeSimple) -> None:
        simple.serials = {"six": 1, "numpy": 2, "other": 3}
        simple.publish()
        channel = scene.channel()
        what = mirror(channel, simple, mirror_mode="active", filters={})
        scene.run_now(what)
        simple.serials = {**simple.serials, "numpy": 9}
        old = simple.page("numpy")
        before = simple.entry_bytes(old)
        simple.publish()
        simple.set(old, before, content_type=JSON)
        run = scene.run_now(what)
        assert any("older than the list" in line.text for line in run.log.all())
        assert files(channel, "numpy") == ["numpy-2.0-py3-none-any.whl"]

    def test_a_pattern_asks_for_the_projects_it_fits(self, simple: FakeSimple) -> None:
        channel = scene.channel()
        scene.run_now(mirror(channel, simple, mirror_mode="active", filters={"only_specs": ["s*"]}))
        assert projects(channel) == ["six"]
        assert simple.count("/simple/numpy/") == 0

    def test_a_project_that_left_the_list_leaves_the_channel(self, simple: FakeSimple) -> None:
        channel = scene.channel()
        what = mirror(channel, simple, mirror_mode="active", filters={})
        scene.run_now(what)
        simple.drop("other")
        simple.publish()
        scene.run_now(what)
        assert projects(channel) == ["numpy", "six"]


class TestUpstreamForms:
    def test_an_html_index_says_the_same(self, settings: Any) -> None:
        with FakeSimple(html=True) as old:
            settings.UPSTREAM_ALLOW = (old.url,)
            old.add_wheel("six", "1.16.0", requires_python=">=3.8,<4")
            old.add_sdist("six", "1.15.0", yanked='broken & "bad"')
            old.publish()
            channel = scene.channel()
            run = scene.run_now(mirror(channel, old, mirror_mode="active", filters={}))
            assert (run.state, run.error, run.counts["active"]) == ("completed", "", 2)
            sdist, wheel = page(channel, "six")["files"]
            assert wheel["requires-python"] == ">=3.8,<4"
            assert sdist["yanked"] == 'broken & "bad"'
            assert wheel["core-metadata"]["sha256"]
            assert page(channel, "six")["meta"] == {"api-version": "1.0"}

    def test_files_on_another_host_are_fetched_from_there(self, settings: Any) -> None:
        with FakeUpstream() as host, FakeSimple(files_at=host) as simple:
            settings.UPSTREAM_ALLOW = (simple.url, host.url)
            simple.add_wheel("six", "1.16.0")
            simple.publish()
            channel = scene.channel()
            scene.run_now(mirror(channel, simple))
            assert ask(channel, f"/six/{WHEEL}").status == 200
            assert host.count(f"/packages/{WHEEL}") == 1

    def test_files_on_a_host_that_is_not_allowed_are_refused(self, settings: Any) -> None:
        with FakeUpstream() as host, FakeSimple(files_at=host) as simple:
            settings.UPSTREAM_ALLOW = (simple.url,)
            simple.add_wheel("six", "1.16.0")
            simple.publish()
            channel = scene.channel()
            run = scene.run_now(mirror(channel, simple, filters={"projects": ["six"]}))
            assert any(host.url in line.text for line in run.log.all())
            assert ask(channel, f"/six/{WHEEL}").status == 502
            assert host.count() == 0

    def test_a_web_page_in_place_of_a_project_is_refused(self, simple: FakeSimple) -> None:
        login = b"<html><form><a href='/help'>Help</a> Please log in</form></html>"
        simple.set("/simple/six/", login, content_type="text/html")
        run = scene.run_now(mirror(scene.channel(), simple, filters={"projects": ["six"]}))
        assert run.state == "failed"
        assert "web page" in run.error

    def test_the_index_is_found_in_the_folder_simple_too(self, simple: FakeSimple) -> None:
        channel = scene.channel()
        what = scene.mirror(channel, simple.url, mirror_type="python_simple", filters=NAMES)
        assert scene.run_now(what).state == "completed"
        assert projects(channel) == ["numpy", "six"]

    def test_another_channel_of_this_server_can_be_mirrored(
        self, simple: FakeSimple, settings: Any
    ) -> None:
        first, second = scene.channel("first"), scene.channel("second")
        scene.run_now(mirror(first, simple))
        source = f"{settings.PUBLIC_URL}/api/repo/first/simple"
        what = scene.mirror(second, source, mirror_type="python_simple", mirror_mode="active")
        run = scene.run_now(what)
        assert (run.state, run.error, run.counts["active"]) == ("completed", "", 3)
        assert page(second, "six") == page(first, "six")
        assert ask(second, f"/six/{WHEEL}.metadata").status == 200


class TestWhatIsRefused:
    def test_files_without_a_hash_are_refused_and_counted(self, simple: FakeSimple) -> None:
        """M04."""
        simple.add_wheel("six", "2.0", hashes={})
        simple.add_wheel("six", "2.1", hashes={"sha512": "0" * 64})
        simple.publish()
        channel = scene.channel()
        run = scene.run_now(mirror(channel, simple))
        assert run.counts["mirror_filtered"] == {"unhashed": 2}
        assert run.counts["passive"] + scene.filtered(run.counts) == run.counts["listed"]
        assert files(channel, "six") == [SDIST, WHEEL]

    def test_md5_is_enough_where_there_is_nothing_better(self, simple: FakeSimple) -> None:
        content = b"plain old egg"
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        simple.add_raw("six", "six-1.0.zip", content, hashes={"md5": md5})
        simple.publish()
        channel = scene.channel()
        scene.run_now(mirror(channel, simple))
        assert ask(channel, "/six/six-1.0.zip").body == content

    def test_of_two_spellings_of_one_file_the_second_is_refused(self, simple: FakeSimple) -> None:
        """M02."""
        simple.add_raw("six", "SIX-1.15.0.tar.gz", b"twin")
        simple.publish()
        run = scene.run_now(mirror(scene.channel(), simple))
        assert run.counts["mirror_filtered"] == {"invalid": 1}

    @pytest.mark.parametrize(
        "filename",
        ["seven-1.0.tar.gz", "six-one.tar.gz", "six.whl", "six-1.0.txt", "../six-1.0.tar.gz"],
    )
    def test_file_names_of_other_projects_or_of_nothing_are_refused(
        self, simple: FakeSimple, filename: str
    ) -> None:
        """M02."""
        simple.add_raw("six", filename, b"x")
        simple.publish()
        run = scene.run_now(mirror(scene.channel(), simple))
        assert run.counts["mirror_filtered"] == {"invalid": 1}

    def test_one_bad_entry_costs_no_other(self, simple: FakeSimple) -> None:
        simple.add_wheel("six", "3.0", url=3)
        simple.publish()
        channel = scene.channel()
        run = scene.run_now(mirror(channel, simple))
        assert run.counts["mirror_filtered"] == {"invalid": 1}
        assert files(channel, "six") == [SDIST, WHEEL]

    def test_wrong_bytes_are_a_failure_and_never_listed(self, simple: FakeSimple) -> None:
        simple.set(simple.path(WHEEL), b"x" * simple.listing("six", WHEEL)["size"])
        channel = scene.channel()
        run = scene.run_now(mirror(channel, simple, mirror_mode="active"))
        assert run.counts["failed"] == 1
        assert files(channel, "six") == [SDIST]

    def test_wrong_metadata_is_not_passed_on(self, simple: FakeSimple) -> None:
        simple.set(simple.path(f"{WHEEL}.metadata"), b"Name: evil\n")
        channel = scene.channel()
        scene.run_now(mirror(channel, simple))
        assert ask(channel, f"/six/{WHEEL}.metadata").status == 502

    def test_metadata_without_a_hash_is_not_offered(self, simple: FakeSimple) -> None:
        simple.listing("six", WHEEL)["core-metadata"] = True
        simple.publish()
        channel = scene.channel()
        scene.run_now(mirror(channel, simple))
        assert "core-metadata" not in page(channel, "six")["files"][1]
        assert ask(channel, f"/six/{WHEEL}.metadata").status == 404


class TestFilters:
    def kept(self, simple: FakeSimple, **filters: Any) -> set[str]:
        channel = scene.channel(f"c{Channel.objects.count()}")
        run = scene.run_now(mirror(channel, simple, filters={**NAMES, **filters}))
        assert (run.state, run.error) == ("completed", "")
        assert run.counts["passive"] + scene.filtered(run.counts) == run.counts["listed"]
        return {name for project in projects(channel) for name in files(channel, project)}

    def test_specs_are_names_and_pep_440_versions(self, simple: FakeSimple) -> None:
        numpy = "numpy-2.0-py3-none-any.whl"
        assert self.kept(simple, projects=[], only_specs=["six<1.16"]) == {SDIST}
        assert self.kept(simple, exclude_specs=["SIX ==1.15.*"]) == {WHEEL, numpy}
        assert self.kept(simple, exclude_specs=["n*"]) == {WHEEL, SDIST}
        assert self.kept(simple, exclude_specs=["*"], include_specs=["numpy>=1"]) == {numpy}

    def test_dates_are_upload_times(self, simple: FakeSimple) -> None:
        simple.add_wheel("six", "1.17.0", **{"upload-time": "2025-05-05T00:00:00Z"})
        simple.add_wheel("six", "1.18.0", **{"upload-time": None})
        simple.publish()
        assert self.kept(simple, date_from="2024-01-01") == {"six-1.17.0-py3-none-any.whl"}

    def test_licenses_come_from_the_metadata_once_a_release(self, simple: FakeSimple) -> None:
        simple.add_wheel("six", "1.17.0", expression="AGPL-3.0-only")
        gnu = "License :: OSI Approved :: GNU General Public License v3 (GPLv3)"
        simple.add_wheel("six", "1.18.0", license=None, classifiers=[gnu])
        simple.publish()
        channel = scene.channel()
        filters = {**NAMES, "exclude_licenses": ["GPL3", "AGPL"]}
        what = mirror(channel, simple, filters=filters)
        run = scene.run_now(what)
        assert run.counts["mirror_filtered"] == {"license": 3}
        assert projects(channel) == ["six"]
        assert files(channel, "six") == [SDIST, WHEEL]
        simple.add_wheel("six", "1.19.0")
        simple.publish()
        simple.forget()
        scene.run_now(what)
        asked = [one.path for one in simple.requests() if one.path.endswith(".metadata")]
        assert asked == ["/packages/six-1.19.0-py3-none-any.whl.metadata"]

    def test_without_license_rules_no_metadata_is_asked_for(self, simple: FakeSimple) -> None:
        self.kept(simple, exclude_specs=["n*"])
        assert not [one for one in simple.requests() if one.path.endswith(".metadata")]

    def test_a_channels_rules_are_read_in_the_words_of_each_type(self, simple: FakeSimple) -> None:
        channel = scene.channel(filters={"exclude_specs": ["six~=1.16", "numpy=2=py_0"]})
        run = scene.run_now(mirror(channel, simple))
        assert run.counts["channel_filtered"] == {"exclude_specs": 1}
        assert files(channel, "six") == [SDIST]

    def test_why_tells_the_rule(self, simple: FakeSimple) -> None:
        channel = scene.channel()
        scene.run_now(mirror(channel, simple, filters={**NAMES, "exclude_specs": ["six<1.16"]}))
        answer = ask(channel, f"/six/{SDIST}")
        assert answer.status == 404
        assert "six<1.16" in answer.detail

    def test_a_deleted_mirror_takes_its_packages_with_it(self, simple: FakeSimple) -> None:
        channel = scene.channel()
        what = mirror(channel, simple)
        scene.run_now(what)
        services.delete(what, actor="admin")
        scene.publish(channel)
        assert ask(channel, "/six/").status == 404
        assert ask(channel, "/").status == 404


class TestOnDemand:
    """A passive mirror without a list of projects."""

    @pytest.fixture
    def channel(self, simple: FakeSimple) -> Channel:
        channel = scene.channel()
        self.mirror = mirror(channel, simple, filters={"exclude_specs": ["other", "six<1.16"]})
        run = scene.run_now(self.mirror)
        assert (run.state, run.error) == ("completed", "")
        channel.refresh_from_db()
        return channel

    def test_it_lists_the_names_that_the_rules_let_through(
        self, simple: FakeSimple, channel: Channel
    ) -> None:
        assert [one.path for one in simple.requests()] == ["/simple/"]
        assert projects(channel) == ["numpy", "six"]
        assert not Package.objects.filter(shard__isnull=False).exists()

    def test_what_is_odd_about_a_page_is_logged_and_told_by_the_next_run(
        self, simple: FakeSimple, channel: Channel, caplog: pytest.LogCaptureFixture
    ) -> None:
        simple.listing("six", WHEEL)["url"] = "https://files.example/six.whl"
        simple.publish()
        assert files(channel, "six") == [WHEEL]
        words = "Files lie on https://files.example"
        assert any(words in line for line in caplog.messages)
        assert not any(words in text for text in warnings.of(self.mirror))
        scene.run_now(self.mirror)
        assert any(words in text for text in warnings.of(self.mirror))

    def test_the_first_request_makes_a_page_a_part_of_the_current_revision(
        self, simple: FakeSimple, channel: Channel
    ) -> None:
        before, events = channel.current, Event.objects.count()
        assert files(channel, "six") == [WHEEL]
        assert files(channel, "six") == [WHEEL]
        channel.refresh_from_db()
        assert (channel.current, Event.objects.count()) == (before, events)
        assert simple.count("/simple/six/") == 1
        row = Package.objects.get(name="six")
        assert (row.added_in, row.files) == (before, 1)
        assert row.tally == {str(self.mirror.pk): {"passive": 1, "mirror.exclude_specs": 1}}
        assert ask(channel, f"/six/{WHEEL}").status == 200

    def test_a_file_may_be_asked_for_before_its_page(
        self, simple: FakeSimple, channel: Channel
    ) -> None:
        assert ask(channel, f"/six/{WHEEL}.metadata").status == 200

    def test_it_is_kept_fresh_from_then_on(self, simple: FakeSimple, channel: Channel) -> None:
        assert files(channel, "six") == [WHEEL]
        simple.add_wheel("six", "1.17.0")
        simple.publish()
        simple.forget()
        scene.run_now(self.mirror)
        assert {one.path for one in simple.requests()} == {"/simple/", "/simple/six/"}
        assert files(channel, "six") == [WHEEL, "six-1.17.0-py3-none-any.whl"]

    def test_it_outlives_an_edit_of_the_rules(self, simple: FakeSimple, channel: Channel) -> None:
        assert files(channel, "six") == [WHEEL]
        services.edit(self.mirror, {"filters": {"exclude_specs": ["numpy"]}}, actor="admin")
        scene.publish(channel)
        assert files(channel, "six") == [SDIST, WHEEL]
        assert projects(channel) == ["other", "six"]
        assert simple.count("/simple/six/") == 1

    def test_a_project_that_left_the_upstream_leaves_the_channel(
        self, simple: FakeSimple, channel: Channel
    ) -> None:
        assert files(channel, "six") == [WHEEL]
        simple.drop("six")
        simple.publish()
        scene.run_now(self.mirror)
        assert projects(channel) == ["numpy"]
        assert ask(channel, "/six/").status == 404

    def test_names_that_are_not_listed_or_left_out_cost_no_request(
        self, simple: FakeSimple, channel: Channel
    ) -> None:
        simple.forget()
        assert ask(channel, "/nowhere/").status == 404
        status = page(channel, "other")["project-status"]
        assert "excluded spec other" in status["reason"]
        assert simple.count() == 0

    def test_a_page_that_cannot_be_had_is_a_502_and_asked_for_again_later(
        self, simple: FakeSimple, channel: Channel
    ) -> None:
        simple.behave("/simple/six/", Behaviour(status=403))
        assert ask(channel, "/six/").status == 502
        simple.behave("/simple/six/")
        assert files(channel, "six") == [WHEEL]

    def test_a_frozen_channel_shows_what_had_been_uploaded_by_then(
        self, simple: FakeSimple, channel: Channel
    ) -> None:
        channel_manage.freeze(channel, actor="admin")
        simple.add_wheel("six", "9.0", **{"upload-time": "2099-01-01T00:00:00Z"})
        simple.publish()
        assert files(channel, "six") == [WHEEL]
        channel_manage.unfreeze(channel, actor="admin")
        scene.publish(channel)
        assert files(channel, "six") == [WHEEL, "six-9.0-py3-none-any.whl"]

    def test_an_older_state_shows_what_had_been_uploaded_by_then(
        self, simple: FakeSimple, channel: Channel
    ) -> None:
        old = channel.current
        assert files(channel, "numpy") == ["numpy-2.0-py3-none-any.whl"]
        simple.add_wheel("six", "9.0", **{"upload-time": "2099-01-01T00:00:00Z"})
        simple.add_wheel("numpy", "2.1")
        simple.publish()
        scene.run_now(self.mirror)
        channel.refresh_from_db()
        assert channel.current > old
        then = Client(packages).get(f"/api/repo/{channel.path}.r{old}/simple/six/", accept=JSON)
        assert [one["filename"] for one in json.loads(then.body)["files"]] == [WHEEL]
        assert files(channel, "six") == [WHEEL, "six-9.0-py3-none-any.whl"]
        first = f"/api/repo/{channel.path}.r1/simple/six/"
        assert Client(packages).get(first, accept=JSON).status == 404

    def test_license_rules_ask_for_the_metadata_of_that_project_only(
        self, simple: FakeSimple
    ) -> None:
        channel = scene.channel("licensed")
        scene.run_now(mirror(channel, simple, filters={"exclude_licenses": ["GPL3"]}))
        assert page(channel, "numpy")["files"] == []
        asked = [one.path for one in simple.requests() if one.path.endswith(".metadata")]
        assert asked == ["/packages/numpy-2.0-py3-none-any.whl.metadata"]

    def test_a_preview_says_what_is_unknown_until_asked(self, simple: FakeSimple) -> None:
        channel = scene.channel("previewed")
        source = source_urls.parse_source(
            simple.index, into=channel, owner=scene.admin(), actor=None
        )
        upstream = source_urls.upstream_for("python_simple", source, "")
        asked = preview.request(
            channel, upstream=upstream, mode="passive", terms={}, asker=scene.admin()
        )
        preview.execute(asked.pk, interrupted=lambda: False)
        asked.refresh_from_db()
        assert asked.state == "completed", asked.error
        assert any("unknown until asked" in text for text in asked.result["warnings"])
