"""Records that are invalid are counted and named, with the reason, in every type of mirror."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import LazySettings

from channels.models import Channel
from mirrors.models import Mirror, Snapshot
from publishing import explain
from runs import excluded_names
from tests import scene
from tests.condatree import FakeConda
from tests.crantree import FakeCran
from tests.simpletree import FakeSimple
from tests.upstream import FakeUpstream
from web.api import mirror_schemas

pytestmark = pytest.mark.django_db(transaction=True)

CONDA_ODD = "libxgboost-0.6+218_omp_0.tar.bz2"
CONDA_WRONG = "foo-1.0-0.tar.bz2"
CONDA_UNREADABLE = "%-1.0-0.conda"
PYTHON_ADDRESS = "ftp://files.example.org/good.tar.gz"
"""A file that lies nowhere that can be asked; one without a hash is `unhashed`, not invalid."""


def conda() -> tuple[FakeUpstream, str, str, list[str], Callable[[], None]]:
    """An upstream, its address, its type, files left out, and what adds a good package."""
    server = FakeConda()
    server.add("noarch", "good", "1.0")
    for name in (CONDA_ODD, CONDA_WRONG, CONDA_UNREADABLE):
        record = server.record("noarch", "good-1.0-0.conda")
        server._records["noarch"][name] = record | {"name": name.split("-")[0], "build": "1"}
    server.publish()

    def more() -> None:
        server.add("noarch", "more", "1.0")
        server.publish()

    return server, server.channel, "conda", [CONDA_ODD, CONDA_WRONG, CONDA_UNREADABLE], more


def python() -> tuple[FakeUpstream, str, str, list[str], Callable[[], None]]:
    server = FakeSimple()
    server.add_sdist("good", "1.0")
    odd = server.add_raw("good", "good-1.1.tar.gz", b"odd", url=PYTHON_ADDRESS)
    server.publish()

    def more() -> None:
        server.add_sdist("more", "1.0")
        server.publish()

    return server, server.index, "python_simple", [odd], more


def cran() -> tuple[FakeUpstream, str, str, list[str], Callable[[], None]]:
    server = FakeCran()
    server.add("good", "1.0")
    odd = server.add("odd", "1.0", md5=False, extra="MD5sum: nothing\n")
    server.publish()

    def more() -> None:
        server.add("more", "1.0")
        server.publish()

    return server, server.repository, "CRAN", [odd], more


class Stage:
    """A mirror that ran once."""

    def __init__(self, made: tuple[FakeUpstream, str, str, list[str], Callable[[], None]]) -> None:
        self.server, self._address, self._kind, self.files, self.more = made

    def begin(self, settings: LazySettings) -> None:
        settings.UPSTREAM_ALLOW = (self.server.url,)
        self.channel: Channel = scene.channel()
        body: dict[str, Any] = {"mirror_mode": "active", "mirror_type": self._kind}
        self.mirror: Mirror = scene.mirror(self.channel, self._address, **body)
        self.run = scene.run_now(self.mirror)
        assert self.run.state == "completed", self.run.error


@pytest.fixture(params=[conda, python, cran], ids=["conda", "python", "cran"])
def stage(request: pytest.FixtureRequest, settings: LazySettings) -> Iterator[Stage]:
    made = Stage(request.param())
    with made.server:
        made.begin(settings)
        yield made


def warned(mirror: Mirror) -> str:
    mirror.refresh_from_db()
    return " ".join(str(text) for text in mirror_schemas.mirror_item(mirror)["warnings"])


def test_what_is_invalid_is_a_warning_with_names_and_reasons(stage: Stage) -> None:
    text = warned(stage.mirror)
    for filename in stage.files:
        assert filename in text
    assert "invalid and left out" in text
    log = " ".join(stage.run.log.values_list("text", flat=True))
    assert all(filename in log for filename in stage.files)


def test_the_mirrors_log_names_what_is_invalid(stage: Stage) -> None:
    kept = excluded_names.stored(stage.run)["mirror_filtered"]["invalid"]
    assert sorted(kept) == sorted(stage.files)
    assert stage.run.counts["mirror_filtered"]["invalid"] == len(stage.files)


def test_why_answers_for_what_is_invalid_whatever_its_name(stage: Stage) -> None:
    for filename in stage.files:
        answers = explain.why(stage.channel, filename).items
        assert [(one["filename"], one["rule"]) for one in answers] == [(filename, "invalid")]
        assert answers[0]["detail"]


def test_an_update_still_tells_of_what_has_not_changed(stage: Stage) -> None:
    before = warned(stage.mirror)
    stage.more()
    assert scene.run_now(stage.mirror).state == "completed"
    assert Snapshot.objects.filter(accepted__mirror=stage.mirror).exists()
    assert warned(stage.mirror) == before


def test_a_mirror_of_an_own_channel_has_nothing_to_leave_out(
    stage: Stage, settings: LazySettings
) -> None:
    second = scene.channel("second")
    kind = stage.mirror.kind
    prefix = {"CRAN": "/cran", "python_simple": "/simple"}.get(kind, "")
    source = f"{settings.PUBLIC_URL}/api/repo/{stage.channel.path}{prefix}"
    mirror = scene.mirror(second, source, mirror_mode="passive", mirror_type=kind)
    assert scene.run_now(mirror).state == "completed"
    assert "left out" not in warned(mirror)


def broken(stage: Stage) -> None:
    """Every record of the upstream turns into one that nobody can read."""
    server = stage.server
    if isinstance(server, FakeConda):
        server.change("noarch", "good-1.0-0.conda", build="other")
    elif isinstance(server, FakeSimple):
        server.add_sdist("good", "1.0", url=PYTHON_ADDRESS)
    elif isinstance(server, FakeCran):
        server.add("good", "1.0", md5=False, extra="MD5sum: nothing\n")
    server.publish()  # type: ignore[attr-defined]


def test_an_upstream_whose_records_all_turn_invalid_is_held(
    stage: Stage, settings: LazySettings
) -> None:
    settings.GUARD_MIN = 0
    before = Channel.objects.get(pk=stage.channel.pk).current
    broken(stage)
    run = scene.run_now(stage.mirror)
    assert run.state == "completed"
    [held] = run.held.values()
    assert "is empty now; it listed 1 files." in held["reason"]
    assert "more are listed and invalid" in held["reason"]
    assert Channel.objects.get(pk=stage.channel.pk).current == before


def test_records_that_were_invalid_before_are_no_loss_for_the_guard(
    stage: Stage, settings: LazySettings
) -> None:
    settings.GUARD_MIN = 0
    server = stage.server
    if isinstance(server, FakeConda):
        for filename in stage.files:
            server.unlist("noarch", filename)
    elif isinstance(server, FakeSimple):
        server.add_sdist("good", "1.1")
    elif isinstance(server, FakeCran):
        server.add("odd", "1.0")
    server.publish()  # type: ignore[attr-defined]
    assert scene.run_now(stage.mirror).held == {}
