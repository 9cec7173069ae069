"""What clients of a channel see, whatever its type."""

from __future__ import annotations

from channels.models import Channel
from tests import invariants
from tests.sources import Source
from tests.wsgi import Client, application


def get(source: Source) -> tuple[int, bytes]:
    """What a client that asks for the source's file gets from the channel `main`."""
    answer = Client(application).get(f"/api/repo/main/{source.path}")
    return answer.status, answer.body


def listed(channel: Channel) -> set[str]:
    """The names of all files that a channel lists; `invariants.check` says that all forms agree."""
    channel.refresh_from_db()
    found: set[str] = set()
    for section in invariants._sections(channel):
        for states in invariants._named(channel, section).values():
            found.update(states)
    return found
