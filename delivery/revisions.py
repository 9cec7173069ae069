"""Which revision the suffix of a channel in an address means: `.r<number>`, a date, or none."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from django.utils import timezone

from channels.errors import Missing
from channels.models import Channel


def number_of(channel: Channel, suffix: str) -> int:
    """The number that `r<number>`, `YYYY-MM-DD` or "" (the current one) means. Raises `Missing`."""
    if not suffix:
        return channel.current
    if suffix.startswith("r"):
        number = int(suffix[1:])
        # Rows above the pointer belong to a publication that is still being built.
        if not channel.revisions.filter(number=number, number__lte=channel.current).exists():
            raise Missing(
                f"The channel {channel.path} has no revision {number}, or keeps it no longer."
            )
        return number
    return _at_end_of(channel, suffix)


def _at_end_of(channel: Channel, suffix: str) -> int:
    """The revision that was current when this day ended, in UTC."""
    try:
        day = date.fromisoformat(suffix)
    except ValueError:
        raise Missing(f"There is no day {suffix}.") from None
    if day > timezone.now().date():
        raise Missing(f"The day {suffix} is still to come.", lasting=False)
    end = datetime.combine(day, time(), UTC) + timedelta(days=1)
    revision = channel.revisions.filter(created_at__lt=end).order_by("-number").first()
    if revision is None:
        raise Missing(f"The channel {channel.path} has no revision of {suffix} or before.")
    # Revisions are thinned out. The newest of those left may have been replaced before the day
    # ended, by one that is gone: to answer with it would be a wrong state for that day.
    if revision.retired_at is not None and revision.retired_at < end:
        raise Missing(f"The channel {channel.path} no longer keeps its state of {suffix}.")
    return revision.number
