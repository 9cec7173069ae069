"""What a channel's content is judged by."""

from __future__ import annotations

import pytest

from channels import services as channel_manage
from channels.models import Channel
from mirrors import services
from publishing.inputs import gather
from tests import scene
from tests.condatree import FakeConda

pytestmark = pytest.mark.django_db(transaction=True)


def test_rules_are_compiled_once_and_again_when_they_are_saved(small: FakeConda) -> None:
    channel = scene.channel(filters={"exclude_specs": ["zlib"]})
    mirror = scene.mirror(channel, small.channel, filters={"exclude_specs": ["six"]})
    first, second = gather(channel), gather(Channel.objects.get(pk=channel.pk))
    assert second.mirrors[0].rules is first.mirrors[0].rules
    assert second.channel_rules["conda"][0] is first.channel_rules["conda"][0]
    assert first.channel_rules["conda"][0].by == "channel"
    services.edit(mirror, {"filters": {"exclude_specs": ["six", "numpy"]}}, actor="admin")
    channel_manage.edit(channel, {"filters": {}}, actor="admin")
    third = gather(Channel.objects.get(pk=channel.pk))
    assert third.mirrors[0].rules.digest != first.mirrors[0].rules.digest
    assert not third.channel_rules["conda"][0].exclude
