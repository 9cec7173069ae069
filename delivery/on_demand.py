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
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from io import FileIO
from math import ceil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import Error, connection, transaction
from django.db.models import F, Q
from django.utils import timezone

from channels import blobs, companions, connection_slots, file_sources, pins, readership
from channels.access import audience
from channels.disk_space import DiskReservation, FileReservation
from channels.errors import Missing, NoSpace
from channels.lease import Fenced, Heartbeat, LivenessMonitor
from channels.models import Blob, Channel, Fetch, FileSource, Package, Refusal, UnavailableFile
from channels.states import JobState
from delivery import lookup
from delivery.lookup import Listed
from ecosystems import registry
from ecosystems.progress import Stop, never_stop
from ecosystems.upstream import (
    Client,
    Digest,
    DigestMismatch,
    EgressRefused,
    NotFound,
    TooSlow,
    UpstreamError,
    optional,
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
NO_ROOM = 503
TEMPORARY = frozenset({502, NO_ROOM, 504})
DEEPEST = 5
"""Channels of this server behind each other, each the source of the one before."""


class Unavailable(Exception):
    """The file cannot be had now; `str()` is the sentence for the client.

    `again`: seconds after which another try makes sense; 0 = none does.
    """

    def __init__(self, status: int, detail: str, *, again: float = 0.0) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = [("Retry-After", str(max(1, ceil(again))))] if again > 0 else []


class Cut(Exception):
    """What was being sent turned out to be wrong, so the connection must not end well."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A file that is not here, and where it comes from."""

    file_source: FileSource
    claims: tuple[Listed, ...]
    """The file as the asked channel lists it, then as each source channel behind it does."""

    @property
    def listed(self) -> Listed:
        return self.claims[0]

    @property
    def url(self) -> str:
        return file_sources.file_url(self.file_source, self.listed.filename, self.listed.address)

    @property
    def refusal_key(self) -> str:
        """Of this address and the bytes expected there: a changed record asks anew."""
        expected = self.listed.sha256 or self.listed.md5
        return self._hash(f"{self.url}\0{expected}")

    @property
    def key(self) -> str:
        """The same for everybody who wants these bytes from this origin.

        Who lists the same hash for another origin must not read along: theirs may not have it.
        """
        return self._hash(self.listed.sha256 or self.url)

    def _hash(self, text: str) -> str:
        return hashlib.sha256(f"{self.file_source.key}\0{text}".encode()).hexdigest()


def wish(listed: Listed, *behind: Listed) -> Wish:
    """Where `listed` comes from, through the channels of this server that it is mirrored from."""
    claims = (*behind, listed)
    origin = _origin(listed)
    source = origin.channel
    if source is None:
        return Wish(origin, claims)
    if len(claims) > DEEPEST:
        raise Unavailable(502, f"{listed.filename} leads through too many channels.")
    if source.deleted_at is not None:
        raise Unavailable(404, f"The source of {listed.filename} has been deleted.")
    if not readership.may_pass_on(listed.channel, source):
        raise Unavailable(404, f"The source of {listed.filename} no longer lets it be read.")
    found = lookup.file(
        source,
        listed.package.section,
        listed.filename,
        name=listed.package.name,
        number=source.current,
    )
    if listed.sha256 and found.sha256 != listed.sha256:
        raise Unavailable(404, f"The source has another {listed.filename} by now.")
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
        look([flight])
        if flight.blob is not None:
            return flight.blob
        if flight.error is not None:
            raise flight.error
        if time.monotonic() > until and flight.ahead:
            return _streamed(flight)
        stop()
        time.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE)


def look(flights: Sequence[Flight]) -> None:
    """See how far each of these is, with one query for all that are on their way."""
    keys = {flight.what.key for flight in flights}
    rows = {row.key: row for row in Fetch.objects.filter(key__in=keys)}
    for flight in flights:
        flight.see(rows.get(flight.what.key))


def _streamed(flight: Flight) -> Iterator[bytes]:
    """All bytes in order, for whoever may wait on this thread."""
    stream, pause = Stream(flight), SHORTEST_PAUSE
    while not stream.ended_at:
        if chunk := stream.read():
            pause = SHORTEST_PAUSE
            yield chunk
        elif not stream.ended_at:
            look([flight])
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)


def local(
    origin: FileSource, section: str, filename: str, *, name: str, stop: Stop = never_stop
) -> Digest:
    """Have a file of another channel of this server here, for a run that mirrors that channel.

    `name` is its package's. For threads: leaves no database connection open. Raises
    `UpstreamError`, and `NoSpace` where this server's disk does not take it.
    """
    try:
        source = origin.channel
        if source is None or source.deleted_at is not None:
            raise NotFound(origin.base_url, "The source channel was deleted.", permanent=True)
        # The run has asked whether the source may be read; here it is about what it lists.
        listed = lookup.file(source, section, filename, name=name, number=source.current)
        found = lookup.here(listed) or obtain(wish(listed), patience=float("inf"), stop=stop)
        assert isinstance(found, Blob)
        return Digest(sha256=found.sha256, md5=found.md5, size=found.size)
    except Missing as error:
        raise NotFound(origin.base_url, str(error), permanent=True, status=404) from error
    except Unavailable as error:
        if error.status == NO_ROOM:
            raise NoSpace(str(error)) from error
        raise UpstreamError(
            origin.base_url, str(error), permanent=True, status=error.status
        ) from error
    finally:
        connection.close()


def reap(watch: LivenessMonitor) -> None:
    """Forget fetches whose leader died with nobody waiting, and refusals that are over."""
    for row in Fetch.objects.filter(state=JobState.RUNNING):
        if watch.dead(row) and Fetch.objects.filter(pk=row.pk, fence=row.fence).delete()[0]:
            _part(row).unlink(missing_ok=True)
    over = Refusal.objects.filter(until__lt=timezone.now())
    if over.exists():
        over.delete()


class Flight:
    """A file on its way, as those see it who wait for it in one process.

    `blob` once it is here; `error` once it is sure that it does not come.
    """

    def __init__(self, what: Wish) -> None:
        self.what = what
        self.blob: Blob | None = None
        self.error: Unavailable | None = None
        self.part: Path | None = None
        """Where its bytes arrive."""
        self._watch = LivenessMonitor()
        self._looked = time.monotonic()

    @property
    def over(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.blob is not None or self.error is not None

    @property
    def ahead(self) -> bool:
        """Whether a stream could send something at once."""
        try:
            part, size = self.part, self.what.listed.size
            return part is not None and size > HELD_BACK and part.stat().st_size > 0
        except FileNotFoundError:
            return False

    def see(self, row: Fetch | None) -> None:
        """Take in how the row stands (None: the fetch is over, or was never begun).

        Takes over from a leader that is gone.
        """
        try:
            if row is None:
                self._begin()
            elif row.state == JobState.PENDING:
                self._lead(row, JobState.PENDING)
            else:
                self.part = _part(row)
                self._replace_dead(row)
        except Unavailable as error:
            self.error = error

    def _begin(self) -> None:
        self.blob = lookup.here(self.what.listed)
        if self.blob is None:
            _raise_refusal(self.what)
            if _free(self.what):
                row, _ = Fetch.objects.get_or_create(key=self.what.key)
                self._lead(row, JobState.PENDING)

    def _replace_dead(self, row: Fetch) -> None:
        now = time.monotonic()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            if self._watch.dead(row):
                self._lead(row, JobState.RUNNING)

    def _lead(self, row: Fetch, state: str) -> None:
        """Claim the row and fetch, unless this process does as much as it may already."""
        upstream = _take(self.what)
        if upstream is None:
            return
        size = self.what.listed.size
        part = blobs.temporary_path("fetch").name
        now = timezone.now()
        begun = False
        try:
            begun = row.claim(
                from_states=(state,), state=JobState.RUNNING, path=part, size=size, started_at=now
            )
            if begun:
                self.part = _part(row)
                threading.Thread(
                    target=_led,
                    args=(self.what, row, upstream),
                    daemon=True,
                    name=f"fetch {row.pk}",
                ).start()
        finally:
            if not begun:
                _give_back(upstream)


class Stream:
    """The bytes of a flight in order; the last ones only when the whole has the right hash."""

    def __init__(self, flight: Flight) -> None:
        self._flight = flight
        self._size = flight.what.listed.size
        self._sent = 0
        self._digest = hashlib.sha256()
        self.ended_at = False

    def read(self) -> bytes:
        """The next bytes; b"" where there are none yet, and at the end. Raises `Cut`."""
        flight = self._flight
        if flight.error is not None:
            raise Cut(str(flight.error))
        if flight.blob is None:
            return self._taken(_read(flight.part, self._sent, self._size - HELD_BACK))
        path = blobs.path(flight.blob.sha256)
        if chunk := self._taken(_read(path, self._sent, self._size - HELD_BACK)):
            return chunk
        end = self._taken(_read(path, self._sent, self._size))
        # What was sent before may have come from an attempt that was begun anew since.
        if self._digest.hexdigest() != flight.blob.sha256:
            name = flight.what.listed.filename
            raise Cut(f"The upstream changed {name} while it was sent.")
        self.ended_at = True
        return end

    def _taken(self, chunk: bytes) -> bytes:
        self._digest.update(chunk)
        self._sent += len(chunk)
        return chunk


_fetching: Counter[str] = Counter()
"""How many files this process fetches now, by upstream."""
_counting = threading.Lock()


def _upstream(what: Wish) -> str:
    return urlsplit(what.file_source.base_url).netloc


def _free(what: Wish) -> bool:
    """Whether this process may fetch one more file from there: a silent one gets half at most."""
    most: int = settings.FETCH_THREADS
    with _counting:
        return _fetching.total() < most and _fetching[_upstream(what)] < max(1, most // 2)


def _take(what: Wish) -> str | None:
    """Count one more fetch; the upstream's name, or None where there may be no more now."""
    if not _free(what):
        return None
    name = _upstream(what)
    with _counting:
        _fetching[name] += 1
    return name


def _give_back(upstream: str) -> None:
    with _counting:
        _fetching[upstream] -= 1
        if not _fetching[upstream]:
            del _fetching[upstream]


def _led(what: Wish, row: Fetch, upstream: str) -> None:
    """The leader's thread: it goes on whoever leaves."""
    try:
        _lead(what, row)
    finally:
        _give_back(upstream)


def _lead(what: Wish, row: Fetch) -> None:
    try:
        with Heartbeat(row) as heart:
            # The one before may have finished between our look at the files and at the row.
            if lookup.here(what.listed) is None:
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


def _bring(what: Wish, row: Fetch, heart: Heartbeat) -> None:
    listed, part = what.listed, _part(row)
    room = DiskReservation(row)
    coming = FileReservation(room, listed.size)

    def progress(done: int, total: int) -> None:
        coming.progress(done, total)
        room.settle()

    try:
        room.expect(max(listed.size, 0))
        room.settle()
        if (inside := _inside(what)) is not None:
            _arrived(what, row, inside)
            return
        client = _client(what.file_source.pk, what.file_source.key, tuple(settings.UPSTREAM_ALLOW))
        if (known := _proven(what, client, stop=heart.check)) is not None:
            _arrived(what, row, known)
            return
        digest = file_sources.download(
            client,
            what.file_source,
            part,
            section=listed.package.section,
            file=listed,
            stop=heart.check,
            progress=progress,
            patience=optional.PATIENCE if _main(listed) else None,
        )
        blobs.commit(part, digest.sha256, digest.size)
        _arrived(what, row, digest)
    except (UpstreamError, NoSpace, OSError) as error:
        logger.warning("%s was not fetched: %s", listed.filename, error)
        # Nothing is left of it when those who wait are answered.
        part.unlink(missing_ok=True)
        _refuse(what, row, error)
    finally:
        part.unlink(missing_ok=True)


def _inside(what: Wish) -> Digest | None:
    """A wheel's metadata out of the wheel, where that is here."""
    listed = what.listed
    main = _main(listed)
    whole = lookup.sibling(listed, main) if main else None
    blob = lookup.here(whole) if whole else None
    if blob is None or not listed.sha256:
        return None
    return companions.extract(
        blob.sha256,
        listed.filename,
        listed.sha256,
        family=listed.package.family,
        purpose="fetch",
    )


def _main(listed: Listed) -> str:
    """The file that this small one goes with; "" for one that stands for itself."""
    return registry.of_family(listed.package.family).main_file(listed.filename)


def _withhold(what: Wish, message: str) -> None:
    """What can be done without is not offered any more, from the next publication on."""
    for claim in what.claims:
        main = _main(claim)
        if not main:
            return
        companions.record_unavailable(
            [
                UnavailableFile(
                    file_source=_origin(claim),
                    section=claim.package.section,
                    name=claim.package.name,
                    filename=main,
                    sha256=claim.sha256,
                    message=message,
                )
            ]
        )
        mark(claim)
        claim.channel.request_publication()


def _proven(what: Wish, client: Client, *, stop: Stop) -> Digest | None:
    """Bytes that another channel brought, if the source has them, too: no second download."""
    blob = lookup.unproven(what.listed)
    if blob is None:
        return None
    source = what.claims[-1]
    if not (len(what.claims) > 1 and lookup.here(source)) and not file_sources.has_same_bytes(
        client,
        what.file_source,
        blobs.path(blob.sha256),
        section=source.package.section,
        file=source,
        stop=stop,
    ):
        return None
    return Digest(sha256=blob.sha256, md5=blob.md5, size=blob.size)


def _arrived(what: Wish, row: Fetch, digest: Digest) -> None:
    """Everything that the arrival changes, at once."""
    with transaction.atomic():
        _end(row)
        blobs.register(
            [Blob(sha256=digest.sha256, md5=digest.md5, size=digest.size, file=True)],
            [audience(claim.channel) for claim in what.claims],
        )
        for claim in what.claims:
            mark(claim)
            if claim.size < 0:
                _add_size(claim, digest.size)
            if not claim.sha256 and not claim.md5:
                pins.add_pin(_origin(claim), claim.filename, digest)
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
            "ckey": registry.of_family(package.family).file_key(
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


def _add_size(listed: Listed, size: int) -> None:
    """Count what no index states; whoever judges the package next counts it anew."""
    channel, package = listed.channel, listed.package
    rows = Package.objects.at(channel.current).filter(
        channel=channel, section=package.section, name=package.name, shard__isnull=False
    )
    if rows.update(bytes=F("bytes") + size):
        channel.revisions.filter(number=channel.current).update(bytes=F("bytes") + size)


def _end(row: Fetch) -> None:
    if not Fetch.objects.filter(pk=row.pk, fence=row.fence).delete()[0]:
        raise Fenced(f"fetch {row.pk} has another owner")


def _refuse(what: Wish, row: Fetch, error: Exception) -> None:
    status, message = _words(what, error)
    until = settings.REFUSAL_SECONDS * random.uniform(0.75, 1.25)
    with transaction.atomic():
        _end(row)
        if isinstance(error, UpstreamError):
            _withhold(what, str(error))
        if _is_held(what, error):
            for claim in what.claims:
                _tell(EventType.ARTIFACT_HELD, claim, message=message)
        Refusal.objects.update_or_create(
            key=what.refusal_key,
            defaults={
                "status": status,
                "message": message,
                "until": timezone.now() + timedelta(seconds=until),
                "channel": what.listed.channel,
                "file_source": what.file_source,
            },
        )


def forgive(channel: Channel, url: str) -> None:
    """Forget what was refused to this channel or by this source: a run has just read its index."""
    Refusal.objects.filter(Q(channel=channel) | Q(file_source__base_url__startswith=url)).delete()


def forgive_room() -> None:
    """Forget what was refused because the disk had no room: it has some again."""
    Refusal.objects.filter(status=NO_ROOM).delete()


def _is_held(what: Wish, error: Exception) -> bool:
    """Whether the upstream has other bytes now than when the file first came."""
    return isinstance(error, DigestMismatch) and what.listed.pinned


def _words(what: Wish, error: Exception) -> tuple[int, str]:
    """Status and sentence for clients: no host of the network behind this server is in it.

    What the upstream did stands in the log.
    """
    name = what.listed.filename
    if _is_held(what, error):
        return 502, pins.HELD_BACK.format(name=name)
    if isinstance(error, NotFound):
        return 404, f"The upstream lists {name} but no longer has it."
    if isinstance(error, TooSlow):
        return 504, f"{name} could not be fetched: the upstream is too slow."
    if isinstance(error, DigestMismatch):
        return 502, (
            f"{name} could not be fetched from the upstream: the bytes that it sends do not have "
            f"the {'sha256' if what.listed.sha256 else 'hash'} or the size that its index promises."
        )
    if isinstance(error, EgressRefused):
        return 502, (
            f"This server may not fetch {name} from its upstream. An administrator can allow the "
            "host by naming it in UPSTREAM_ALLOW."
        )
    if isinstance(error, UpstreamError):
        return 502, f"{name} could not be fetched from the upstream. The server's log says why."
    if isinstance(error, NoSpace):
        return NO_ROOM, f"{name} could not be stored: the server's disk has no room for it now."
    return NO_ROOM, f"{name} could not be stored: the server's disk is full or fails."


def _raise_refusal(what: Wish) -> None:
    refusal = Refusal.objects.filter(key=what.refusal_key, until__gt=timezone.now()).first()
    if refusal is not None:
        left = (refusal.until - timezone.now()).total_seconds()
        again = left if refusal.status in TEMPORARY else 0.0
        raise Unavailable(refusal.status, refusal.message, again=again)


def _origin(listed: Listed) -> FileSource:
    """Where the package's row says that this file comes from."""
    pk = file_sources.file_source_id_of(listed.package.sources, listed.filename)
    if pk is None:
        raise Unavailable(404, f"Nobody knows where {listed.filename} comes from.")
    return _load(pk)


def _load(pk: int) -> FileSource:
    return FileSource.objects.select_related("channel__parent").get(pk=pk)


@lru_cache(maxsize=64)
def _client(pk: int, key: str, allow: tuple[str, ...]) -> Client:
    """One client an origin, so that connections stay open; origins are immutable."""
    del key, allow  # parts of what makes a client another one
    return file_sources.client_of(FileSource.objects.get(pk=pk), slots=connection_slots.AWAITED)


def _part(row: Fetch) -> Path:
    return Path(settings.DATA) / "tmp" / row.path


def _read(path: Path | None, start: int, end: int) -> bytes:
    """What is there from `start` on, up to `end`."""
    if path is None or start >= end:
        return b""
    try:
        with FileIO(path) as file:
            return os.pread(file.fileno(), min(CHUNK, end - start), start)
    except FileNotFoundError:
        return b""
