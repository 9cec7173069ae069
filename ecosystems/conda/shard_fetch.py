"""Fetches an upstream's list of shards, and those shards that are not here yet (CEP 16).

Rule: a shard has the hash that the list states, or the list is asked for again: an upstream may
publish in between. After `TRIES` lists that do not fit, the upstream is at fault.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path
from urllib.parse import urljoin

from ecosystems.conda.shard_body import SHARD_CAP
from ecosystems.conda.shard_index import ShardIndex, read_shard_index
from ecosystems.conda.shard_state import ShardState
from ecosystems.conda.shards import INDEX_NAME
from ecosystems.errors import BadIndex
from ecosystems.indexes import FetchContext, FetchedIndex
from ecosystems.upstream import DigestMismatch, NotFound, NotModified, UpstreamError

TRIES = 3
THREADS = 8
"""How many shards are asked for at once; `Limits.connections` bounds what one server gets."""
WAIT_SECONDS = 0.25
"""After which `stop` is called, though no shard has come."""
FOLDER = "folder"
"""The key in `FetchedIndex.parts`: where the shards that came lie, under their hashes."""


class Cancelled(Exception):
    """The fetching ends; what a thread has half done is dropped."""


class _Misfit(Exception):
    """A shard is not what the list says."""

    def __init__(self, name: str, error: UpstreamError) -> None:
        super().__init__(name)
        self.name, self.error = name, error


def fetch_list(
    url: str, path: Path, context: FetchContext, *, state: ShardState | None = None
) -> FetchedIndex | None:
    """The list of shards as it came; None where it is the one that `state` knows.

    Without `state` it is asked for unconditionally, and past all caches.
    """
    answer = context.client.fetch_index(
        url,
        path,
        etag=state.etag if state else None,
        last_modified=state.last_modified if state else None,
        fresh=state is None,
        stop=context.stop,
    )
    if isinstance(answer, NotModified):
        path.unlink(missing_ok=True)
        return None
    # Servers that ignore validators send the same list again; its hash tells.
    if state is not None and answer.sha256 == state.sha256:
        return None
    return FetchedIndex(url, path, answer.sha256, answer.etag, answer.last_modified)


def with_shards(
    shard_list: FetchedIndex, section: str, context: FetchContext, *, known: dict[str, bytes]
) -> FetchedIndex:
    """The list, with all its shards but the `known` in a folder beside it.

    The list that counts may be a newer one. Raises BadIndex where list and shards do not fit.
    """
    folder = context.folder / f"{section}-shards"
    # One folder for all tries: shards lie under their hashes, so those that came stay right.
    folder.mkdir(exist_ok=True)
    for number in range(1, TRIES + 1):
        index = read_shard_index(shard_list.path, shard_list.address, subdir=section)
        try:
            _Download(index, folder, context).run(known)
        except _Misfit as misfit:
            fresh = fetch_list(shard_list.address, shard_list.path, context)
            # Asked for without conditions, so "not modified" is no possible answer.
            assert fresh is not None
            # The same list past all caches: nobody has published, so another try would fail alike.
            if number == TRIES or fresh.sha256 == shard_list.sha256:
                raise BadIndex(
                    f"The shard of {misfit.name} is not the one that {INDEX_NAME} lists"
                    f" (asked for {number + 1} times): {misfit.error}"
                ) from misfit.error
            shard_list = fresh
        else:
            break
    shard_list.parts[FOLDER] = str(folder)
    shard_list.further_bytes = sum(file.stat().st_size for file in folder.iterdir())
    return shard_list


class _Download:
    """The shards of one list on their way into a folder."""

    def __init__(self, index: ShardIndex, folder: Path, context: FetchContext) -> None:
        self._index, self._folder, self._context = index, folder, context
        self._cancelled = threading.Event()
        self._size = 0

    def run(self, known: dict[str, bytes]) -> None:
        """Fetch what is neither known nor in the folder; raises `_Misfit`, `UpstreamError`."""
        digests = self._index.digests
        missing = [
            name
            for name, digest in digests.items()
            if known.get(name) != digest and not (self._folder / digest.hex()).exists()
        ]
        pool = ThreadPoolExecutor(THREADS, thread_name_prefix="shard")
        try:
            self._collect(pool, missing)
        finally:
            # Whatever ended the loop: threads must not write into a folder that is removed.
            self._cancelled.set()
            pool.shutdown(wait=True, cancel_futures=True)

    def _collect(self, pool: ThreadPoolExecutor, missing: list[str]) -> None:
        context, unrequested = self._context, iter(missing)
        pending: set[Future[int]] = set()
        done = 0
        while True:
            # Some ahead, so that no thread is idle; not all, because there may be 500,000.
            pending |= self._submit(pool, islice(unrequested, THREADS * 4 - len(pending)))
            if not pending:
                return
            finished, pending = wait(pending, WAIT_SECONDS, FIRST_COMPLETED)
            self._size += sum(future.result() for future in finished)
            # Each shard has its own cap, but so many together could still fill the disk.
            if self._size > context.client.limits.index_cap:
                raise BadIndex("The shards of the index are larger than an index may be.")
            done += len(finished)
            context.progress(done, len(missing))
            context.stop()

    def _submit(self, pool: ThreadPoolExecutor, names: Iterable[str]) -> set[Future[int]]:
        return {pool.submit(self._fetch, name) for name in names}

    def _fetch(self, name: str) -> int:
        """One shard, verified; its size."""
        digest = self._index.digests[name].hex()
        # Under its hash only when it is whole: what lies there is taken for the shard. With the
        # name, because packages with equal shards are fetched at the same time.
        temporary = self._folder.with_name(f"{self._folder.name}-{name}")
        try:
            fetched = self._context.client.download(
                urljoin(self._index.shards_url, f"{digest}.msgpack.zst"),
                temporary,
                sha256=digest,
                most=SHARD_CAP,
                stop=self._raise_if_cancelled,
            )
        except (NotFound, DigestMismatch) as error:
            raise _Misfit(name, error) from error
        else:
            temporary.replace(self._folder / digest)
        finally:
            temporary.unlink(missing_ok=True)
        return fetched.size

    def _raise_if_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled
