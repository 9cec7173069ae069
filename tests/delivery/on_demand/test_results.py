"""What the arrival of a file changes."""

from __future__ import annotations

import pytest

from channels.models import Channel
from history.models import Event
from tests.delivery.on_demand.files import (
    SMALL,
    path,
)
from tests.wsgi import Client

pytestmark = pytest.mark.django_db(transaction=True)


def test_history_tells_that_the_bytes_came(client: Client, tools: Channel) -> None:
    client.get(path(SMALL))
    event = Event.objects.get(type="artifact_generated")
    assert (event.family, event.channel_id) == ("conda", tools.pk)
    assert (event.data["name"], event.data["section"]) == ("small", "noarch")
    assert event.data["ckey"] == f"noarch/{SMALL.filename}"
    assert event.meta == {"files": [SMALL.filename], "bytes": len(SMALL.content)}
