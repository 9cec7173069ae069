"""How the list of projects of a Simple index is asked for, read and trusted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from channels.models import Channel
from mirrors import services
from mirrors.models import Mirror, Run
from runs.execute import execute
from tests import scene
from tests.rogue import Behaviour, failing
from tests.runs.test_python import ask, files, mirror, page, projects, simple
from tests.simpletree import JSON_TYPE, FakeSimple

__all__ = ["simple"]

pytestmark = pytest.mark.django_db(transaction=True)

ALL: dict[str, Any] = {"filters": {}, "mirror_mode": "active"}
SOME: dict[str, Any] = {"filters": {"only_specs": ["n*", "s*"]}, "mirror_mode": "active"}
PASSIVE: dict[str, Any] = {"filters": {}, "mirror_mode": "passive"}
NAMED: dict[str, Any] = {"filters": {"projects": ["six"]}, "mirror_mode": "passive"}


def ran(what: Mirror) -> Run:
    run = scene.run_now(what)
    assert (run.state, run.error) == ("completed", "")
    return run


def log(run: Run) -> str:
    return "\n".join(line.text for line in run.log.all())


class TestUnchangedIsPerScope:
    @pytest.mark.parametrize("serials", [None, {"six": 5, "numpy": 5, "other": 5}])
    @pytest.mark.parametrize("first", [ALL, SOME, PASSIVE, NAMED])
    @pytest.mark.parametrize("second", [ALL, SOME, PASSIVE])
    def test_a_second_mirror_of_an_unchanged_list_has_its_own_part(
        self,
        simple: FakeSimple,
        first: dict[str, Any],
        second: dict[str, Any],
        serials: dict[str, int] | None,
    ) -> None:
        simple.serials = serials
        simple.publish()
        ran(mirror(scene.channel("one"), simple, **first))
        channel = scene.channel("two")
        ran(mirror(channel, simple, **second))
        every = ["numpy", "other", "six"]
        assert projects(channel) == (["numpy", "six"] if second is SOME else every)

    def test_an_edited_filter_counts_though_the_list_is_unchanged(self, simple: FakeSimple) -> None:
        channel = scene.channel()
        what = mirror(channel, simple, **PASSIVE)
        ran(what)
        services.edit(what, {"filters": SOME["filters"]}, actor="admin")
        pending = what.runs.get(state="pending")
        execute(pending.pk, interrupted=lambda: False)
        pending.refresh_from_db()
        assert (pending.state, pending.error) == ("completed", "")
        assert projects(channel) == ["numpy", "six"]


class TestSerials:
    def add(self, simple: FakeSimple) -> None:
        simple.add_wheel("six", "1.17.0")
        simple.publish()

    @pytest.mark.parametrize(
        "serials", [{"six": 7, "numpy": 7, "other": 7}, {"six": 5, "numpy": 6, "other": 7}]
    )
    def test_serials_that_never_rise_hide_no_change(
        self, simple: FakeSimple, serials: dict[str, int]
    ) -> None:
        simple.serials = serials
        simple.publish()
        channel = scene.channel()
        what = mirror(channel, simple, **ALL)
        ran(what)
        self.add(simple)
        simple.forget()
        run = ran(what)
        assert "six-1.17.0-py3-none-any.whl" in files(channel, "six")
        asked = [one for one in simple.requests() if one.path == simple.page("numpy")]
        assert ["if-none-match" in one.headers for one in asked] == [True]
        assert "asked for conditionally" in log(run)

    def test_a_withdrawn_release_goes_though_the_serial_is_constant(
        self, simple: FakeSimple
    ) -> None:
        simple.serials = dict.fromkeys(("six", "numpy", "other"), 1_000_000_000)
        simple.publish()
        channel = scene.channel()
        what = mirror(channel, simple, **ALL)
        ran(what)
        simple.drop("six", "six-1.15.0.tar.gz")
        simple.publish()
        ran(what)
        assert files(channel, "six") == ["six-1.16.0-py3-none-any.whl"]

    def test_serials_that_rise_are_trusted_and_the_log_says_so(self, simple: FakeSimple) -> None:
        simple.serials = {"six": 5, "numpy": 6, "other": 7}
        simple.publish()
        channel = scene.channel()
        what = mirror(channel, simple, **ALL)
        ran(what)
        for serial in (8, 9):
            simple.serials["six"] = serial
            simple.add_wheel("six", f"1.{serial}")
            simple.publish()
            simple.forget()
            run = ran(what)
            asked = [one.path for one in simple.requests() if one.path.startswith("/simple/")]
            assert sorted(asked) == ["/simple/", "/simple/six/"]
            assert "whose serial has changed" in log(run)
        assert "six-1.9-py3-none-any.whl" in files(channel, "six")

    def test_serials_of_pages_alone_do_not_vouch_for_an_unchanged_list(
        self, simple: FakeSimple
    ) -> None:
        """A tree made by a mirror tool states serials in its pages, not in its list."""
        for name in ("six", "numpy", "other"):
            state_serial(simple, name, "5")
        channel = scene.channel()
        what = mirror(channel, simple, **ALL)
        ran(what)
        simple.add_wheel("six", "1.17.0")
        simple.publish("six")
        state_serial(simple, "six", "6")
        ran(what)
        assert "six-1.17.0-py3-none-any.whl" in files(channel, "six")


def state_serial(simple: FakeSimple, name: str, serial: Any) -> None:
    """Have a project's page state its serial."""
    found = json.loads(simple.entry_bytes(simple.page(name)))
    found["meta"]["_last-serial"] = serial
    text = json.dumps(found).encode()
    simple.set(simple.page(name), text, content_type=JSON_TYPE, last_modified=None)


class TestForms:
    @pytest.mark.parametrize("status", [404, 406])
    def test_html_is_asked_for_where_json_is_refused(self, simple: FakeSimple, status: int) -> None:
        simple.behave(simple.root, Behaviour(status=status, times=1))
        channel = scene.channel()
        ran(mirror(channel, simple, **ALL))
        assert projects(channel) == ["numpy", "other", "six"]
        accepts = [one.headers["accept"] for one in simple.requests() if one.path == simple.root]
        assert "+json" in accepts[0]
        assert accepts[-1] == "text/html"

    def test_a_page_may_be_an_index_file_in_a_store_of_files(self, simple: FakeSimple) -> None:
        for name in ("six", "numpy", "other"):
            text = simple.entry_bytes(simple.page(name))
            simple.remove(simple.page(name))
            simple.set(f"{simple.page(name)}index.html", text, content_type=JSON_TYPE)
        links = "".join(f'<a href="{n}/index.html">{n}</a>' for n in ("six", "numpy", "other"))
        simple.set(simple.root, f"<html>{links}</html>".encode(), content_type="text/html")
        channel = scene.channel()
        ran(mirror(channel, simple, **ALL))
        assert files(channel, "six") == ["six-1.15.0.tar.gz", "six-1.16.0-py3-none-any.whl"]

    @pytest.mark.parametrize("mode", ["active", "passive"])
    @pytest.mark.parametrize(
        "welcome",
        [
            '<a href="/simple/">here</a> <a href="/packages/">packages</a> <a href="/in">in</a>',
            "Welcome",
        ],
    )
    def test_a_welcome_page_leads_on_to_the_index(
        self, simple: FakeSimple, mode: str, welcome: str
    ) -> None:
        simple.set("/", f"<html>{welcome}</html>".encode(), content_type="text/html")
        channel = scene.channel()
        what = scene.mirror(
            channel, simple.url, mirror_type="python_simple", mirror_mode=mode, filters={}
        )
        ran(what)
        assert projects(channel) == ["numpy", "other", "six"]

    def test_a_welcome_page_without_an_index_fails_in_words(self, simple: FakeSimple) -> None:
        simple.set("/web/", b"<html><a href='/a'>b</a></html>", content_type="text/html")
        what = scene.mirror(
            scene.channel(), f"{simple.url}/web/", mirror_type="python_simple", filters={}
        )
        run = scene.run_now(what)
        assert run.state == "failed"
        assert "no list of projects" in run.error


class TestWarnings:
    def warnings(self, channel: Channel) -> list[str]:
        (what,) = Mirror.objects.filter(channel=channel)
        return [
            text
            for one in what.accepted.select_related("snapshot")
            for text in one.snapshot.warnings
        ]

    def test_a_second_host_of_files_is_named(self, simple: FakeSimple) -> None:
        url = "http://files.example.invalid/six-3.0-py3-none-any.whl"
        simple.add_wheel("six", "3.0", url=url)
        simple.publish()
        channel = scene.channel()
        ran(mirror(channel, simple))
        (text,) = self.warnings(channel)
        assert "http://files.example.invalid" in text
        assert "UPSTREAM_ALLOW" in text

    def test_an_odd_address_on_an_allowed_host_is_no_other_host(self, simple: FakeSimple) -> None:
        simple.add_wheel("six", "3.0", url=f"{simple.url}/a b/six-3.0-py3-none-any.whl")
        simple.publish()
        channel = scene.channel()
        ran(mirror(channel, simple))
        assert self.warnings(channel) == []

    def test_metadata_that_is_no_metadata_gives_way_to_the_wheels_own_and_is_told(
        self, simple: FakeSimple
    ) -> None:
        name = simple.add_wheel("six", "3.0")
        own = simple.listing("six", name)["core-metadata"]
        digest = simple.listing("six", name)["hashes"]["sha256"]
        simple.listing("six", name)["core-metadata"] = {"sha256": digest}
        simple.publish()
        channel = scene.channel()
        ran(mirror(channel, simple, mirror_mode="active"))
        listed = {one["filename"]: one for one in page(channel, "six")["files"]}
        assert listed[name]["core-metadata"] == own != {"sha256": digest}
        served = ask(channel, f"/six/{name}.metadata")
        assert served.body == simple.bytes_at(simple.path(f"{name}.metadata"))
        assert any(name in text for text in self.warnings(channel))

    @pytest.mark.parametrize(
        "fault", [failing(403), Behaviour(body=b"<html>", headers=[("Content-Type", "text/html")])]
    )
    def test_a_page_that_is_denied_or_broken_is_named_by_its_project(
        self, simple: FakeSimple, fault: Behaviour
    ) -> None:
        simple.behave(f"{simple.root}six/", fault)
        channel = scene.channel()
        what = mirror(channel, simple, **ALL)
        ran(what)
        assert projects(channel) == ["numpy", "other"]
        (text,) = self.warnings(channel)
        assert text.startswith("The page of six cannot be had now: ")

    def test_entries_that_are_no_projects_are_counted_and_named(self, simple: FakeSimple) -> None:
        listed = {"projects": [{"name": "six"}, {"name": "-odd-"}, {"name": None}]}
        simple.set(simple.root, json.dumps(listed).encode(), content_type=JSON_TYPE)
        channel = scene.channel()
        ran(mirror(channel, simple, **PASSIVE))
        assert projects(channel) == ["six"]
        (text,) = self.warnings(channel)
        assert text.startswith("2 entries")
        assert "-odd-" in text
