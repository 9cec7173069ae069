"""How many files a process fetches at once."""

from __future__ import annotations

from typing import Any

import pytest

from channels.models import Channel
from tests.channels import factory
from tests.delivery.on_demand.files import (
    BIG,
    PATIENT_SECONDS,
    SMALL,
    in_thread,
)
from tests.rogue import Behaviour
from tests.upstream import FakeUpstream
from tests.wsgi import Client, application

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_silent_upstream_gets_half_of_the_threads(
    tools: Channel, upstream: FakeUpstream, settings: Any
) -> None:
    settings.FETCH_THREADS = 2
    held = Behaviour(hold_at=0, times=1)
    upstream.behave(f"/noarch/{BIG.filename}", held)
    pool, waiting = in_thread(BIG)
    assert held.held.wait(PATIENT_SECONDS)
    second, also = in_thread(SMALL)
    other = FakeUpstream()
    with other, pool, second:
        lively = factory.channel("lively")
        file = factory.made("lively-1.0-0.conda", b"lively" * 100)
        other.set(f"/noarch/{file.filename}", file.content)
        origin = factory.file_source(f"{other.url}/noarch/")
        factory.publish(lively, {"noarch": [file]}, file_source=origin, here=False)
        answer = Client(application).get(f"/api/repo/lively/noarch/{file.filename}")
        assert answer.body == file.content
        assert upstream.count(f"/noarch/{SMALL.filename}") == 0
        held.release()
        assert waiting.result().body == BIG.content
        assert also.result().body == SMALL.content
