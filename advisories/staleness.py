"""How old the data is that rules on advisories judge by, and what people are told of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass

from django.conf import settings
from django.utils import timezone

from advisories import feeds
from advisories.models import Feed, Record, Source


@dataclass(frozen=True, slots=True)
class StaleSource:
    """A kind of data that is too old, or that never came from the addresses configured for it."""

    source: Source
    succeeded_at: dt.datetime | None
    error: str
    """What the last attempt said, "" where it went well or there was none."""

    def __str__(self) -> str:
        if self.succeeded_at is None:
            age = "never came"
        else:
            days = (timezone.now() - self.succeeded_at).days
            age = f"is {days:,} days old"
        why = f" The last attempt failed: {self.error}" if self.error else ""
        return f"{self.source.label} data {age}.{why}"


def has_data() -> bool:
    """Whether any source says anything, so that rules on advisories can act at all."""
    return Record.objects.exists()


def stale_sources() -> list[StaleSource]:
    """The kinds of data that are older than `STALE_FEED_DAYS`: what the dashboard warns of.

    Of several files of one kind the oldest counts, since it is as old as what it should bring.
    Data that came by upload or in a bundle, with no address configured, ages just the same.
    """
    rows = list(Feed.objects.all())
    configured: dict[Source, list[str]] = {}
    for source, url in feeds.configured():
        # A whole year of NVD is fetched once a week only; what "modified" says is never older.
        if source != Source.NVD or feeds.NVD_MODIFIED in url:
            configured.setdefault(source, []).append(url)
    stale = []
    for source in (Source.OSV, Source.NVD, Source.MAPPING):
        of_source = [row for row in rows if row.source in (source, Source.BUNDLE)]
        stale_source = _stale_source(source, of_source, configured.get(source, ()))
        if stale_source is not None:
            stale.append(stale_source)
    return stale


def _stale_source(source: Source, rows: list[Feed], urls: Collection[str]) -> StaleSource | None:
    limit = timezone.now() - dt.timedelta(days=settings.STALE_FEED_DAYS)
    fetched = {row.url: row for row in rows if row.source == source}
    brought = max(
        (row.succeeded_at for row in rows if not row.url and row.succeeded_at), default=None
    )
    if not urls:
        # Nobody said that this kind is needed: it is stale only once some of it came.
        times = [row.succeeded_at for row in rows if row.succeeded_at]
        newest = max(times, default=None)
        old = newest is not None and newest < limit
        return StaleSource(source, newest, "") if old else None
    ages: list[tuple[dt.datetime | None, str]] = []
    for url in urls:
        row = fetched.get(url)
        times = [time for time in (row.succeeded_at if row else None, brought) if time]
        ages.append((max(times, default=None), row.error if row else ""))
    # What never came counts as the oldest.
    succeeded_at, error = min(
        ages, key=lambda age: age[0] or dt.datetime.min.replace(tzinfo=dt.UTC)
    )
    if succeeded_at is None and not any(row.tried_at for row in rows):
        return None  # The first refresh has yet to come.
    return (
        StaleSource(source, succeeded_at, error)
        if not succeeded_at or succeeded_at < limit
        else None
    )
