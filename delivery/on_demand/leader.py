"""The leader of a fetch: whoever claims its `Fetch` row downloads the file, on a thread of its own.

The claim is one conditional UPDATE, so over all processes one wins. Its thread goes on even when
every client leaves: what has come once need not come again.
"""

from __future__ import annotations

import logging
import threading
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.db import Error, connection
from django.utils import timezone

from channels import blobs, companions, connection_slots, file_sources
from channels.disk_space import DiskReservation, FileReservation
from channels.errors import NoSpace
from channels.lease import Fenced, Heartbeat
from channels.models import Fetch, FileSource
from channels.states import JobState
from delivery import listed_files
from delivery.on_demand import results, slots
from delivery.on_demand.request import FetchRequest
from ecosystems import registry
from ecosystems.progress import Stop
from ecosystems.upstream import Client, Digest, UpstreamError, optional

logger = logging.getLogger(__name__)


def part_path(row: Fetch) -> Path:
    """Where the leader's bytes arrive; those who wait read them there."""
    return Path(settings.DATA) / "tmp" / row.path


def try_to_lead(request: FetchRequest, row: Fetch, from_state: str) -> bool:
    """Claim the row and begin to fetch; False where another was first, or no slot is free.

    `from_state`: the state in which the row was seen, `RUNNING` to take over from a dead leader.
    """
    host = request.upstream_host
    # The slot before the claim: a claimed row without a thread would have all others wait.
    if not slots.acquire(host):
        return False
    started = False
    try:
        claimed = row.claim(
            from_states=(from_state,),
            state=JobState.RUNNING,
            path=blobs.temporary_path("fetch").name,
            size=request.listed.size,
            started_at=timezone.now(),
        )
        if claimed:
            threading.Thread(
                target=_run, args=(request, row), daemon=True, name=f"fetch {row.pk}"
            ).start()
            started = True
    finally:
        # A thread that has started releases the slot itself.
        if not started:
            slots.release(host)
    return claimed


def _run(request: FetchRequest, row: Fetch) -> None:
    try:
        _lead(request, row)
    finally:
        slots.release(request.upstream_host)


def _lead(request: FetchRequest, row: Fetch) -> None:
    try:
        with Heartbeat(row) as heartbeat:
            # The leader before may have finished between our look at the files and at the row.
            if listed_files.stored_blob(request.listed) is None:
                _fetch(request, row, heartbeat)
            else:
                results.end(row)
    except Fenced as error:
        logger.info("A fetch was handed on: %s", error)
    except Error:
        logger.exception("The database failed a fetch; who waits begins it anew.")
        connection.close()
        results.end(row)
    finally:
        # Django closes connections at the end of its requests; this thread has none.
        connection.close()


def _fetch(request: FetchRequest, row: Fetch, heartbeat: Heartbeat) -> None:
    """Get the file in the cheapest way that proves it, and write down how that ended."""
    part = part_path(row)
    try:
        digest = _obtain_bytes(request, row, heartbeat)
        results.store(request, row, digest, also=_extract_own(request, digest))
    except (UpstreamError, NoSpace, OSError) as error:
        logger.warning("%s was not fetched: %s", request.listed.filename, error)
        # Before the row goes: nothing is left of it when those who wait are answered.
        part.unlink(missing_ok=True)
        results.refuse(request, row, error)
    except (Fenced, Error):
        raise
    except Exception as error:  # noqa: BLE001 - clients wait for this row, which nobody else ends
        # Writes the error to the log.
        results.refuse(request, row, error)
    finally:
        part.unlink(missing_ok=True)


def _obtain_bytes(request: FetchRequest, row: Fetch, heartbeat: Heartbeat) -> Digest:
    """Have the file's bytes in the blob store, verified."""
    size = request.listed.size
    reservation = DiskReservation(row)
    reservation.expect(max(size, 0))
    reservation.settle()
    if (extracted := _extract_companion(request)) is not None:
        return extracted
    source = request.file_source
    client = _client(source.pk, source.key, tuple(settings.UPSTREAM_ALLOW))
    if (shared := _confirm_stored(request, client, stop=heartbeat.check)) is not None:
        return shared
    return _download(request, client, part_path(row), reservation=reservation, stop=heartbeat.check)


def _download(
    request: FetchRequest, client: Client, path: Path, *, reservation: DiskReservation, stop: Stop
) -> Digest:
    listed = request.listed
    file_reservation = FileReservation(reservation, listed.size)

    def progress(done: int, total: int) -> None:
        file_reservation.progress(done, total)
        reservation.settle()

    digest = file_sources.download(
        client,
        request.file_source,
        path,
        section=listed.package.section,
        file=listed,
        stop=stop,
        progress=progress,
        # Clients do without a companion, so nobody waits long for one.
        patience=optional.PATIENCE if results.main_file(listed) else None,
    )
    blobs.commit(path, digest.sha256, digest.size)
    return digest


def _extract_own(request: FetchRequest, digest: Digest) -> list[Digest]:
    """The metadata of a wheel that has just come, where its index offers none."""
    listed = request.listed
    family = listed.package.family
    name = registry.of_family(family).companion_name(listed.filename)
    stated = [name] if name and listed_files.sibling(listed, name) else []
    return companions.extract_own(
        digest.sha256, listed.filename, stated, family=family, purpose="fetch"
    )


def _extract_companion(request: FetchRequest) -> Digest | None:
    """A wheel's metadata out of the wheel, where that is stored: no request at all."""
    listed = request.listed
    filename = results.main_file(listed)
    main = listed_files.sibling(listed, filename) if filename else None
    blob = listed_files.stored_blob(main) if main else None
    if blob is None or not listed.sha256:
        return None
    return companions.extract(
        blob.sha256,
        listed.filename,
        listed.sha256,
        family=listed.package.family,
        purpose="fetch",
    )


def _confirm_stored(request: FetchRequest, client: Client, *, stop: Stop) -> Digest | None:
    """Bytes that another channel brought, if the source has them, too: no second download."""
    blob = listed_files.unproven_blob(request.listed)
    if blob is None:
        return None
    source = request.claims[-1]
    # A hash in an index proves nothing: whoever knows the hash of a private file could list it.
    # The source channel has the bytes, or the upstream is asked for a part of them.
    if not (
        len(request.claims) > 1 and listed_files.stored_blob(source)
    ) and not file_sources.has_same_bytes(
        client,
        request.file_source,
        blobs.path(blob.sha256),
        section=source.package.section,
        file=source,
        stop=stop,
    ):
        return None
    return Digest(sha256=blob.sha256, md5=blob.md5, size=blob.size)


@lru_cache(maxsize=64)
def _client(pk: int, key: str, allow: tuple[str, ...]) -> Client:
    """One client a source, so that connections stay open; sources are immutable."""
    # Both only key the cache: a client keeps the egress policy that it was made under.
    del key, allow
    return file_sources.client_of(FileSource.objects.get(pk=pk), slots=connection_slots.AWAITED)
