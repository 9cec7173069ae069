"""Files that are sent while they arrive."""

from __future__ import annotations

from pathlib import Path

import pytest

from channels.models import Blob, Channel
from delivery.on_demand.pending import HELD_BACK
from tests.delivery.on_demand.files import (
    BIG,
    Streamed,
    left_behind,
)
from tests.rogue import Behaviour
from tests.upstream import FakeUpstream

pytestmark = pytest.mark.django_db(transaction=True)


def test_p02_a_slow_file_streams_while_it_comes(
    tools: Channel, upstream: FakeUpstream, impatient: None
) -> None:
    behaviour = Behaviour(hold_at=600_000, times=1)
    upstream.behave(f"/noarch/{BIG.filename}", behaviour)
    stream = Streamed(BIG)
    first = next(stream.body)
    assert not behaviour.released.is_set()
    assert stream.status == "200 OK"
    assert stream.headers["Content-Length"] == str(len(BIG.content))
    behaviour.release()
    assert first + b"".join(stream.body) == BIG.content
    assert upstream.count(f"/noarch/{BIG.filename}") == 1


def test_p02_a_stream_of_wrong_bytes_is_cut_before_its_end(
    tools: Channel, upstream: FakeUpstream, impatient: None, data: Path
) -> None:
    wrong = BIG.content[:-1] + b"!"
    upstream.set(f"/noarch/{BIG.filename}", wrong)
    behaviour = Behaviour(hold_at=600_000, times=1)
    upstream.behave(f"/noarch/{BIG.filename}", behaviour)
    stream = Streamed(BIG)
    received = next(stream.body)
    behaviour.release()
    received += stream.until_cut()
    assert len(received) <= len(wrong) - HELD_BACK
    assert not Blob.objects.filter(pk=BIG.sha256).exists()
    assert left_behind(data) == []


def test_p02_a_stream_whose_bytes_changed_meanwhile_is_cut(
    tools: Channel, upstream: FakeUpstream, impatient: None
) -> None:
    """The second attempt is right, but what was sent came from the first."""
    upstream.behave(
        f"/noarch/{BIG.filename}",
        held := Behaviour(hold_at=600_000, times=1, body=b"?" * len(BIG.content)),
    )
    stream = Streamed(BIG)
    received = next(stream.body)
    held.release()
    received += stream.until_cut()
    assert len(received) <= len(BIG.content) - HELD_BACK
    assert Blob.objects.filter(pk=BIG.sha256).exists()
