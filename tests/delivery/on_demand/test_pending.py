"""Those who wait for a file: who takes over, and what is cleaned up."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import pytest
from django.db import connections

from channels.lease import HOST, LivenessMonitor
from channels.models import Channel, Fetch
from delivery.on_demand import pending
from tests.delivery.on_demand.files import (
    BIG,
    PATIENT_SECONDS,
    in_thread,
    left_behind,
    run_clients,
)
from tests.rogue import Behaviour
from tests.upstream import FakeUpstream

pytestmark = pytest.mark.django_db(transaction=True)


def test_p01_when_the_leader_is_killed_one_who_waits_takes_over(
    tools: Channel, upstream: FakeUpstream, data: Path
) -> None:
    behaviour = Behaviour(hold_at=1000, times=1)
    upstream.behave(f"/noarch/{BIG.filename}", behaviour)
    connections.close_all()
    fork = multiprocessing.get_context("fork")
    leader = fork.Process(target=run_clients, args=(BIG, 1, fork.Queue()))
    leader.start()
    assert behaviour.held.wait(PATIENT_SECONDS)
    pool, waiting = in_thread(BIG)
    assert leader.pid is not None
    os.kill(leader.pid, signal.SIGKILL)
    leader.join()
    with pool:
        assert waiting.result().body == BIG.content
    assert upstream.count(f"/noarch/{BIG.filename}") == 2
    assert not Fetch.objects.exists()
    behaviour.release()


def test_a_fetch_that_nobody_waits_for_any_more_is_reaped(tools: Channel, data: Path) -> None:
    row = Fetch.objects.create(key="k", state="running", owner=f"{HOST}:1:1", path="x.part")
    row.lock_path.parent.mkdir(parents=True, exist_ok=True)
    row.lock_path.touch()
    (data / "tmp").mkdir(exist_ok=True)
    (data / "tmp" / "x.part").touch()
    pending.reap(LivenessMonitor())
    assert not Fetch.objects.exists()
    assert left_behind(data) == []
