"""The saved form of a filter, as the API speaks it.

`terms` is the normalized `filters` object (see `filters.rules.normalized`);
`digest` changes exactly when its meaning changes.
"""

from __future__ import annotations

from django.db import models


class Filter(models.Model):
    terms = models.JSONField(default=dict)
    digest = models.CharField(max_length=64, blank=True)
    updated = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"filter {self.pk}"
