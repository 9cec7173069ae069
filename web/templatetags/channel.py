"""Tags of the pages about a channel."""

from __future__ import annotations

from django import template

from channels.models import Channel
from web.pages import channel_frame

register = template.Library()


@register.simple_tag
def channel_url(channel: Channel | str, page: str = "channel", **more: object) -> str:
    """The address of a channel's page; `page` is its url name."""
    return channel_frame.channel_url(channel, page, **more)
