"""A channel's curations as an OpenVEX document (openvex.dev, specification 0.2.0).

What scanners are to know of what the channel lists: their users then agree with its filters.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

import msgspec
from django.conf import settings
from django.db.models import QuerySet
from django.db.models.functions import Lower

from advisories.formats.openvex import CONTEXT
from advisories.formats.statement import Status
from advisories.matching.facts import spec_test
from advisories.models import Curation, Identifier
from channels.models import Channel, ListedAdvisory, Package
from ecosystems.kinds import Family
from ecosystems.records import Record
from publishing.published_records import records_of

VERSION = f"{CONTEXT}/v0.2.0"
STATUSES = {
    Status.REPORTED: "under_investigation",
    Status.DISPUTED: "under_investigation",
    Status.ACTIVE: "affected",
    Status.MITIGATED: "fixed",
    Status.CLEARED: "not_affected",
}
"""`disputed` has no word of its own; what is disputed is still looked into."""
_PURL_TYPES = {Family.CONDA: "conda", Family.PYTHON: "pypi", Family.CRAN: "cran"}
_NO_REASON = "No reason was given."


def document(channel: Channel) -> dict[str, Any]:
    """The document, ready for JSON; the same curations give the same `@id`."""
    curations = list(curations_of(channel))
    # Of the newest curation, not of now: the same curations give the same document.
    last = max((row.created_at for row in curations), default=channel.created_at)
    files = _listed_files(channel, curations)
    optional_statements = (
        _statement(row, aliases, files.get((row.family, row.package), ()))
        for row, aliases in _with_aliases(curations)
    )
    statements = [statement for statement in optional_statements if statement is not None]
    # The id says whether two documents are the same, so no time of writing goes into it.
    digest = hashlib.sha256(msgspec.json.encode(statements, order="sorted")).hexdigest()
    return {
        "@context": VERSION,
        "@id": f"{settings.PUBLIC_URL}/channels/{channel.path}/vex/{digest[:32]}",
        "author": settings.PUBLIC_URL,
        "timestamp": _time(last),
        "version": 1,
        "statements": statements,
    }


def curations_of(channel: Channel) -> QuerySet[Curation]:
    """The curations that touch what the channel lists, the oldest first: later ones overrule."""
    listed = ListedAdvisory.objects.filter(channel=channel)
    # A curation may name any alias of the advisory.
    ids = Identifier.objects.filter(
        record__advisory__name__in=listed.values("advisory"), upstream=False
    )
    return Curation.objects.filter(
        advisory__in=ids.values("text"), package__in=listed.values("package")
    ).order_by("created_at", "pk")


def _with_aliases(curations: list[Curation]) -> Iterator[tuple[Curation, list[str]]]:
    names = {row.advisory for row in curations}
    advisories: dict[str, int] = dict(
        Identifier.objects.filter(text__in=names, upstream=False).values_list(
            "text", "record__advisory"
        )
    )
    aliases: dict[int, set[str]] = {}
    rows = Identifier.objects.filter(record__advisory__in=advisories.values(), upstream=False)
    for advisory, text in rows.values_list("record__advisory", "text"):
        aliases.setdefault(advisory, set()).add(text)
    for row in curations:
        yield row, sorted(aliases.get(advisories.get(row.advisory, 0), set()) - {row.advisory})


def _statement(row: Curation, aliases: list[str], files: Iterable[Record]) -> dict[str, Any] | None:
    """None for a curation of versions or of a file that the channel does not list."""
    purls = _purls(row, files)
    # A statement is about its products: without any it says nothing of this channel.
    if not purls:
        return None
    status = STATUSES[Status(row.status)]
    statement: dict[str, Any] = {
        "vulnerability": {"name": row.advisory, **({"aliases": aliases} if aliases else {})},
        "products": [{"@id": purl, "identifiers": {"purl": purl}} for purl in purls],
        "status": status,
        "timestamp": _time(row.created_at),
    }
    # The specification wants a reason for these two, whatever was said here.
    if status == "not_affected":
        statement["impact_statement"] = row.reason or _NO_REASON
    elif status == "affected":
        statement["action_statement"] = row.reason or _NO_REASON
    elif row.reason:
        statement["status_notes"] = row.reason
    return statement


def _purls(row: Curation, files: Iterable[Record]) -> list[str]:
    """What a curation is about. A purl names one version or all, so a spec becomes versions."""
    base = f"pkg:{_PURL_TYPES[Family(row.family)]}/{quote(row.package, safe='')}"
    if row.filename:
        chosen = [record for record in files if record.filename == row.filename]
        return list(dict.fromkeys(f"{base}@{_of_file(row.family, record)}" for record in chosen))
    if row.spec:
        fits = spec_test(row.family, row.spec)
        versions = {record.version for record in files if fits(record.version)}
        return [f"{base}@{quote(version, safe='')}" for version in sorted(versions)]
    return [base]


def _of_file(family: str, record: Record) -> str:
    version = quote(record.version, safe="")
    if family == Family.CONDA:
        # The qualifiers that the purl type `conda` defines; `file_name` is PyPI's.
        kind = "conda" if record.filename.endswith(".conda") else "tar.bz2"
        return f"{version}?build={quote(record.build, safe='')}&type={kind}"
    return f"{version}?file_name={quote(record.filename, safe='')}"


def _listed_files(
    channel: Channel, curations: Iterable[Curation]
) -> dict[tuple[str, str], list[Record]]:
    """The listed files of the packages that curations of some files are about."""
    names = {row.package for row in curations if row.spec or row.filename}
    rows = Package.objects.at(channel.current).filter(channel=channel, shard__isnull=False)
    # As `curated_name` spells them; R's names are listed as their authors write them.
    rows = rows.annotate(lower_name=Lower("name")).filter(lower_name__in=names)
    files: dict[tuple[str, str], list[Record]] = {}
    # A chunk's shards are in memory together, and one may have megabytes.
    for row in rows.select_related("shard").iterator(chunk_size=50):
        files.setdefault((row.family, row.name.lower()), []).extend(records_of(row))
    return files


def _time(time: dt.datetime) -> str:
    return time.astimezone(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
