"""Fetches the configured feeds, and remembers how each import went.

Addresses come from the operator (`OSV_URL`, `NVD_URL`, `CONDA_MAPPING_URL`); each names a file, or
the folder in which a source keeps its files. What an address names may be fetched without being
named in UPSTREAM_ALLOW again, its host's redirects to other hosts are refused.
"""

from __future__ import annotations

import datetime as dt
import logging
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.utils import timezone

from advisories.archives import Kind
from advisories.importing import Result, import_file
from advisories.lease import ImportBusy, LeaseLost
from advisories.models import Feed, Source
from advisories.spool import BadArchive
from ecosystems.progress import Stop, never_stop
from ecosystems.upstream import (
    Client,
    ClientSettings,
    EgressPolicy,
    FetchedFile,
    UpstreamError,
)

OSV_ECOSYSTEMS = ("PyPI", "CRAN")
"""The archives of OSV that channels here can list packages of."""
NVD_FIRST = 2002
"""The feed of this year holds all earlier ones too."""
NVD_MODIFIED = "modified"
NVD_DAYS = 7
"""After so many days a year's feed is fetched again: "modified" holds the last eight."""
LARGEST_FEED = 2 << 30

_FILES = (".zip", ".json", ".gz", ".zst", ".xz", ".bz2")

log = logging.getLogger(__name__)


def refresh(*, stop: Stop = never_stop) -> list[Feed]:
    """Fetch and import what has changed at the configured addresses; the feeds as they are now."""
    feeds = []
    for source, url in configured():
        feed, _ = Feed.objects.get_or_create(source=source, url=url)
        if _is_due(feed):
            _refresh(feed, stop)
        feeds.append(feed)
    return feeds


def configured() -> Iterator[tuple[Source, str]]:
    """The source and address of each file that is to be fetched."""
    if settings.OSV_URL:
        yield from _files(
            Source.OSV, settings.OSV_URL, [f"{name}/all.zip" for name in OSV_ECOSYSTEMS]
        )
    if settings.NVD_URL:
        # Both the years and "modified": the latter holds the last eight days only.
        years = [*range(NVD_FIRST, timezone.now().year + 1), NVD_MODIFIED]
        names = [f"nvdcve-2.0-{year}.json.gz" for year in years]
        yield from _files(Source.NVD, settings.NVD_URL, names)
    if settings.CONDA_MAPPING_URL:
        names = ["conda-forge/compressed_mapping.json"]
        yield from _files(Source.MAPPING, settings.CONDA_MAPPING_URL, names)


def note(feed: Feed, result: Result) -> None:
    """Save that an import succeeded."""
    written, now = result.written, timezone.now()
    feed.tried_at = feed.succeeded_at = now
    feed.error = ""
    feed.added, feed.updated = written.added, written.updated
    feed.unchanged, feed.broken = written.unchanged, written.broken
    feed.broken_names = written.broken_names
    feed.save()


def import_upload(
    path: Path, *, expected: Collection[Kind] = (), stop: Stop = never_stop
) -> Result:
    """Import a file that somebody brought, and remember it as the upload of its kind."""
    result = import_file(path, expected=expected, stop=stop)
    feed, _ = Feed.objects.get_or_create(source=result.source, url="")
    note(feed, result)
    return result


def _files(source: Source, base: str, names: list[str]) -> Iterator[tuple[Source, str]]:
    if urlsplit(base).path.endswith(_FILES):
        yield source, base
    else:
        yield from ((source, f"{base.rstrip('/')}/{name}") for name in names)


def _is_due(feed: Feed) -> bool:
    """Whether asking makes sense: NVD asks not to fetch whole years again and again."""
    year = feed.source == Source.NVD and urlsplit(feed.url).path.rpartition("-")[2][:4].isdigit()
    if not year or feed.succeeded_at is None:
        return True
    return timezone.now() - feed.succeeded_at > dt.timedelta(days=NVD_DAYS)


def _refresh(feed: Feed, stop: Stop) -> None:
    folder = Path(settings.DATA) / "tmp"
    folder.mkdir(exist_ok=True)
    feed.tried_at = timezone.now()
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix="feed-") as name:
            path = Path(name) / "feed"
            fetched = _fetch(feed, path, stop)
            # Not modified: the data is as fresh as the source's own, which the warning about age
            # looks at.
            if fetched is None:
                feed.succeeded_at, feed.error = timezone.now(), ""
                feed.save()
                return
            result = import_file(path, stop=stop)
    except (UpstreamError, BadArchive, ImportBusy, LeaseLost) as error:
        log.warning("%s was not imported: %s", feed, error)
        feed.error = str(error)
        feed.save()
        return
    # Only after the import: with the validators of a file that was not imported, the next request
    # would be answered "not modified", and its data would never come.
    feed.etag, feed.last_modified = fetched.etag[:500], fetched.last_modified[:100]
    note(feed, result)


def _fetch(feed: Feed, path: Path, stop: Stop) -> FetchedFile | None:
    """The feed at `path`; None where it has not changed."""
    parts = urlsplit(feed.url)
    # Without user and password: the list of allowed origins knows none.
    own = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    policy = EgressPolicy((*settings.UPSTREAM_ALLOW, own))
    options = ClientSettings(limits=settings.UPSTREAM_LIMITS, ca_files=settings.CA_FILES)
    with Client(policy, options) as client:
        fetched = client.fetch_index(
            feed.url,
            path,
            etag=feed.etag or None,
            last_modified=feed.last_modified or None,
            stop=stop,
            cap=LARGEST_FEED,
        )
    return fetched if isinstance(fetched, FetchedFile) else None
