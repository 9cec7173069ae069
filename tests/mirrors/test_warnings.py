"""What a mirror says without being asked, in the API and on the screens."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from ecosystems.sentences import first_names
from mirrors import warnings
from mirrors.models import LogLine, Mirror, Snapshot
from tests import scene
from tests.condatree import FakeConda
from tests.rogue import failing
from tests.web.client import person
from web.api import mirror_schemas

pytestmark = pytest.mark.django_db(transaction=True)


def shown(mirror: Mirror) -> dict[str, Any]:
    return mirror_schemas.mirror_item(Mirror.objects.get(pk=mirror.pk))


def page(path: str) -> str:
    client = Client()
    client.force_login(person("admin"))
    return client.get(path).content.decode()


def test_names_in_a_sentence_are_few_and_the_rest_is_counted() -> None:
    assert first_names(["a", "b"]) == "a, b"
    assert first_names(list("abcde")) == "a, b, c and 2 more"
    assert first_names(["a"], 1234) == "a and 1,233 more"
    assert len(first_names(["x" * 5000])) < 200


def test_a_run_with_failed_files_is_completed_with_errors(small: FakeConda) -> None:
    channel = scene.channel("main")
    mirror = scene.mirror(channel, small.channel, mirror_mode="active")
    small.behave(small.path("linux-64", "zlib-1.3-0.conda"), failing(404))
    run = scene.run_now(mirror)
    assert (run.state, run.outcome) == ("completed", "errors")
    shape = shown(mirror)
    assert (shape["state"], shape["outcome"]) == ("completed", "errors")
    assert "1 file could not be downloaded: zlib-1.3-0.conda." in shape["warnings"]
    for path in ("/", "/channels/main/mirrors/", f"/channels/main/mirrors/{mirror.pk}/"):
        assert "Completed with errors" in page(path), path
    assert mirror.name in page("/").partition("Needs attention")[2]
    assert mirror.name in page("/channels/main/mirrors/?state=errors")
    assert mirror.name not in page("/channels/main/mirrors/?state=completed").partition("<tbody")[2]


def test_a_run_that_gets_nothing_at_all_says_so(small: FakeConda) -> None:
    mirror = scene.mirror(scene.channel("main"), small.channel, mirror_mode="active")
    for subdir in ("noarch", "linux-64"):
        for name in small.records(subdir):
            small.behave(small.path(subdir, name), failing(404))
    assert scene.run_now(mirror).outcome == "errors"
    assert "None of the 4 files that the upstream lists is mirrored." in shown(mirror)["warnings"]


def test_an_ended_hold_is_no_outcome_any_more(small: FakeConda) -> None:
    mirror = scene.mirror(scene.channel("main"), small.channel)
    assert shown(mirror)["outcome"] is None
    scene.run_now(mirror)
    assert shown(mirror)["outcome"] == "ok"
    for name in list(small.records("noarch")):
        small.unlist("noarch", name)
    small.publish()
    scene.run_now(mirror)
    assert shown(mirror)["outcome"] == "held"


def test_a_chosen_platform_that_never_was_is_told_on_the_mirror(small: FakeConda) -> None:
    mirror = scene.mirror(
        scene.channel("main"), small.channel, filters={"subdirs": ["noarch", "win-64"]}
    )
    scene.run_now(mirror)
    text = "The upstream has never had win-64, which the mirror asks for."
    assert text in shown(mirror)["warnings"]
    assert text in page("/channels/main/mirrors/")
    # A run that finds nothing new says it all the same.
    scene.run_now(mirror)
    assert text in shown(mirror)["warnings"]


def test_an_upstream_without_noarch_is_told_on_the_mirror(settings: Any) -> None:
    with FakeConda() as server:
        settings.UPSTREAM_ALLOW = (server.url,)
        server.add("linux-64", "zlib", "1.3")
        server.publish()
        mirror = scene.mirror(scene.channel("main"), server.channel)
        scene.run_now(mirror)
    assert "The upstream has no noarch; it is published empty." in shown(mirror)["warnings"]


def test_what_is_odd_about_an_index_is_in_the_warnings_and_in_the_log(small: FakeConda) -> None:
    mirror = scene.mirror(scene.channel("main"), small.channel)
    scene.run_now(mirror)
    Snapshot.objects.filter(section="noarch").update(warnings=["2 records are odd: a, b."])
    run = scene.run_now(mirror)
    assert warnings.of(mirror) == ["noarch: 2 records are odd: a, b."]
    assert LogLine.objects.filter(run=run, level="warning", text__contains="are odd").exists()
