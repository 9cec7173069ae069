"""Answers everything under /api/repo, in front of Django: what conda clients reach.

What is hot is one number read from the database, one dictionary, and the bytes; the rest takes
the long way once and is remembered until the number rises (`delivery.cache`).
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from django.db import InterfaceError, OperationalError

from channels import access, signals
from channels.errors import Missing
from channels.models import Blob
from delivery import cache, download_counts, listed_files, paths, ranges
from delivery.cache import Caches
from delivery.listed_files import ListedFile
from delivery.on_demand.errors import Unavailable
from delivery.on_demand.request import FetchRequest, request_for
from delivery.on_demand.results import mark_stale
from delivery.paths import BadAddress
from delivery.resolve import CachedAnswer, resolve
from delivery.responses import (
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

logger = logging.getLogger(__name__)
signals.connect()

ALLOWED = [("Allow", "GET, HEAD")]
NO_UPLOADS = "This server takes no uploads: a channel's packages come from its mirrors."


@dataclass(slots=True)
class PendingReply:
    """A reply that has to wait until its file has come from the upstream."""

    environ: Environ
    answer: CachedAnswer
    listed: ListedFile
    request: FetchRequest

    def with_file(self, blob: Blob) -> Reply:
        """The reply once the verified file is stored."""
        try:
            mark_stale(self.listed)
            return _reply_with_file(self.environ, self.answer, self.listed, blob)
        except (FileNotFoundError, Damaged) as error:
            return _broken(self.environ, error)

    def head(self) -> Reply:
        """The head of a reply whose body is sent while the file comes."""
        download_counts.note(self.listed.item, self.answer.user)
        return Reply(200, listed_files.expected_entity(self.listed, self.answer.age).headers)

    def refusal(self, error: Unavailable) -> Reply:
        """The reply where the file cannot be had."""
        return problem(self.environ, Problem(error.status, str(error), error.headers))


def cached_reply(environ: Environ, caches: Caches) -> Reply | None:
    """The reply from the caches, without the database; None where they have none."""
    if reply := _unsupported(environ):
        return reply
    key = _key(environ)
    answer = caches.answers.items.get(key) or caches.refusals.items.get(key)
    if answer is None or answer.until < time.monotonic():
        return _unknown_package(environ, caches)
    try:
        return _reply_to(environ, answer)
    except (FileNotFoundError, Damaged):
        return None


def _unknown_package(environ: Environ, caches: Caches) -> Reply | None:
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
    if not caches.name_filters.lacks(channel, address.section, name):
        return None
    if not access.is_public_without_query(channel):
        return None
    missing = listed_files.unknown_package(channel, address.section, address.filename)
    return problem(environ, Problem(missing.status, str(missing)))


def respond(environ: Environ) -> Reply | PendingReply:
    """The answer, with as many looks at the database as it takes; never waits for an upstream."""
    if reply := _unsupported(environ):
        return reply
    try:
        return _answer(environ, _key(environ), cache.current())
    except (OperationalError, InterfaceError):
        logger.exception("The database did not answer.")
        detail = "The database of this server does not answer now. Try again."
        return problem(environ, Problem(503, detail, [("Retry-After", "5")]))


def _unsupported(environ: Environ) -> Reply | None:
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


def _remember(environ: Environ, key: bytes, caches: Caches) -> CachedAnswer:
    answer = resolve(environ, caches)
    if answer.refusal is not None:
        caches.answers.drop(key)
        caches.refusals.put(key, answer, cache.ROW_BYTES + 2 * len(answer.refusal.detail))
    # One large page must not push out thousands of small answers.
    elif answer.entity is None or len(answer.entity.body) < cache.MEMORY // 64:
        weight = len(answer.entity.body) if answer.entity else 0
        caches.answers.put(key, answer, cache.ROW_BYTES + weight)
    return answer


def _answer(environ: Environ, key: bytes, caches: Caches) -> Reply | PendingReply:
    answer = caches.answers.items.get(key) or caches.refusals.items.get(key)
    if answer is None or answer.until < time.monotonic():
        answer = _remember(environ, key, caches)
    try:
        try:
            reply = _reply_to(environ, answer)
        except FileNotFoundError:
            # Garbage collection deleted the file since; or it is lost.
            answer = _remember(environ, key, caches)
            reply = _reply_to(environ, answer)
        if reply is not None:
            return reply
        assert answer.listed is not None
        return _fetch(environ, answer, answer.listed)
    except (FileNotFoundError, Damaged) as error:
        return _broken(environ, error)


def _reply_to(environ: Environ, answer: CachedAnswer) -> Reply | None:
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


def _fetch(environ: Environ, answer: CachedAnswer, listed: ListedFile) -> Reply | PendingReply:
    """A file that is listed and was not here: by now it may be, else it is fetched."""
    try:
        blob = listed_files.stored_blob(listed)
        if blob is not None:
            return _reply_with_file(environ, answer, listed, blob)
        expected = listed_files.expected_entity(listed, answer.age)
        asked = environ["REQUEST_METHOD"] == "GET"
        if not asked or ranges.unchanged(environ, expected.etag, expected.modified):
            return _send(environ, expected, user=answer.user)
        return PendingReply(environ, answer, listed, request_for(listed))
    except Unavailable as error:
        return problem(environ, Problem(error.status, str(error), error.headers))
    except Missing as error:
        return problem(environ, Problem(404, str(error)))


def _reply_with_file(
    environ: Environ, answer: CachedAnswer, listed: ListedFile, blob: Blob
) -> Reply:
    entity = listed_files.stored_entity(listed, blob, answer.age)
    answer.entity, answer.listed = entity, None
    return _send(environ, entity, user=answer.user)


def _redirect(page: str, status: int = 302) -> Reply:
    headers: Headers = [("Location", page), ("Content-Length", "0"), ("Vary", "Accept"), *safe()]
    return Reply(status, headers)


def _broken(environ: Environ, error: Exception) -> Reply:
    logger.error("A stored file cannot be served: %s", error)
    detail = "The stored file is damaged or lost. An administrator has to have it repaired."
    return problem(environ, Problem(500, detail))
