"""A preview of what a mirror would bring."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from channels.lease import Leased
from channels.models import Channel
from mirrors.models.mirror import Mirror


class Preview(Leased):
    """A judgement nobody sees the effect of: how a mirror body would turn out."""

    channel = models.ForeignKey(Channel, on_delete=models.CASCADE)
    mirror = models.ForeignKey(Mirror, on_delete=models.CASCADE, null=True)
    asker = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    body = models.JSONField(default=dict)
    percent = models.IntegerField(default=0)
    activity = models.CharField(max_length=200, blank=True)
    result = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"preview {self.pk}"
