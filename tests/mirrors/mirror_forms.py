"""Mirrors as forms and bodies make them, for tests."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from channels.models import Channel
from mirrors import services
from mirrors.models import Mirror
from tests import scene

SOURCE = "https://mirror.example.org/conda/main"


def make_mirror(channel: Channel, name: str = "m", source: str = SOURCE, **body: object) -> Mirror:
    return services.create(
        channel, {"mirror_name": name, "source_root": source, **body}, owner=scene.admin()
    )


def wrong_fields(caught: pytest.ExceptionInfo[ValidationError]) -> set[str]:
    return set(caught.value.message_dict)


def requested_version(channel: Channel) -> int:
    return Channel.objects.values_list("requested_version", flat=True).get(pk=channel.pk)
