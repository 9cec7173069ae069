"""Answers everything under /api/repo, in front of Django: what conda clients reach.

What is hot is one number read from the database, one dictionary, and the bytes; the rest takes
the long way once and is remembered until the number rises (`delivery.cache`).
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import Any

from django.db import InterfaceError, OperationalError

from channels import access, signals
from channels.errors import Missing
from channels.models import Blob, Channel
from channels.services import is_reserved
from delivery import auth, cache, download_counts, lookup, paths, ranges
from delivery.auth import Identity
from delivery.cache import Caches
from delivery.lookup import Listed
from delivery.on_demand.errors import Unavailable
from delivery.on_demand.request import FetchRequest, request_for
from delivery.on_demand.results import mark_stale
from delivery.paths import Address, BadAddress
from delivery.responses import (
    FILE_AGE,
    FOREVER_AGE,
    Damaged,
    Entity,
    Environ,
    Headers,
    Problem,
    Reply,
    problem,
    safe,
    send,
)
from ecosystems.base import Ecosystem
from ecosystems.documents import Location
from publishing import on_demand_packages

logger = logging.getLogger(__name__)
signals.connect()

FOREVER = float("inf")
SHORT_SECONDS = 60.0
"""How long an answer holds that time may change."""
LOG_IN = [("WWW-Authenticate", 'Basic realm="Packages", charset="UTF-8"')]
ALLOWED = [("Allow", "GET, HEAD")]
NO_UPLOADS = "This server takes no uploads: a channel's packages come from its mirrors."


@dataclass(slots=True)
class Answer:
    """What is remembered of a request: one of `entity`, `listed`, `refusal`, `page`."""

    until: float
    user: str = ""
    entity: Entity | None = None
    listed: Listed | None = None
    """A file whose bytes were not here."""
    refusal: Problem | None = None
    moved: str = ""
    """Where this really lies, as seen from the address that was asked for."""
    age: str = FILE_AGE
    """How long caches may keep the file `listed`."""
    page: str = ""
    """Where browsers are sent; everybody else gets `refusal`."""


@dataclass(slots=True)
class Waiting:
    """An answer that has to wait for a file to come from its upstream."""

    environ: Environ
    answer: Answer
    listed: Listed
    request: FetchRequest

    def arrived(self, blob: Blob) -> Reply:
        """The answer once the verified file is here."""
        try:
            mark_stale(self.listed)
            return _arrived(self.environ, self.answer, self.listed, blob)
        except (FileNotFoundError, Damaged) as error:
            return _broken(self.environ, error)

    def begun(self) -> Reply:
        """The head of an answer whose body is sent while the file comes."""
        download_counts.note(self.listed.item, self.answer.user)
        return Reply(200, lookup.promised(self.listed, self.answer.age).headers)

    def refused(self, error: Unavailable) -> Reply:
        """The answer in words."""
        return problem(self.environ, Problem(error.status, str(error), error.headers))


def remembered(environ: Environ, caches: Caches) -> Reply | None:
    """The answer out of memory, at once; None where it has to be looked for."""
    if reply := _not_asked_right(environ):
        return reply
    key = _key(environ)
    answer = caches.answers.items.get(key) or caches.refusals.items.get(key)
    if answer is None or answer.until < time.monotonic():
        return _unnamed(environ, caches)
    try:
        return _made(environ, answer)
    except (FileNotFoundError, Damaged):
        return None


def _unnamed(environ: Environ, caches: Caches) -> Reply | None:
    """The refusal of a file of a package that no revision has; None where that is not sure.

    Not remembered: to find it again takes no longer, and clients may make up any number of names.
    """
    try:
        address = paths.parse(environ["PATH_INFO"])
    except BadAddress:
        return None
    name = address.name
    channel = caches.channels.items.get(address.channel)
    if channel is None or not name or address.revision or address.prefix or address.shard:
        return None
    if not caches.names.lacks(channel, address.section, name):
        return None
    if not access.is_public_without_query(channel):
        return None
    missing = lookup.unnamed(channel, address.section, address.filename)
    return problem(environ, Problem(missing.status, str(missing)))


def respond(environ: Environ) -> Reply | Waiting:
    """The answer, with as many looks at the database as it takes; never waits for an upstream."""
    if reply := _not_asked_right(environ):
        return reply
    try:
        return _give(environ, _key(environ), cache.current())
    except (OperationalError, InterfaceError):
        logger.exception("The database did not answer.")
        detail = "The database of this server does not answer now. Try again."
        return problem(environ, Problem(503, detail, [("Retry-After", "5")]))


def _not_asked_right(environ: Environ) -> Reply | None:
    if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        return problem(environ, Problem(405, NO_UPLOADS, ALLOWED))
    if "sbom=" in environ.get("QUERY_STRING", ""):
        return problem(environ, Problem(404, "This server has no bills of materials."))
    return None


def _key(environ: Environ) -> bytes:
    path = environ["PATH_INFO"]
    form = paths.form(path, environ.get("HTTP_ACCEPT", ""))
    credentials = environ.get("HTTP_AUTHORIZATION"), environ.get("HTTP_X_AUTH")
    return cache.key(path, *credentials, form)


def _remember(environ: Environ, key: Any, caches: Caches) -> Answer:
    answer = _resolve(environ, caches)
    if answer.refusal is not None:
        caches.answers.drop(key)
        caches.refusals.put(key, answer, cache.ROW_BYTES + 2 * len(answer.refusal.detail))
    elif answer.entity is None or len(answer.entity.body) < cache.MEMORY // 64:
        weight = len(answer.entity.body) if answer.entity else 0
        caches.answers.put(key, answer, cache.ROW_BYTES + weight)
    return answer


def _resolve(environ: Environ, caches: Caches) -> Answer:
    """The long way: address, caller, channel, revision, and what lies there."""
    try:
        address = paths.parse(environ["PATH_INFO"])
    except BadAddress as error:
        return Answer(FOREVER, refusal=Problem(error.status, str(error)))
    if address.root:
        return _root(address)
    caller = auth.identify(environ, address.token, caches)
    channel = _channel(address.channel, caches)
    if channel is None or not access.may_read(caller.user, caller.token, channel):
        return _closed(caller, address.channel)
    try:
        form = paths.form(environ["PATH_INFO"], environ.get("HTTP_ACCEPT", ""))
        answer = _look_up(channel, address, form)
    except Missing as error:
        if isinstance(error, lookup.Unnamed) and not address.prefix:
            caches.names.missed(channel, address.section)
        until = FOREVER if error.lasting else time.monotonic() + SHORT_SECONDS
        answer = Answer(until, refusal=Problem(error.status, str(error)))
    answer.user = caller.name
    answer.until = min(answer.until, caller.until)
    return answer


def _root(address: Address) -> Answer:
    detail = f"This is the address of the channel {address.channel}; packages lie in its folders."
    page = f"/channels/{address.channel}/"
    return Answer(FOREVER, refusal=Problem(404, detail), page=page)


def _closed(caller: Identity, path: str) -> Answer:
    """The same for a channel that is not there and for one that the caller may not know of."""
    if caller.user is None and _nameable(path):
        detail = f"The channel {path} does not exist, or it needs a valid token."
        until = time.monotonic() + auth.REMEMBERED_SECONDS
        return Answer(until, refusal=Problem(401, detail, LOG_IN))
    return Answer(caller.until, refusal=Problem(404, f"There is no channel {path}."))


def _nameable(path: str) -> bool:
    """Whether any channel can have this path; of what cannot be, everybody may know."""
    return not any(map(is_reserved, path.split("/")))


def _channel(path: str, caches: Caches) -> Channel | None:
    channel = caches.channels.items.get(path)
    if channel is None:
        channel = Channel.objects.at(path).select_related("parent").first()
        if channel is not None:
            caches.channels.put(path, channel, cache.ROW_BYTES)
    return channel


def _look_up(channel: Channel, address: Address, form: str) -> Answer:
    number = lookup.revision(channel, address.revision)
    if address.revision.startswith("r"):
        return _lasting(_at_revision(channel, address, number, form))
    return _at_revision(channel, address, number, form)


def _lasting(answer: Answer) -> Answer:
    """What stands at a revision's number never changes."""
    answer.age = FOREVER_AGE
    if answer.entity is not None:
        answer.entity = replace(answer.entity, age=FOREVER_AGE)
    return answer


def _at_revision(channel: Channel, address: Address, number: int, form: str) -> Answer:
    # A revision is thinned out without notice, so what it answers is asked again now and then.
    until = time.monotonic() + SHORT_SECONDS if address.revision else FOREVER
    if address.shard:
        return Answer(until, entity=lookup.shard(channel, address))
    if address.prefix:
        return _behind_prefix(channel, address, number, until=until, form=form)
    if not address.section or not address.name:
        return Answer(until, entity=lookup.index(channel, address, number))
    listed = lookup.file(
        channel, address.section, address.filename, name=address.name, number=number
    )
    return _file(listed, until)


def _behind_prefix(
    channel: Channel, address: Address, number: int, *, until: float, form: str
) -> Answer:
    """What an ecosystem with addresses of its own says that lies there."""
    ecosystem = paths.PREFIXES[address.prefix]
    spot = ecosystem.locate(address.inside, form)
    if spot is None:
        raise Missing(f"There is no {address.inside} in {channel.path}/{address.prefix}.")
    if spot.moved:
        return Answer(until, moved=spot.moved)
    if not spot.name:
        where = replace(address, section=spot.section, filename=spot.filename)
        vary = "Accept" if form else ""
        return Answer(until, entity=lookup.index(channel, where, number, vary=vary))
    try:
        return _of_package(channel, spot, number, ecosystem=ecosystem, form=form, until=until)
    except Missing:
        if not on_demand_packages.ensure_package(channel, spot.section, spot.name, number):
            raise
    return _of_package(channel, spot, number, ecosystem=ecosystem, form=form, until=until)


def _of_package(
    channel: Channel, spot: Location, number: int, *, ecosystem: Ecosystem, form: str, until: float
) -> Answer:
    """A package's page, or one of its files."""
    if not spot.filename:
        entity = lookup.page(channel, spot, number, ecosystem=ecosystem, form=form)
        return Answer(until, entity=entity)
    listed = lookup.file(channel, spot.section, spot.filename, name=spot.name, number=number)
    return _file(listed, until)


def _file(listed: Listed, until: float) -> Answer:
    if not listed.lasting:
        until = time.monotonic() + SHORT_SECONDS
    blob = lookup.here(listed)
    if blob is None:
        return Answer(until, listed=listed)
    return Answer(until, entity=lookup.entity(listed, blob, FILE_AGE))


def _give(environ: Environ, key: Any, caches: Caches) -> Reply | Waiting:
    answer = caches.answers.items.get(key) or caches.refusals.items.get(key)
    if answer is None or answer.until < time.monotonic():
        answer = _remember(environ, key, caches)
    try:
        try:
            reply = _made(environ, answer)
        except FileNotFoundError:
            # Cleaned up since; or lost.
            answer = _remember(environ, key, caches)
            reply = _made(environ, answer)
        if reply is not None:
            return reply
        assert answer.listed is not None
        return _fetch(environ, answer, answer.listed)
    except (FileNotFoundError, Damaged) as error:
        return _broken(environ, error)


def _made(environ: Environ, answer: Answer) -> Reply | None:
    """What an answer says to this request; None for a file that is not here yet."""
    if answer.entity is not None:
        return _send(environ, answer.entity, user=answer.user)
    if answer.moved:
        return _redirect(answer.moved, 301)
    if answer.refusal is not None:
        if answer.page and environ.get("HTTP_ACCEPT", "").startswith("text/html"):
            return _redirect(answer.page)
        return problem(environ, answer.refusal)
    return None


def _send(environ: Environ, entity: Entity, *, user: str) -> Reply:
    reply, begun = send(environ, entity)
    reply.user = user
    if begun and entity.item is not None:
        download_counts.note(entity.item, user)
    return reply


def _fetch(environ: Environ, answer: Answer, listed: Listed) -> Reply | Waiting:
    """A file that is listed and was not here: by now it may be, else it is fetched."""
    try:
        found = lookup.here(listed)
        if found is not None:
            return _arrived(environ, answer, listed, found)
        promised = lookup.promised(listed, answer.age)
        asked = environ["REQUEST_METHOD"] == "GET"
        if not asked or ranges.unchanged(environ, promised.etag, promised.modified):
            return _send(environ, promised, user=answer.user)
        return Waiting(environ, answer, listed, request_for(listed))
    except Unavailable as error:
        return problem(environ, Problem(error.status, str(error), error.headers))
    except Missing as error:
        return problem(environ, Problem(404, str(error)))


def _arrived(environ: Environ, answer: Answer, listed: Listed, blob: Blob) -> Reply:
    entity = lookup.entity(listed, blob, answer.age)
    answer.entity, answer.listed = entity, None
    return _send(environ, entity, user=answer.user)


def _redirect(page: str, status: int = 302) -> Reply:
    headers: Headers = [("Location", page), ("Content-Length", "0"), ("Vary", "Accept"), *safe()]
    return Reply(status, headers)


def _broken(environ: Environ, error: Exception) -> Reply:
    logger.error("A stored file cannot be served: %s", error)
    detail = "The stored file is damaged or lost. An administrator has to have it repaired."
    return problem(environ, Problem(500, detail))
