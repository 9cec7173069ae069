"""What people do with channels."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from channels import services
from channels.errors import Stale, WrongState
from channels.models import Channel, Document, Generation
from history.models import Event
from tests.web.client import person

pytestmark = pytest.mark.django_db


def make(name: str = "main", **fields: object) -> Channel:
    return services.create(name, person("admin"), **fields)  # type: ignore[arg-type]


def types() -> list[str]:
    return list(Event.objects.order_by("id").values_list("type", flat=True))


def test_a_new_channel_has_a_first_revision_with_an_empty_noarch() -> None:
    channel = make()
    assert channel.current == 1
    names = Document.objects.filter(channel=channel, section="noarch").values_list(
        "name", flat=True
    )
    assert "repodata.json" in names
    assert types() == ["channel_created"]


def test_every_wrong_field_of_a_new_channel_is_named_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        make("No Name", privacy="secret", filters={"exclude_specs": ["bad =="]})
    assert set(caught.value.message_dict) == {"name", "privacy", "filters.exclude_specs.0"}


@pytest.mark.parametrize("name", ["a", "a1", "a-b_c", "a" * 64, "conda-forge", "linux"])
def test_a_channel_may_be_called(name: str) -> None:
    assert make(name).path == name


@pytest.mark.parametrize(
    "name",
    [
        "", "A", "1a", "-a", "a b", "a/b", "a.r1", "a" * 65, "ä", "a\n",
        "t", "channels", "account", "namespaces", "namespace-channels", "simple", "cran", "src",
        "bin", "noarch", "linux-64", "osx-arm64", "win-64", "zos-z", "linux-32",
    ],
)  # fmt: skip
def test_a_channel_or_subchannel_may_not_be_called(name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        make(name)
    assert list(caught.value.message_dict) == ["name"]
    with pytest.raises(ValidationError):
        make(name, parent=make("parent"))


def test_a_name_is_taken_once_and_free_again_after_deletion() -> None:
    channel = make()
    with pytest.raises(WrongState, match="A channel of the name main exists"):
        make()
    make("main", parent=channel)
    with pytest.raises(WrongState, match="A subchannel of the name main exists"):
        make("main", parent=channel)
    other = make("other")
    services.delete(other, actor="admin")
    assert make("other").pk != other.pk


def test_there_is_one_level_of_subchannels() -> None:
    sub = make("sub", parent=make())
    assert sub.path == "main/sub"
    with pytest.raises(ValidationError):
        make("subsub", parent=sub)


def test_a_subchannel_is_never_more_open_than_its_channel() -> None:
    channel = make(privacy="authenticated")
    with pytest.raises(ValidationError, match="more open"):
        make("sub", parent=channel, privacy="public")
    sub = make("sub", parent=channel)
    assert sub.privacy == "authenticated"
    with pytest.raises(ValidationError, match="more open"):
        services.edit(sub, {"privacy": "public"}, actor="admin")
    services.edit(channel, {"privacy": "private"}, actor="admin")
    sub.refresh_from_db()
    assert sub.privacy == "private"
    event = Event.objects.get(channel_id=sub.pk, type="channel_updated")
    assert event.meta == {
        "before": {"privacy": "authenticated"},
        "after": {"privacy": "private"},
    }
    services.edit(channel, {"privacy": "public"}, actor="admin")
    sub.refresh_from_db()
    assert sub.privacy == "private"


def test_a_filter_edit_asks_for_a_publication_of_the_channel_and_its_subchannels() -> None:
    channel = make()
    sub = make("sub", parent=channel)
    generation = Generation.objects.get(pk=1).number
    assert services.edit(channel, {"filters": {"exclude_specs": ["zlib"]}}, actor="ann")
    channel.refresh_from_db()
    sub.refresh_from_db()
    assert channel.requested_version > channel.published_version
    assert sub.requested_version > sub.published_version
    assert Generation.objects.get(pk=1).number > generation
    event = Event.objects.get(type="channel_updated")
    assert event.actor == "ann"
    assert event.meta["before"]["filters"]["exclude_specs"] == []
    assert event.meta["after"]["filters"]["exclude_specs"] == ["zlib"]


def test_an_edit_that_changes_nothing_is_no_event_and_no_publication() -> None:
    channel = make(filters={"exclude_specs": ["zlib"]}, description="d")
    same = {"filters": {"exclude_specs": ["zlib"]}, "description": "d"}
    assert not services.edit(channel, same, actor="ann")
    channel.refresh_from_db()
    assert channel.version == 1
    assert channel.requested_version == channel.published_version
    assert types() == ["channel_created"]


def test_every_problem_of_a_filter_is_named_with_its_place() -> None:
    with pytest.raises(ValidationError) as caught:
        make(filters={"exclude_specs": ["ok", "=="], "date_from": "soon", "colour": "red"})
    fields = set(caught.value.message_dict)
    assert fields == {"filters.exclude_specs.1", "filters.date_from", "filters.colour"}
    assert not Channel.objects.exists()


def test_freezing_and_unfreezing_are_events_and_unfreezing_publishes() -> None:
    channel = make()
    assert services.freeze(channel, actor="ann")
    assert not services.freeze(channel, actor="ann")
    channel.refresh_from_db()
    assert channel.frozen_at
    assert channel.frozen_by == "ann"
    assert channel.requested_version == channel.published_version
    assert services.unfreeze(channel, actor="ann")
    assert not services.unfreeze(channel, actor="ann")
    channel.refresh_from_db()
    assert not channel.frozen_at
    assert channel.requested_version > channel.published_version
    assert types() == ["channel_created", "channel_frozen", "channel_unfrozen"]


def test_a_channel_with_subchannels_cannot_be_deleted() -> None:
    channel = make()
    sub = make("sub", parent=channel)
    with pytest.raises(WrongState, match="has subchannels"):
        services.delete(channel, actor="admin")
    services.delete(sub, actor="admin")
    services.delete(channel, actor="admin")
    assert not Channel.objects.filter(deleted_at=None).exists()


def test_an_edit_of_an_older_version_is_refused() -> None:
    channel = make()
    services.edit(channel, {"description": "one"}, actor="ann", expected=1)
    with pytest.raises(Stale):
        services.edit(channel, {"description": "two"}, actor="bob", expected=1)
    channel.refresh_from_db()
    assert channel.description == "one"


def test_a_pinned_revision_is_pinned_until_somebody_lets_it_go() -> None:
    channel = make()
    assert services.pin(channel, 1, pinned=True, actor="ann").pinned
    assert channel.revisions.get(number=1).pinned
    services.pin(channel, 1, pinned=False, actor="ann")
    assert not channel.revisions.get(number=1).pinned
    with pytest.raises(WrongState, match="not kept any more"):
        services.pin(channel, 7, pinned=True, actor="ann")
