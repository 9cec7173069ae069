"""Answers everything under /api/repo, in front of Django: what conda clients reach.

What is hot is one number read from the database, one dictionary, and the bytes; the rest takes
the long way once and is remembered until the number rises (`channels.serving.generation`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from django.db import InterfaceError, OperationalError

from channels import access, downloads, ondemand, passive, signals
from channels.models import Blob, Channel
from channels.serving import addresses, content, generation, identity, ranges
from channels.serving.addresses import Address, BadAddress
from channels.serving.answers import (
    NO_SNIFF,
    Damaged,
    Entity,
    Environ,
    Problem,
    StartResponse,
    problem,
    send,
)
from channels.serving.content import Listed, Missing
from channels.serving.generation import Caches
from channels.serving.identity import Caller
from ecosystems.base import Ecosystem, Spot
from ecosystems.conda.channel import name_of

logger = logging.getLogger(__name__)
signals.connect()

FOREVER = float("inf")
SHORT_SECONDS = 60.0
"""How long an answer holds that time may change."""
LOG_IN = [("WWW-Authenticate", 'Basic realm="Packages", charset="UTF-8"')]
ALLOWED = [("Allow", "GET, HEAD")]


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
    page: str = ""
    """Where browsers are sent; everybody else gets `refusal`."""


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The WSGI application for the paths that `addresses.ours` names."""
    if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        return problem(environ, start_response, Problem(405, "Only GET and HEAD.", ALLOWED))
    if "sbom=" in environ.get("QUERY_STRING", ""):
        return problem(
            environ, start_response, Problem(404, "This server has no bills of materials.")
        )
    form = addresses.form(environ["PATH_INFO"], environ.get("HTTP_ACCEPT", ""))
    key = generation.key(
        environ["PATH_INFO"],
        environ.get("HTTP_AUTHORIZATION"),
        environ.get("HTTP_X_AUTH"),
        form,
    )
    try:
        caches = generation.current()
        answer = caches.answers.items.get(key) or caches.refusals.items.get(key)
        if answer is None or answer.until < time.monotonic():
            answer = _remember(environ, key, caches)
        return _give(environ, start_response, answer, key=key, caches=caches)
    except (OperationalError, InterfaceError):
        logger.exception("The database did not answer.")
        detail = "The database of this server does not answer now. Try again."
        return problem(environ, start_response, Problem(503, detail, [("Retry-After", "5")]))


def _remember(environ: Environ, key: Any, caches: Caches) -> Answer:
    answer = _resolve(environ, caches)
    if answer.refusal is not None:
        caches.answers.drop(key)
        caches.refusals.put(key, answer, generation.ROW_BYTES + 2 * len(answer.refusal.detail))
    elif answer.entity is None or len(answer.entity.body) < generation.MEMORY // 64:
        weight = len(answer.entity.body) if answer.entity else 0
        caches.answers.put(key, answer, generation.ROW_BYTES + weight)
    return answer


def _resolve(environ: Environ, caches: Caches) -> Answer:
    """The long way: address, caller, channel, revision, and what lies there."""
    try:
        address = addresses.parse(environ["PATH_INFO"])
    except BadAddress as error:
        return Answer(FOREVER, refusal=Problem(error.status, str(error)))
    if address.root:
        return _root(address)
    caller = identity.identify(environ, address.token, caches)
    channel = _channel(address.channel, caches)
    if channel is None:
        return Answer(FOREVER, refusal=Problem(404, f"There is no channel {address.channel}."))
    if not access.may_read(caller.user, caller.token, channel):
        return _closed(caller, channel)
    try:
        form = addresses.form(environ["PATH_INFO"], environ.get("HTTP_ACCEPT", ""))
        answer = _look_up(channel, address, form)
    except Missing as error:
        until = FOREVER if error.lasting else time.monotonic() + SHORT_SECONDS
        answer = Answer(until, refusal=Problem(error.status, str(error)))
    answer.user = caller.name
    answer.until = min(answer.until, caller.until)
    return answer


def _root(address: Address) -> Answer:
    detail = f"This is the address of the channel {address.channel}; packages lie in its folders."
    page = f"/channels/{address.channel}/"
    return Answer(FOREVER, refusal=Problem(404, detail), page=page)


def _closed(caller: Caller, channel: Channel) -> Answer:
    if caller.user is None:
        detail = f"The channel {channel.path} needs a valid token."
        until = time.monotonic() + identity.REMEMBERED_SECONDS
        return Answer(until, refusal=Problem(401, detail, LOG_IN))
    return Answer(caller.until, refusal=Problem(404, f"There is no channel {channel.path}."))


def _channel(path: str, caches: Caches) -> Channel | None:
    channel = caches.channels.items.get(path)
    if channel is None:
        channel = Channel.objects.at(path).select_related("parent").first()
        if channel is not None:
            caches.channels.put(path, channel, generation.ROW_BYTES)
    return channel


def _look_up(channel: Channel, address: Address, form: str) -> Answer:
    number = content.revision(channel, address.revision)
    # A revision is thinned out without notice, so what it answers is asked again now and then.
    until = time.monotonic() + SHORT_SECONDS if address.revision else FOREVER
    if address.shard:
        return Answer(until, entity=content.shard(channel, address))
    if address.prefix:
        return _behind_prefix(channel, address, number, until=until, form=form)
    name = name_of(address.filename)
    if not address.section or name is None:
        return Answer(until, entity=content.index(channel, address, number))
    listed = content.file(channel, address.section, address.filename, name=name, number=number)
    return _file(listed, until)


def _behind_prefix(
    channel: Channel, address: Address, number: int, *, until: float, form: str
) -> Answer:
    """What an ecosystem with addresses of its own says that lies there."""
    ecosystem = addresses.PREFIXES[address.prefix]
    spot = ecosystem.locate(address.inside, form)
    if spot is None:
        raise Missing(f"There is no {address.inside} in {channel.path}/{address.prefix}.")
    if spot.moved:
        return Answer(until, moved=spot.moved)
    if not spot.name:
        where = replace(address, section=spot.section, filename=spot.filename)
        vary = "Accept" if form else ""
        return Answer(until, entity=content.index(channel, where, number, vary=vary))
    try:
        return _of_package(channel, spot, number, ecosystem=ecosystem, form=form, until=until)
    except Missing:
        if not ondemand.bring(channel, spot.section, spot.name, number):
            raise
    return _of_package(channel, spot, number, ecosystem=ecosystem, form=form, until=until)


def _of_package(
    channel: Channel, spot: Spot, number: int, *, ecosystem: Ecosystem, form: str, until: float
) -> Answer:
    """A package's page, or one of its files."""
    if not spot.filename:
        entity = content.page(channel, spot, number, ecosystem=ecosystem, form=form)
        return Answer(until, entity=entity)
    listed = content.file(channel, spot.section, spot.filename, name=spot.name, number=number)
    return _file(listed, until)


def _file(listed: Listed, until: float) -> Answer:
    if not listed.lasting:
        until = time.monotonic() + SHORT_SECONDS
    blob = content.here(listed)
    if blob is None:
        return Answer(until, listed=listed)
    return Answer(until, entity=content.entity(listed, blob))


def _give(
    environ: Environ, start_response: StartResponse, answer: Answer, *, key: Any, caches: Caches
) -> Iterable[bytes]:
    if answer.entity is not None:
        try:
            return _send(environ, start_response, answer.entity, user=answer.user)
        except FileNotFoundError:
            # Cleaned up since; or lost.
            answer = _remember(environ, key, caches)
        except Damaged as error:
            return _broken(environ, start_response, error)
    if answer.moved:
        return _redirect(start_response, answer.moved, "301 Moved Permanently")
    if answer.refusal is not None:
        if answer.page and environ.get("HTTP_ACCEPT", "").startswith("text/html"):
            return _redirect(start_response, answer.page)
        return problem(environ, start_response, answer.refusal)
    if answer.listed is not None:
        return _fetch(environ, start_response, answer, answer.listed)
    assert answer.entity is not None
    try:
        return _send(environ, start_response, answer.entity, user=answer.user)
    except (FileNotFoundError, Damaged) as error:
        return _broken(environ, start_response, error)


def _send(
    environ: Environ, start_response: StartResponse, entity: Entity, *, user: str
) -> Iterable[bytes]:
    body, begun = send(environ, start_response, entity)
    if begun and entity.item is not None:
        downloads.note(entity.item, user)
    return body


def _fetch(
    environ: Environ, start_response: StartResponse, answer: Answer, listed: Listed
) -> Iterable[bytes]:
    """A file that is listed and was not here: by now it may be, else it is fetched."""
    try:
        found = content.here(listed)
        if found is None:
            promised = content.promised(listed)
            asked = environ["REQUEST_METHOD"] == "GET"
            if not asked or ranges.unchanged(environ, promised.etag, promised.modified):
                return _send(environ, start_response, promised, user=answer.user)
            brought = passive.obtain(passive.wish(listed))
            if not isinstance(brought, Blob):
                start_response("200 OK", promised.headers)
                downloads.note(listed.item, answer.user)
                return brought
            passive.mark(listed)
            found = brought
        answer.entity = content.entity(listed, found)
        answer.listed = None
        return _send(environ, start_response, answer.entity, user=answer.user)
    except passive.Unavailable as error:
        return problem(environ, start_response, Problem(error.status, str(error)))
    except Missing as error:
        return problem(environ, start_response, Problem(404, str(error)))
    except (FileNotFoundError, Damaged) as error:
        return _broken(environ, start_response, error)


def _redirect(
    start_response: StartResponse, page: str, status: str = "302 Found"
) -> Iterable[bytes]:
    headers = [("Location", page), ("Content-Length", "0"), ("Vary", "Accept"), NO_SNIFF]
    start_response(status, [*headers, ("Referrer-Policy", "no-referrer")])
    return [b""]


def _broken(environ: Environ, start_response: StartResponse, error: Exception) -> Iterable[bytes]:
    logger.error("A stored file cannot be served: %s", error)
    detail = "The stored file is damaged or lost. An administrator has to have it repaired."
    return problem(environ, start_response, Problem(500, detail))
