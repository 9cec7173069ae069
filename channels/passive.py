"""Brings a listed file here when a client asks for it: once, over all clients and processes.

The `Fetch` row elects one leader; its own thread downloads into a temporary file, which every
waiting client reads along. Nothing counts as here before its hash is right. When a leader dies,
one of those who wait takes over.
"""

from __future__ import annotations

import hashlib
import logging
import os
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from io import FileIO
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import Error, connection, transaction
from django.utils import timezone

from channels import blobs, origins, pins
from channels.errors import NoSpace
from channels.lease import Fenced, Heart, Watch
from channels.models import Blob, Fetch, Origin, Package, Refusal
from channels.serving import content
from channels.serving.content import Listed
from ecosystems import registry
from ecosystems.base import Stop, never_stop
from ecosystems.upstream import (
    Client,
    Digest,
    DigestMismatch,
    NotFound,
    TooSlow,
    UpstreamError,
)
from history.models import EventType, record

logger = logging.getLogger(__name__)

VERIFY_SECONDS = 5.0
"""So long a client waits for verified bytes; then it gets what has come so far."""
HELD_BACK = 64 * 1024
"""The end of a file that nobody gets before the whole is verified."""
CHUNK = 256 * 1024
SHORTEST_PAUSE, LONGEST_PAUSE = 0.005, 0.1
LOOK_SECONDS = 1.0
"""How often one who waits looks whether the leader lives."""
DEEPEST = 5
"""Channels of this server behind each other, each the source of the one before."""


class Unavailable(Exception):
    """The file cannot be had now; `str()` is the sentence for the client."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Cut(Exception):
    """What was being sent turned out to be wrong, so the connection must not end well."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A file that is not here, and where it comes from."""

    origin: Origin
    claims: tuple[Listed, ...]
    """The file as the asked channel lists it, then as each source channel behind it does."""

    @property
    def listed(self) -> Listed:
        return self.claims[0]

    @property
    def url(self) -> str:
        return origins.address(self.origin, self.listed.filename, self.listed.address)

    @property
    def refusal_key(self) -> str:
        return hashlib.sha256(self.url.encode()).hexdigest()

    @property
    def key(self) -> str:
        """The same for everybody who wants these bytes."""
        return self.listed.sha256 or self.refusal_key


def wish(listed: Listed, *behind: Listed) -> Wish:
    """Where `listed` comes from, through the channels of this server that it is mirrored from."""
    claims = (*behind, listed)
    origin = _origin(listed)
    source = origin.channel
    if source is None:
        return Wish(origin, claims)
    if len(claims) > DEEPEST:
        raise Unavailable(502, f"{listed.filename} leads through too many channels.")
    if source.deleted is not None:
        raise Unavailable(404, f"The channel {source.path}, its source, has been deleted.")
    found = content.file(
        source,
        listed.package.section,
        listed.filename,
        name=listed.package.name,
        number=source.current,
    )
    if listed.sha256 and found.sha256 != listed.sha256:
        raise Unavailable(404, f"The channel {source.path} has another {listed.filename} by now.")
    return wish(found, *claims)


def obtain(
    what: Wish, *, patience: float | None = None, stop: Stop = never_stop
) -> Blob | Iterator[bytes]:
    """The file's bytes: verified, or after `patience` seconds a stream that verifies at its end.

    Raises `Unavailable` where the upstream does not give them.
    """
    flight = Flight(what)
    until = time.monotonic() + (VERIFY_SECONDS if patience is None else patience)
    pause = SHORTEST_PAUSE
    while True:
        row = flight.look()
        if row is None:
            blob = content.here(what.listed)
            if blob is not None:
                return blob
            _raise_refusal(what)
            flight.begin()
        elif time.monotonic() > until and _ahead(row, what.listed.size):
            return flight.stream()
        else:
            stop()
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)


def local(
    origin: Origin, section: str, filename: str, *, name: str, stop: Stop = never_stop
) -> Digest:
    """Have a file of another channel of this server here, for a run that mirrors that channel.

    `name` is its package's. For threads: leaves no database connection open. Raises
    `UpstreamError`.
    """
    try:
        source = origin.channel
        if source is None or source.deleted is not None:
            raise NotFound(origin.base_url, "The source channel was deleted.", permanent=True)
        listed = content.file(source, section, filename, name=name, number=source.current)
        found = content.here(listed) or obtain(wish(listed), patience=float("inf"), stop=stop)
        assert isinstance(found, Blob)
        return Digest(sha256=found.sha256, md5=found.md5, size=found.size)
    except content.Missing as error:
        raise NotFound(origin.base_url, str(error), permanent=True, status=404) from error
    except Unavailable as error:
        raise UpstreamError(
            origin.base_url, str(error), permanent=True, status=error.status
        ) from error
    finally:
        connection.close()


def reap(watch: Watch) -> None:
    """Forget fetches whose leader died with nobody waiting, and refusals that are over."""
    for row in Fetch.objects.filter(state="running"):
        if watch.dead(row) and Fetch.objects.filter(pk=row.pk, fence=row.fence).delete()[0]:
            _part(row).unlink(missing_ok=True)
    over = Refusal.objects.filter(until__lt=timezone.now())
    if over.exists():
        over.delete()


class Flight:
    """A file on its way, as one waiting client sees it."""

    def __init__(self, what: Wish) -> None:
        self.what = what
        self._watch = Watch()
        self._looked = time.monotonic()

    def begin(self) -> None:
        """Have a row; whoever claims it leads."""
        row, _ = Fetch.objects.get_or_create(key=self.what.key)
        self._lead(row, "pending")

    def look(self) -> Fetch | None:
        """The row, None once the fetch is over; takes over from a leader that is gone."""
        row = Fetch.objects.filter(key=self.what.key).first()
        if row is None:
            return None
        now = time.monotonic()
        if row.state == "pending":
            self._lead(row, "pending")
        elif now - self._looked >= LOOK_SECONDS:
            self._looked = now
            if self._watch.dead(row):
                self._lead(row, "running")
        return row

    def stream(self) -> Iterator[bytes]:
        """All bytes in order; the last ones only when the whole has the right hash."""
        size = self.what.listed.size
        sent, digest, pause = 0, hashlib.sha256(), SHORTEST_PAUSE
        while (blob := self._landed()) is None:
            row = self.look()
            chunk = _read(_part(row), sent, size - HELD_BACK) if row else b""
            if chunk:
                digest.update(chunk)
                sent += len(chunk)
                pause = SHORTEST_PAUSE
                yield chunk
            else:
                time.sleep(pause)
                pause = min(pause * 1.5, LONGEST_PAUSE)
        path = blobs.path(blob.sha256)
        while chunk := _read(path, sent, size - HELD_BACK):
            digest.update(chunk)
            sent += len(chunk)
            yield chunk
        end = _read(path, sent, size)
        digest.update(end)
        # What was sent before may have come from an attempt that was begun anew since.
        if digest.hexdigest() != blob.sha256:
            raise Cut(f"The upstream changed {self.what.listed.filename} while it was sent.")
        yield end

    def _landed(self) -> Blob | None:
        """The verified file once it is here; `Cut` if the upstream does not give it."""
        if Fetch.objects.filter(key=self.what.key).exists():
            return None
        blob = content.here(self.what.listed)
        if blob is None:
            try:
                _raise_refusal(self.what)
            except Unavailable as error:
                raise Cut(str(error)) from error
            self.begin()
        return blob

    def _lead(self, row: Fetch, state: str) -> None:
        size = self.what.listed.size
        part = blobs.temporary("fetch").name
        now = timezone.now()
        if row.claim(from_states=(state,), state="running", path=part, size=size, started=now):
            threading.Thread(
                target=_lead, args=(self.what, row), daemon=True, name=f"fetch {row.pk}"
            ).start()


def _lead(what: Wish, row: Fetch) -> None:
    """The leader's thread: it goes on whoever leaves."""
    try:
        with Heart(row) as heart:
            # The one before may have finished between our look at the files and at the row.
            if content.here(what.listed) is None:
                _bring(what, row, heart)
            else:
                _end(row)
    except Fenced as error:
        logger.info("A fetch was handed on: %s", error)
    except Error:
        logger.exception("The database failed a fetch; who waits begins it anew.")
        connection.close()
        _end(row)
    finally:
        connection.close()


def _bring(what: Wish, row: Fetch, heart: Heart) -> None:
    listed, part = what.listed, _part(row)
    try:
        blobs.make_room(max(listed.size, 0))
        client = _client(what.origin.pk, what.origin.key, tuple(settings.UPSTREAM_ALLOW))
        digest = origins.download(
            client,
            what.origin,
            part,
            section=listed.package.section,
            file=listed,
            stop=heart.check,
        )
        blobs.settle(part, digest.sha256)
        _arrived(what, row, digest)
    except (UpstreamError, NoSpace, OSError) as error:
        logger.warning("%s was not fetched: %s", listed.filename, error)
        _refuse(what, row, error)
    finally:
        part.unlink(missing_ok=True)


def _arrived(what: Wish, row: Fetch, digest: Digest) -> None:
    """Everything that the arrival changes, at once."""
    with transaction.atomic():
        _end(row)
        blobs.register([Blob(sha256=digest.sha256, md5=digest.md5, size=digest.size, file=True)])
        for claim in what.claims:
            mark(claim)
            if not claim.sha256 and not claim.md5:
                pins.learn(_origin(claim), claim.filename, digest)
            _tell(EventType.ARTIFACT_GENERATED, claim, bytes=digest.size)


def _tell(event: EventType, claim: Listed, **meta: Any) -> None:
    package = claim.package
    record(
        event,
        channel_id=claim.channel.pk,
        family=package.family,
        data={
            "artifact_family": package.family,
            "name": package.name,
            "section": package.section,
            "ckey": registry.of_family(package.family).key(
                package.section, package.name, claim.filename
            ),
            "channel": claim.channel.path,
        },
        meta={"files": [claim.filename], **meta},
    )


def mark(listed: Listed) -> None:
    """Have the package judged again: more of its files are here than its row says."""
    package = listed.package
    rows = Package.objects.at(listed.channel.current).filter(
        channel=listed.channel, section=package.section, name=package.name, stale=False
    )
    if rows.exists():
        rows.update(stale=True)


def _end(row: Fetch) -> None:
    if not Fetch.objects.filter(pk=row.pk, fence=row.fence).delete()[0]:
        raise Fenced(f"fetch {row.pk} has another owner")


def _refuse(what: Wish, row: Fetch, error: Exception) -> None:
    status, message = _words(what, error)
    until = settings.REFUSAL_SECONDS * random.uniform(0.75, 1.25)
    with transaction.atomic():
        _end(row)
        if _is_held(what, error):
            for claim in what.claims:
                _tell(EventType.ARTIFACT_HELD, claim, message=message)
        Refusal.objects.update_or_create(
            key=what.refusal_key,
            defaults={
                "status": status,
                "message": message,
                "until": timezone.now() + timedelta(seconds=until),
            },
        )


def _is_held(what: Wish, error: Exception) -> bool:
    """Whether the upstream has other bytes now than when the file first came."""
    return isinstance(error, DigestMismatch) and what.listed.pinned


def _words(what: Wish, error: Exception) -> tuple[int, str]:
    name = what.listed.filename
    if _is_held(what, error):
        return 502, pins.HELD.format(name=name)
    if isinstance(error, NotFound):
        return 404, f"The upstream lists {name} but no longer has it: {error}"
    if isinstance(error, TooSlow):
        return 504, f"{name} could not be fetched from the upstream: {error}"
    if isinstance(error, UpstreamError):
        return 502, f"{name} could not be fetched from the upstream: {error}"
    return 503, f"{name} could not be stored: the server's disk is full or fails."


def _raise_refusal(what: Wish) -> None:
    refusal = Refusal.objects.filter(key=what.refusal_key, until__gt=timezone.now()).first()
    if refusal is not None:
        raise Unavailable(refusal.status, refusal.message)


def _origin(listed: Listed) -> Origin:
    """Where the package's row says that this file comes from."""
    pk = origins.origin_of(listed.package.origins, listed.filename)
    if pk is None:
        raise Unavailable(404, f"Nobody knows where {listed.filename} comes from.")
    return _load(pk)


def _load(pk: int) -> Origin:
    return Origin.objects.select_related("channel__parent").get(pk=pk)


@lru_cache(maxsize=64)
def _client(pk: int, key: str, allow: tuple[str, ...]) -> Client:
    """One client an origin, so that connections stay open; origins are immutable."""
    del key, allow  # parts of what makes a client another one
    return origins.client(Origin.objects.get(pk=pk))


def _part(row: Fetch) -> Path:
    return Path(settings.DATA) / "tmp" / row.path


def _ahead(row: Fetch, size: int) -> bool:
    """Whether a stream could send something at once."""
    try:
        return size > HELD_BACK and _part(row).stat().st_size > 0
    except FileNotFoundError:
        return False


def _read(path: Path, start: int, end: int) -> bytes:
    """What is there from `start` on, up to `end`."""
    if start >= end:
        return b""
    try:
        with FileIO(path) as file:
            return os.pread(file.fileno(), min(CHUNK, end - start), start)
    except FileNotFoundError:
        return b""
