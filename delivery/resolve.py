"""The long way to an answer: address, caller, channel, revision, and what lies there.

What comes of it is remembered (`delivery.cache`), and answers all later requests of its kind.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from channels import access
from channels.errors import Missing, Refused
from channels.models import Channel
from channels.validation import is_reserved
from delivery import auth, cache, documents, listed_files, paths, revisions
from delivery.auth import Identity
from delivery.cache import Caches
from delivery.listed_files import ListedFile
from delivery.paths import Address, BadAddress
from delivery.responses import FILE_AGE, FOREVER_AGE, Entity, Environ, Problem
from ecosystems.base import Ecosystem
from ecosystems.documents import Location
from publishing import on_demand_packages

FOREVER = float("inf")
SHORT_SECONDS = 60.0
"""How long an answer holds that time may change."""
LOG_IN = [("WWW-Authenticate", 'Basic realm="Packages", charset="UTF-8"')]


@dataclass(slots=True)
class CachedAnswer:
    """What is remembered of a request: one of `entity`, `listed`, `refusal`, `moved`."""

    until: float
    """By `time.monotonic()`; the answer also ends with its generation."""
    user: str = ""
    entity: Entity | None = None
    listed: ListedFile | None = None
    """A file whose bytes were not stored."""
    refusal: Problem | None = None
    moved: str = ""
    """Where this really lies, as seen from the address that was asked for."""
    age: str = FILE_AGE
    """How long caches may keep the file `listed`."""
    page: str = ""
    """Where browsers are sent; everybody else gets `refusal`."""


def resolve(environ: Environ, caches: Caches) -> CachedAnswer:
    """What this request gets; a refusal, too, is an answer. Raises the database's errors."""
    try:
        address = paths.parse(environ["PATH_INFO"])
    except BadAddress as error:
        return CachedAnswer(FOREVER, refusal=Problem(error.status, str(error)))
    if address.root:
        return _root(address)
    caller = auth.identify(environ, address.token, caches)
    channel = _channel(address.channel, caches)
    if channel is None or not access.may_read(caller.user, caller.token, channel):
        return _unreadable(caller, address.channel)
    try:
        form = paths.form(environ["PATH_INFO"], environ.get("HTTP_ACCEPT", ""))
        answer = _in_channel(channel, address, form)
    except Missing as error:
        if isinstance(error, listed_files.UnknownPackage) and not address.prefix:
            caches.name_filters.count_miss(channel, address.section)
        until = FOREVER if error.lasting else time.monotonic() + SHORT_SECONDS
        answer = CachedAnswer(until, refusal=Problem(error.status, str(error)))
    answer.user = caller.name
    answer.until = min(answer.until, caller.until)
    return answer


def _root(address: Address) -> CachedAnswer:
    detail = f"This is the address of the channel {address.channel}; packages lie in its folders."
    page = f"/channels/{address.channel}/"
    return CachedAnswer(FOREVER, refusal=Problem(404, detail), page=page)


def _unreadable(caller: Identity, path: str) -> CachedAnswer:
    """The same for a channel that is not there and for one that the caller may not know of."""
    if caller.user is None and _is_possible(path):
        detail = f"The channel {path} does not exist, or it needs a valid token."
        until = time.monotonic() + auth.REMEMBERED_SECONDS
        return CachedAnswer(until, refusal=Problem(401, detail, LOG_IN))
    return CachedAnswer(caller.until, refusal=Problem(404, f"There is no channel {path}."))


def _is_possible(path: str) -> bool:
    """Whether any channel can have this path; of what cannot be, everybody may know."""
    return not any(map(is_reserved, path.split("/")))


def _channel(path: str, caches: Caches) -> Channel | None:
    channel = caches.channels.items.get(path)
    if channel is None:
        channel = Channel.objects.at(path).select_related("parent").first()
        if channel is not None:
            caches.channels.put(path, channel, cache.ROW_BYTES)
    return channel


def _in_channel(channel: Channel, address: Address, form: str) -> CachedAnswer:
    number = revisions.number_of(channel, address.revision)
    if address.revision.startswith("r"):
        return _immutable(_at_revision(channel, address, number, form))
    return _at_revision(channel, address, number, form)


def _immutable(answer: CachedAnswer) -> CachedAnswer:
    """What stands at a revision's number never changes."""
    answer.age = FOREVER_AGE
    if answer.entity is not None:
        answer.entity = replace(answer.entity, age=FOREVER_AGE)
    return answer


def _at_revision(channel: Channel, address: Address, number: int, form: str) -> CachedAnswer:
    # A revision is thinned out without notice, so what it answers is asked again now and then.
    until = time.monotonic() + SHORT_SECONDS if address.revision else FOREVER
    if address.shard:
        return CachedAnswer(until, entity=documents.shard(channel, address))
    if address.prefix:
        return _under_prefix(channel, address, number, until=until, form=form)
    if not address.section or not address.name:
        return CachedAnswer(until, entity=documents.index(channel, address, number))
    listed = listed_files.find(
        channel, address.section, address.filename, name=address.name, number=number
    )
    return _file(listed, until)


def _under_prefix(
    channel: Channel, address: Address, number: int, *, until: float, form: str
) -> CachedAnswer:
    """What an ecosystem with addresses of its own says that lies there."""
    ecosystem = paths.PREFIXES[address.prefix]
    location = ecosystem.locate(address.inside, form)
    if location is None:
        raise Missing(f"There is no {address.inside} in {channel.path}/{address.prefix}.")
    if location.moved:
        return CachedAnswer(until, moved=location.moved)
    if not location.name:
        inner = replace(address, section=location.section, filename=location.filename)
        vary = "Accept" if form else ""
        return CachedAnswer(until, entity=documents.index(channel, inner, number, vary=vary))
    try:
        return _on_demand(channel, location, number, ecosystem=ecosystem, form=form, until=until)
    except Refused as error:
        if location.filename:
            raise
        # PEP 792: clients are told why there are no files, which a 404 cannot do.
        reason = error.reason
        entity = documents.refused_page(
            channel, location.name, reason, ecosystem=ecosystem, form=form
        )
        if entity is None:
            raise
        return CachedAnswer(min(until, time.monotonic() + SHORT_SECONDS), entity=entity)


def _on_demand(
    channel: Channel,
    location: Location,
    number: int,
    *,
    ecosystem: Ecosystem,
    form: str,
    until: float,
) -> CachedAnswer:
    # A passive mirror of a Python index knows names only; the first request brings the page.
    try:
        return _of_package(channel, location, number, ecosystem=ecosystem, form=form, until=until)
    except Refused:
        raise
    except Missing:
        if not on_demand_packages.ensure_package(channel, location.section, location.name, number):
            raise
    return _of_package(channel, location, number, ecosystem=ecosystem, form=form, until=until)


def _of_package(
    channel: Channel,
    location: Location,
    number: int,
    *,
    ecosystem: Ecosystem,
    form: str,
    until: float,
) -> CachedAnswer:
    """A package's page, or one of its files."""
    if not location.filename:
        entity = documents.page(channel, location, number, ecosystem=ecosystem, form=form)
        return CachedAnswer(until, entity=entity)
    listed = listed_files.find(
        channel, location.section, location.filename, name=location.name, number=number
    )
    return _file(listed, until)


def _file(listed: ListedFile, until: float) -> CachedAnswer:
    if not listed.lasting:
        until = time.monotonic() + SHORT_SECONDS
    blob = listed_files.stored_blob(listed)
    if blob is None:
        return CachedAnswer(until, listed=listed)
    return CachedAnswer(until, entity=listed_files.stored_entity(listed, blob, FILE_AGE))
