"""An error of this server's own code: people read an id, the log has the rest."""

from __future__ import annotations

import re
from typing import Any

import pytest

from accounts.caller import Caller
from channels import internal_errors
from channels.models import Publication
from mirrors.models import LogLine, Run
from publishing import publish
from runs import execute, preview, preview_result
from tests import scene

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "SELECT password FROM /data/secret"
SOURCE = "http://127.0.0.1:9/conda"
WORDS = re.compile(r"Internal error ([0-9a-f]{8})\. An administrator finds it in the log .*")


@pytest.fixture(autouse=True)
def _upstreams(settings: Any) -> None:
    settings.UPSTREAM_ALLOW = ("http://127.0.0.1:*",)


def broken(*_: Any, **__: Any) -> Any:
    raise KeyError(SECRET)


def check(text: str, caplog: pytest.LogCaptureFixture, what: str) -> None:
    """The text tells an id only; one line of the log has the id and the error."""
    found = WORDS.fullmatch(text)
    assert found, text
    lines = [one for one in caplog.records if found[1] in one.getMessage()]
    assert [one.getMessage() for one in lines] == [f"Internal error {found[1]} ended {what}"]
    assert lines[0].exc_info
    assert SECRET in str(lines[0].exc_info[1])


def test_a_run(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(execute.accept_snapshots, "check_source", broken)
    ended = scene.run_now(scene.mirror(scene.channel(), SOURCE))
    assert ended.state == "failed"
    check(ended.error, caplog, f"run {ended.pk}")
    assert SECRET not in str(list(LogLine.objects.values_list("text", flat=True)))


def test_a_preview(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(preview_result, "check_source", broken)
    body = {"mirror_name": "m", "source_root": SOURCE}
    row = preview.begin(scene.channel(), body, asker=Caller(scene.admin()))
    preview.execute(row.pk, interrupted=lambda: False)
    row.refresh_from_db()
    assert row.state == "failed"
    check(row.error, caplog, f"preview {row.pk}")


def test_a_publication(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    channel = scene.channel()
    channel.request_publication()
    monkeypatch.setattr(publish, "gather", broken)
    with pytest.raises(KeyError):
        publish.publish(channel, stop=lambda: None)
    row = Publication.objects.latest("pk")
    assert row.state == "failed"
    check(row.error, caplog, f"publication {row.pk}")


def test_a_run_and_its_publication_tell_the_same_id_once(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(KeyError) as caught:
        broken()
    first = internal_errors.report(caught.value, "publication 1")
    assert internal_errors.report(caught.value, "run 2") == first
    check(first, caplog, "publication 1")


def test_what_an_upstream_or_the_disk_says_is_told_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: Any) -> None:
        raise internal_errors.NoSpace("needs 7 bytes")

    monkeypatch.setattr(execute.accept_snapshots, "check_source", full)
    scene.run_now(scene.mirror(scene.channel(), SOURCE))
    assert Run.objects.get().error == "needs 7 bytes"
