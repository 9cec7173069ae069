"""Filters of the pages about mirrors: frequencies, durations, reasons in words."""

from __future__ import annotations

from datetime import timedelta

from django import template

from mirrors import cron as schedule
from web.labels import RULE_LABELS

register = template.Library()


@register.filter
def in_words(cron: str) -> str:
    """A frequency as a sentence."""
    return schedule.describe(cron)


@register.filter
def lasting(length: timedelta | None) -> str:
    """How long something took: 3.2 s, 4 min 10 s, 2 h 5 min."""
    if length is None:
        return "–"
    seconds = max(0.0, length.total_seconds())
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, remainder = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {remainder} s"
    return f"{minutes // 60:,} h {minutes % 60} min"


@register.filter
def rule(name: str) -> str:
    """The rule of a filter in the words of the form."""
    return RULE_LABELS.get(name, name)
