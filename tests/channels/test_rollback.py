"""Rolling a channel back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from channels import rollback, services
from channels.errors import WrongState
from channels.models import Channel, Document, Package, Publication
from channels.revision_builder import RevisionBuilder
from channels.states import ACTIVE
from history.models import Event
from tests import scene
from tests.condatree import FakeConda

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def channel(settings: object) -> Iterator[Channel]:
    """A channel with revision 2 (six, zlib) and 3 (six again newer, numpy; zlib gone)."""
    with FakeConda() as server:
        settings.UPSTREAM_ALLOW = (server.url,)  # type: ignore[attr-defined]
        server.add("noarch", "six", "1.16.0")
        server.add("linux-64", "zlib", "1.3")
        server.publish()
        made = scene.channel()
        mirror = scene.mirror(made, server.channel)
        scene.run_now(mirror)
        server.add("noarch", "six", "1.17.0")
        server.add("noarch", "numpy", "2.0")
        server.publish()
        scene.run_now(mirror)
        made.refresh_from_db()
        assert made.current == 3
        yield made


def documents(channel: Channel, number: int) -> set[tuple[str, str, str]]:
    rows = Document.objects.at(number).filter(channel=channel)
    return set(rows.values_list("section", "name", "etag"))


def shards(channel: Channel, number: int) -> set[tuple[str, str, str]]:
    rows = Package.objects.at(number).filter(channel=channel, shard__isnull=False)
    return set(rows.values_list("section", "name", "shard_id"))


def test_a_rollback_shows_the_old_content_under_a_new_number_and_freezes(channel: Channel) -> None:
    revision = rollback.roll_back(channel, 2, actor="ann")
    channel.refresh_from_db()
    assert (revision.number, channel.current, revision.rollback_of) == (4, 4, 2)
    assert shards(channel, 4) == shards(channel, 2)
    assert documents(channel, 4) == documents(channel, 2)
    assert set(scene.listed(channel)) == {"six-1.16.0-0.conda"}
    assert (revision.removed, revision.packages) == (2, 2)
    assert channel.frozen_at
    assert (channel.frozen_by, channel.frozen_revision) == ("ann", 2)
    event = Event.objects.get(type="channel_rolled_back")
    assert (event.meta["rolled_back_to"], event.meta["revision"]) == (2, 4)


def test_revisions_before_a_rollback_stay_as_they_were(channel: Channel) -> None:
    before = {number: (shards(channel, number), documents(channel, number)) for number in (1, 2, 3)}
    rollback.roll_back(channel, 1, actor="ann")
    after = {number: (shards(channel, number), documents(channel, number)) for number in (1, 2, 3)}
    assert after == before
    channel.refresh_from_db()
    assert scene.listed(channel) == {}


def test_unfreezing_after_a_rollback_publishes_todays_judgement(channel: Channel) -> None:
    rollback.roll_back(channel, 2, actor="ann")
    services.unfreeze(channel, actor="ann")
    scene.publish(channel)
    assert shards(channel, channel.current) == shards(channel, 3)
    assert channel.current == 5


def test_a_rollback_takes_the_pen_from_a_publication_that_is_going(channel: Channel) -> None:
    going = Publication.objects.create(channel=channel, state="running", revision=4)
    Package.objects.create(
        channel=channel, family="conda", section="noarch", name="half", added_in=4
    )
    rollback.roll_back(channel, 2, actor="ann")
    going.refresh_from_db()
    assert going.state == "stopped"
    assert going.fence == 1
    assert not Package.objects.filter(name="half").exists()


def test_a_revision_that_is_not_kept_cannot_be_rolled_back_to(channel: Channel) -> None:
    with pytest.raises(WrongState, match=r"revision 9 of main is not kept"):
        rollback.roll_back(channel, 9, actor="ann")
    channel.refresh_from_db()
    assert (channel.current, channel.frozen_at) == (3, None)


def test_a_revision_forgotten_while_it_is_rolled_back_to_leaves_all_as_it_was(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = shards(channel, 3)
    proceed = rollback._documents

    def forgotten(build: RevisionBuilder, number: int) -> None:
        channel.revisions.filter(number=number).delete()
        proceed(build, number)

    monkeypatch.setattr(rollback, "_documents", forgotten)
    with pytest.raises(WrongState, match="not kept any more"):
        rollback.roll_back(channel, 2, actor="ann")
    channel.refresh_from_db()
    assert (channel.current, channel.frozen_at) == (3, None)
    assert shards(channel, 3) == before
    assert not Publication.objects.filter(state__in=ACTIVE).exists()
