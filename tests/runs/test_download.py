"""Downloads of an active run: what is here is listed while the rest still comes."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection

from history.models import Event
from mirrors import run_control
from mirrors.models import Run
from runs import execute
from tests import invariants, scene
from tests.condatree import FakeConda
from tests.rogue import Behaviour

pytestmark = pytest.mark.django_db(transaction=True)


def test_what_is_here_is_published_while_the_rest_still_comes(
    small: FakeConda, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PUBLISH_MINUTES = 0
    monkeypatch.setattr("runs.download.POLL_SECONDS", 0.01)
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel, mirror_mode="active")
    slow = Behaviour(hold_at=10)
    small.behave(small.path("noarch", "six-1.16.0-0.conda"), slow)
    row = run_control.request_run(mirror, cause="manual", actor="admin")
    published = threading.Event()
    real = execute.publish.publish

    def told(*args: Any, **kwargs: Any) -> bool:
        done = real(*args, **kwargs)
        channel.refresh_from_db()
        rows = channel.revisions.filter(number=channel.current, files=3)
        if rows.exists():
            published.set()
        return done

    def work() -> None:
        try:
            execute.execute(row.pk, interrupted=lambda: False)
        finally:
            connection.close()

    monkeypatch.setattr(execute.publish, "publish", told)
    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    assert published.wait(60)
    assert Run.objects.get(pk=row.pk).state == "running"
    assert set(scene.listed(channel)) == {"six-1.15.0-0.tar.bz2"}
    invariants.check(channel)
    slow.release()
    worker.join(60)
    row.refresh_from_db()
    assert (row.state, row.counts["active"]) == ("completed", 4)
    generated = Event.objects.filter(type="artifact_generated", run_id=row.pk)
    assert sum(event.meta["count"] for event in generated) == 4
    invariants.check(channel)


def test_files_of_the_same_bytes_are_stored_once(small: FakeConda) -> None:
    name = small.add("noarch", "twin", "1")
    body = small._files[small.path("noarch", name)][0]
    record = small.record("noarch", name)
    small.add("noarch", "twin", "2")
    small.set(small.path("noarch", "twin-2-0.conda"), body)
    small.change(
        "noarch",
        "twin-2-0.conda",
        sha256=record["sha256"],
        md5=record["md5"],
        size=record["size"],
    )
    small.publish()
    channel = scene.channel()
    done = scene.run_now(scene.mirror(channel, small.channel, mirror_mode="active"))
    assert (done.state, done.counts["active"]) == ("completed", 6)
    invariants.check(channel)
