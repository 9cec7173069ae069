"""Filters of the pages about history."""

from __future__ import annotations

from django import template

from history import views
from history.models import Event

register = template.Library()


@register.filter
def subject(event: Event) -> str:
    """What the event is about, in a word or two."""
    return views.subject(event)
