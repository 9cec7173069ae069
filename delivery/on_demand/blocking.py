"""Waits for a file on the thread that needs it: runs that copy a channel of this server, and tests.

Clients of the web server wait on its event loop instead (`mirrorserver.rsgi.waits`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from django.db import connection

from channels.errors import Missing, NoSpace
from channels.models import Blob, FileSource
from delivery import listed_files
from delivery.on_demand import pending, refusals
from delivery.on_demand.errors import Unavailable
from delivery.on_demand.pending import PendingFetch, poll
from delivery.on_demand.request import FetchRequest, request_for
from delivery.on_demand.stream import Stream
from ecosystems.progress import Stop, never_stop
from ecosystems.upstream import Digest, NotFound, UpstreamError

SHORTEST_PAUSE, LONGEST_PAUSE = 0.005, 0.1
"""Seconds between two polls: small files come within milliseconds, and large ones do not."""


def obtain(
    request: FetchRequest, *, patience: float | None = None, stop: Stop = never_stop
) -> Blob | Iterator[bytes]:
    """The file's bytes: verified, or after `patience` seconds a stream that verifies at its end.

    Raises `Unavailable` where the upstream does not give them.
    """
    fetch = PendingFetch(request)
    until = time.monotonic() + (pending.VERIFY_SECONDS if patience is None else patience)
    pause = SHORTEST_PAUSE
    while True:
        poll([fetch])
        if fetch.blob is not None:
            return fetch.blob
        if fetch.error is not None:
            raise fetch.error
        if time.monotonic() > until and fetch.streamable:
            return _stream(fetch)
        stop()
        time.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE)


def _stream(fetch: PendingFetch) -> Iterator[bytes]:
    stream, pause = Stream(fetch), SHORTEST_PAUSE
    while not stream.ended:
        if chunk := stream.read():
            pause = SHORTEST_PAUSE
            yield chunk
        elif not stream.ended:
            poll([fetch])
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)


def fetch_from_channel(
    file_source: FileSource, section: str, filename: str, *, name: str, stop: Stop = never_stop
) -> Digest:
    """Have a file of another channel of this server here, for a run that mirrors that channel.

    `name` is its package's. For threads: leaves no database connection open. Raises
    `UpstreamError`, and `NoSpace` where this server's disk does not take it.
    """
    try:
        source = file_source.channel
        if source is None or source.deleted_at is not None:
            raise NotFound(file_source.base_url, "The source channel was deleted.", permanent=True)
        # The run has asked whether the source may be read; here it is about what it lists.
        listed = listed_files.find(source, section, filename, name=name, number=source.current)
        # Without end: a run has no use for a stream, and `stop` ends its wait.
        blob = listed_files.stored_blob(listed) or obtain(
            request_for(listed), patience=float("inf"), stop=stop
        )
        assert isinstance(blob, Blob)
        return Digest(sha256=blob.sha256, md5=blob.md5, size=blob.size)
    except Missing as error:
        raise NotFound(file_source.base_url, str(error), permanent=True, status=404) from error
    except Unavailable as error:
        # A full disk fails the whole run, not this one file.
        if error.status == refusals.STORAGE_FAILED:
            raise NoSpace(str(error)) from error
        raise UpstreamError(
            file_source.base_url, str(error), permanent=True, status=error.status
        ) from error
    finally:
        connection.close()
