"""REST: where advisory data comes from: import, feeds, the bundle, and the conda name mapping."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

from django.conf import settings
from django.core.files import File as DjangoFile
from django.http import FileResponse, HttpRequest
from django.utils import timezone
from ninja import Field, File, Form, Query, Router, Status
from ninja.files import UploadedFile as NinjaFile

from accounts.errors import ApiError
from advisories import bundle, curation, feeds, lease, staleness
from advisories.archives import Kind
from advisories.formats import mapping
from advisories.formats.report import BadRecord
from advisories.importing import Result
from advisories.lease import ImportBusy, LeaseLost
from advisories.models import Advisory, Curation, Feed, Mapping
from advisories.spool import BadArchive
from channels import notify
from publishing import advisory_changes
from web.api.curations import may_curate
from web.api.cves import may_view
from web.api.errors import ERRORS, invalid, not_found
from web.api.pagination import Paging, counted_list, paginate
from web.api.schemas import (
    CountedAnswer,
    CountedList,
    JsonObject,
    RequestBody,
    timestamp,
)

router = Router(tags=["advisories"])

BUNDLE_NAME = "advisories.zip"
_FORMATS = {"osv": (Kind.OSV_ARCHIVE, Kind.OSV_RECORD), "vex": (Kind.OPENVEX, Kind.CSAF)}
"""Words of `format` beside those of `Kind`."""


class FeedItem(TypedDict):
    source: str
    url: str
    tried_at: str | None
    succeeded_at: str | None
    age_seconds: int | None
    error: str
    added: int
    updated: int
    unchanged: int
    broken: int
    broken_names: list[str]


class StaleItem(TypedDict):
    source: str
    succeeded_at: str | None
    message: str


class StatusItem(TypedDict):
    advisories: int
    curations: int
    mappings: int
    configured: bool
    stale: bool
    stale_after_days: int
    stale_sources: list[StaleItem]
    feeds: list[FeedItem]


class ImportItem(TypedDict):
    format: str
    source: str
    added: int
    updated: int
    unchanged: int
    broken: int
    broken_names: list[str]
    channels: list[str]
    """The channels that are judged again."""


class MappingItem(TypedDict):
    conda_name: str
    projects: list[str] | None
    by_hand: bool
    author: str
    changed_at: str | None


class MappingSearch(Paging):
    q: str = Field("", max_length=200)
    by_hand: bool | None = None


class NewMapping(RequestBody):
    """The Python projects in a conda package; null says that it is no Python package."""

    projects: list[str] | None = Field(max_length=mapping.MOST_PROJECTS)


@router.post("/advisories/import", response={200: JsonObject, **ERRORS})
def import_data(
    request: HttpRequest,
    file: File[NinjaFile],
    format: Form[str] = "",
) -> ImportItem:
    """Import an OSV archive, NVD feed, name mapping, OpenVEX or CSAF document, or a bundle.

    What the file is, is recognised by its content; `format` refuses any other kind. A broken record
    is counted, named and skipped; a broken archive is refused whole.
    """
    may_curate(request)
    result = import_uploaded(file, expected=_kinds(format))
    # The dispatcher asks in each round, too; here, so that the answer can name the channels.
    channels = advisory_changes.request()
    written = result.written
    return {
        "format": result.kind,
        "source": result.source,
        "added": written.added,
        "updated": written.updated,
        "unchanged": written.unchanged,
        "broken": written.broken,
        "broken_names": written.broken_names,
        "channels": [channel.path for channel in channels],
    }


@router.get("/advisories/status", response={200: JsonObject, **ERRORS})
def get_status(request: HttpRequest) -> StatusItem:
    """Age, counts and last error of each feed, and whether data is stale."""
    may_view(request)
    stale = staleness.stale_sources()
    return {
        # Without those that were withdrawn: they count against no file, and lists leave them out.
        "advisories": Advisory.objects.filter(withdrawn=False).count(),
        "curations": Curation.objects.count(),
        "mappings": Mapping.objects.count(),
        # False is no fault: a server without a network gets its data by upload or in a bundle.
        "configured": any(feeds.configured()),
        "stale": bool(stale),
        "stale_after_days": settings.STALE_FEED_DAYS,
        "stale_sources": [
            {
                "source": source.source,
                "succeeded_at": timestamp(source.succeeded_at),
                "message": str(source),
            }
            for source in stale
        ],
        "feeds": [_feed(feed) for feed in Feed.objects.order_by("source", "url")],
    }


@router.get(
    "/advisories/bundle",
    response=ERRORS,
    # ninja passes a response through as it is and describes JSON only, so the file is described
    # here.
    openapi_extra={
        "responses": {
            200: {
                "description": "OK",
                "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
            }
        }
    },
)
def get_bundle(request: HttpRequest) -> FileResponse:
    """Everything as one zip file with a manifest and hashes, for a server without a network."""
    # Not for everybody who reads: while the bundle is written, no import can begin.
    may_curate(request)
    return bundle_response()


@router.post("/advisories/refresh", response={202: JsonObject, **ERRORS})
def refresh(request: HttpRequest) -> Status[dict[str, bool]]:
    """Have a worker fetch the configured feeds now; `GET /advisories/status` shows the outcome."""
    may_curate(request)
    request_refresh()
    # 202: a worker fetches after this answer; a feed may have 2 GiB.
    return Status(202, {"requested": True})


@router.get("/advisories/mappings", response={200: CountedList, **ERRORS})
def list_mappings(request: HttpRequest, search: Query[MappingSearch]) -> CountedAnswer:
    """Which Python projects conda packages hold; at most 1,000 at once."""
    may_view(request)
    # Of a name's two entries the one by hand comes first, as it is the one that counts.
    rows = Mapping.objects.order_by("conda_name", "-by_hand")
    if search.q:
        rows = rows.filter(conda_name__icontains=search.q)
    if search.by_hand is not None:
        rows = rows.filter(by_hand=search.by_hand)
    # The feed maps all names of a channel as large as conda-forge: to leave out the limit does not
    # get them all.
    limit = 100 if search.limit is None else min(search.limit, 1000)
    page = paginate(rows, Paging(offset=search.offset, limit=limit))
    return counted_list([dict(_mapping(row)) for row in page], rows)


@router.put("/advisories/mappings/{conda_name}", response={200: JsonObject, **ERRORS})
def put_mapping(request: HttpRequest, conda_name: str, body: NewMapping) -> MappingItem:
    """Say by hand which Python projects a conda package holds; it comes before the feed's entry."""
    caller = may_curate(request)
    row = curation.map_name(conda_name, body.projects, author=caller.name)
    advisory_changes.request()
    return _mapping(row)


@router.delete("/advisories/mappings/{conda_name}", response={204: None, **ERRORS})
def delete_mapping(request: HttpRequest, conda_name: str) -> Status[None]:
    """Forget what was said by hand: the feed's entry counts again."""
    caller = may_curate(request)
    # Only what was said by hand: the feed's next import would bring its own entry again.
    row = mapped_by_hand(conda_name)
    if row is None:
        raise not_found("mapping by hand")
    curation.unmap_name(row, actor=caller.name)
    advisory_changes.request()
    return Status(204, None)


def import_uploaded(file: DjangoFile[bytes], *, expected: tuple[Kind, ...] = ()) -> Result:
    """Import an uploaded file; ApiError where it cannot be."""
    try:
        with on_disk(file) as path:
            return feeds.import_upload(path, expected=expected)
    except BadArchive as error:
        raise invalid("file", str(error)) from error
    except (ImportBusy, LeaseLost) as error:
        raise ApiError(409, str(error)) from error


@contextmanager
def on_disk(file: DjangoFile[bytes]) -> Iterator[Path]:
    """A copy of an upload under a path, which the import opens; small uploads are in memory."""
    with tempfile.NamedTemporaryFile(dir=_folder(), prefix="upload-") as copy:
        for chunk in file.chunks():
            copy.write(chunk)
        # The path is opened anew: what is still in this object's buffer would be missing there.
        copy.flush()
        yield Path(copy.name)


def bundle_response() -> FileResponse:
    """The bundle as a download; the file has no name any more, and goes when it is sent."""
    try:
        with (
            # Keeps imports away: all members of the bundle have to be of one state.
            lease.hold() as held,
            tempfile.NamedTemporaryFile(dir=_folder(), prefix="bundle-") as named,
        ):
            bundle.write(Path(named.name), held)
            # By its number: the server sends what has a name later, when this one is gone.
            file = open(os.open(named.name, os.O_RDONLY), "rb")  # noqa: SIM115, PTH123
    except (ImportBusy, LeaseLost) as error:
        raise ApiError(409, str(error)) from error
    response = FileResponse(file, as_attachment=True, filename=BUNDLE_NAME)
    # It has every curation with its author, which no cache may hand to others.
    response["Cache-Control"] = "no-store"
    return response


def request_refresh() -> None:
    """Have a worker fetch the feeds; ApiError where none is configured."""
    if not any(feeds.configured()):
        raise ApiError(
            409,
            "No feed is configured: set OSV_URL, NVD_URL or CONDA_MAPPING_URL, or upload a file.",
        )
    # No row stands for a refresh, so a message that is not sent now is lost: say so.
    if not notify.advisory_refresh():
        raise ApiError(503, "No worker can be told at the moment. Try again later.", retry_after=30)


def mapped_by_hand(conda_name: str) -> Mapping | None:
    """What was said by hand of a conda package."""
    try:
        name = mapping.conda_name(conda_name)
    except BadRecord:
        # Only valid names are saved, so there is no entry of this one.
        return None
    return Mapping.objects.filter(conda_name=name, by_hand=True).first()


def _folder() -> Path:
    # Under DATA, where the import works, too: an archive may be larger than the host's /tmp.
    folder = Path(settings.DATA) / "tmp"
    folder.mkdir(exist_ok=True)
    return folder


def _kinds(word: str) -> tuple[Kind, ...]:
    """The kinds of files that `format` allows; all where it is empty."""
    if not word:
        return ()
    if word in _FORMATS:
        return _FORMATS[word]
    if word not in list(Kind):
        raise invalid("format", f"The format is one of {', '.join((*Kind, *_FORMATS))}.")
    return (Kind(word),)


def _feed(feed: Feed) -> FeedItem:
    succeeded = feed.succeeded_at
    return {
        "source": feed.source,
        "url": feed.url,
        "tried_at": timestamp(feed.tried_at),
        "succeeded_at": timestamp(succeeded),
        "age_seconds": int((timezone.now() - succeeded).total_seconds()) if succeeded else None,
        "error": feed.error,
        "added": feed.added,
        "updated": feed.updated,
        "unchanged": feed.unchanged,
        "broken": feed.broken,
        "broken_names": feed.broken_names,
    }


def _mapping(row: Mapping) -> MappingItem:
    return {
        "conda_name": row.conda_name,
        "projects": row.projects,
        "by_hand": row.by_hand,
        "author": row.author,
        "changed_at": timestamp(row.changed_at),
    }
