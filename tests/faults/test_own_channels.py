"""Row N21: channels of this server as sources of each other, in every type."""

from __future__ import annotations

import pytest
from django.conf import LazySettings
from django.core.exceptions import ValidationError

from channels.models import Channel
from mirrors import services
from mirrors.models import Mirror, Upstream
from tests import invariants, scene
from tests.faults.clients import listed
from tests.sources import FILES, Source

pytestmark = pytest.mark.django_db(transaction=True)

BELOW = {"conda": "", "python_simple": "/simple", "CRAN": "/cran"}


@pytest.fixture
def first(source: Source) -> Mirror:
    """The channel `main`, which mirrors the source."""
    mirror = source.mirror(scene.channel())
    assert scene.run_now(mirror).state == "completed"
    return mirror


def address(channel: Channel, source: Source, settings: LazySettings) -> str:
    """How clients and mirrors of this type write a channel of this server."""
    return f"{settings.PUBLIC_URL}/api/repo/{channel.path}{BELOW[source.kind]}"


def copy(channel: Channel, source: Source, of: str) -> Mirror:
    """A mirror of the channel at the address `of`."""
    return scene.mirror(channel, of, mirror_type=source.kind, **source.body)


def test_N21_a_channel_that_feeds_itself_is_refused_when_saved(
    source: Source, first: Mirror, settings: LazySettings
) -> None:
    second, third = scene.channel("second"), scene.channel("third")
    main = address(first.channel, source, settings)
    for mirror in (
        copy(second, source, main),
        copy(third, source, address(second, source, settings)),
    ):
        assert scene.run_now(mirror).state == "completed"
    saved = Mirror.objects.count()
    for of in (first.channel, second, third):
        way = address(of, source, settings)
        with pytest.raises(ValidationError, match=f"circle: main from {of.path}"):
            copy(first.channel, source, way)
        with pytest.raises(ValidationError, match="circle"):
            services.edit(first, {"source_root": way}, actor="admin")
    assert Mirror.objects.count() == saved
    assert scene.run_now(first).state == "completed"
    assert listed(third) == listed(first.channel)
    invariants.check(fetch=True)


@pytest.mark.parametrize("steps", [1, 2])
def test_N21_a_circle_that_was_saved_past_the_check_runs_nowhere(
    source: Source, first: Mirror, settings: LazySettings, steps: int
) -> None:
    """As two forms could at the same time, each of which closes the other's circle."""
    last = first.channel
    if steps == 2:
        last = scene.channel("second")
        second = copy(last, source, address(first.channel, source, settings))
        assert scene.run_now(second).state == "completed"
    Upstream.objects.filter(pk=first.upstream_id).update(
        channel=last, url=address(last, source, settings)
    )
    before = invariants.served(first.channel)
    circle = Mirror.objects.get(pk=first.pk)
    failed = scene.run_now(circle)
    way = "main from main" if steps == 1 else "main from second from main"
    assert (failed.state, failed.error) == ("failed", f"The mirror would feed itself: {way}.")
    assert invariants.served(first.channel) == before
    assert len(listed(first.channel)) == FILES
    invariants.check(first.channel)
