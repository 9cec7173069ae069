"""Index documents as a revision has them: stored ones, package pages, and shards."""

from __future__ import annotations

from channels import blobs
from channels.access import effective_privacy
from channels.errors import Missing, Refused
from channels.models import Channel, Document, Package
from delivery import paths
from delivery.paths import Address
from delivery.ranges import http_date
from delivery.responses import FOREVER_AGE, INDEX_AGE, Entity
from ecosystems.base import Ecosystem
from ecosystems.documents import Location, Page
from publishing import explain


def index(channel: Channel, address: Address, number: int, *, vary: str = "") -> Entity:
    """A document, or the constant that stands for one that is always there."""
    document = (
        Document.objects.at(number)
        .filter(channel=channel, section=address.section, name=address.filename)
        .select_related("blob")
        .first()
    )
    private = effective_privacy(channel) != Channel.Privacy.PUBLIC
    if document is not None:
        return Entity(
            etag=document.etag,
            size=document.size,
            media_type=document.media_type,
            age=INDEX_AGE,
            private=private,
            path=blobs.path(document.blob_id),
            packed=document.packed,
            stored=document.blob.size,
            modified=http_date(document.blob.created_at.timestamp()),
            vary=vary,
        )
    # conda asks every channel for notices.json, also one whose upstream has none.
    constant = paths.AT_ROOT.default_document(address.section, address.filename)
    if constant is not None and not address.prefix:
        etag = f'"{address.filename.partition(".")[0]}-empty"'
        return Entity(etag, len(constant), "application/json", INDEX_AGE, private, body=constant)
    raise Missing(_no_index(channel, address))


def _no_index(channel: Channel, address: Address) -> str:
    folder = channel.path
    if address.section:
        folder = f"{address.section} of the channel {channel.path}"
    return f"There is no {address.filename} in {folder}."


def page(
    channel: Channel, location: Location, number: int, *, ecosystem: Ecosystem, form: str
) -> Entity:
    """A package's own index page, made of the served form of its shard."""
    rows = Package.objects.at(number).filter(
        channel=channel, section=location.section, name=location.name
    )
    served = rows.values_list("shard__served", "shard__served_sha256").first()
    if served is None or served[0] is None:
        judged = served is not None and number == channel.current
        raise _no_package(channel, location, judged=judged)
    return _page_entity(channel, ecosystem.page(bytes(served[0]), served[1], form), form)


def _page_entity(channel: Channel, document: Page, form: str) -> Entity:
    return Entity(
        etag=document.etag,
        size=len(document.body),
        media_type=document.media_type,
        age=INDEX_AGE,
        private=effective_privacy(channel) != Channel.Privacy.PUBLIC,
        body=document.body,
        vary="Accept" if form else "",
    )


def _no_package(channel: Channel, location: Location, *, judged: bool) -> Missing:
    """`judged`: there are files of the name, and none of them is listed."""
    text = f"The channel {channel.path} lists no package {location.name}."
    verdict = explain.package_verdict(channel, location.section, location.name) if judged else None
    if verdict is None:
        return Missing(text)
    return Refused(f"{text} {verdict.message}", reason=verdict.message)


def refused_page(
    channel: Channel, name: str, reason: str, *, ecosystem: Ecosystem, form: str
) -> Entity | None:
    """The page of a package of which rules refuse every file; None where the type has none."""
    document = ecosystem.refused_page(name, reason, form)
    return None if document is None else _page_entity(channel, document, form)


def shard(channel: Channel, address: Address) -> Entity:
    """A shard that any revision of the channel points at, superseded ones included."""
    # A client that holds an older shard index (CEP 16) asks for its shards by hash. Only those of
    # this channel: a hash alone must not open what another channel lists.
    digest = paths.AT_ROOT.shard_digest(address.filename)
    packages = Package.objects.filter(
        channel=channel, section=address.section, added_in__lte=channel.current
    )
    listed = packages.filter(shard__served_sha256=digest).select_related("shard")
    package = listed.first() if digest else None
    if package is None or package.shard is None:
        raise Missing(_no_index(channel, address))
    body = bytes(package.shard.served)
    return Entity(
        etag=f'"{digest}"',
        size=len(body),
        media_type="application/zstd",
        age=FOREVER_AGE,
        private=effective_privacy(channel) != Channel.Privacy.PUBLIC,
        body=body,
    )
