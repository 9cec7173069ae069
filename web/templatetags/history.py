"""Filters of the pages about history."""

from __future__ import annotations

from django import template

from history.models import Event
from web.pages import history

register = template.Library()


@register.filter
def subject(event: Event) -> str:
    """What the event is about, in a word or two."""
    return history.subject(event)
