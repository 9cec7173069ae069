"""Makes the pack of a subdir from its list of shards: what has changed is read, the rest copied."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ecosystems import left_out
from ecosystems.conda import records, shard_state
from ecosystems.conda.index import INVALID_SHOWN
from ecosystems.conda.shard_body import read_shard
from ecosystems.conda.shard_fetch import FOLDER
from ecosystems.conda.shard_index import ShardIndex, read_shard_index
from ecosystems.errors import BadIndex
from ecosystems.freshness import newest_unchanged
from ecosystems.indexes import FetchContext, FetchedIndex, ParsedIndex
from ecosystems.pack import Pack, PackWriter
from ecosystems.records import Invalid, Record

STOP_EVERY = 200
"""Packages between two calls of `stop`."""

Records = Callable[[str, bytes], list[Record | Invalid]]
"""The records in a package's body."""


def parse(
    fetched: FetchedIndex, section: str, context: FetchContext, read_records: Records
) -> ParsedIndex:
    """The pack of what a list says; raises BadIndex."""
    index = read_shard_index(fetched.path, fetched.address, subdir=section)
    with _previous_pack(context) as old:
        return _Packing(fetched, index, old, context, read_records).pack(section)


@contextmanager
def _previous_pack(context: FetchContext) -> Iterator[Pack | None]:
    if context.previous is None:
        yield None
        return
    with Pack(context.previous.pack) as pack:
        yield pack


class _Packing:
    """One list of shards on its way to a pack."""

    def __init__(
        self,
        fetched: FetchedIndex,
        index: ShardIndex,
        old: Pack | None,
        context: FetchContext,
        read_records: Records,
    ) -> None:
        self._fetched, self._index, self._old, self._context = fetched, index, old, context
        self._read_records = read_records
        self._folder = Path(fetched.parts[FOLDER])
        self._newest = self._decoded = self._v3_records = 0
        state = shard_state.state_of(old) if old is not None else None
        usable = state is not None and state.address == fetched.address
        self._known = state.by_name() if state is not None and usable else {}

    def pack(self, section: str) -> ParsedIndex:
        """Write it, and say what is in it."""
        path, stop, old = self._context.folder / f"{section}.pack", self._context.stop, self._old
        with PackWriter(path, old=old, records=self._checked) as writer:
            for number, (name, digest) in enumerate(self._index.digests.items()):
                if number % STOP_EVERY == 0:
                    stop()
                self._add(writer, name, digest)
            # What was copied was not decoded, and the newest time may be in it.
            unchanged = newest_unchanged(old, writer, self._newest, read=records.newest, stop=stop)
            newest = max(self._newest, unchanged)
            state = shard_state.from_list(self._fetched, self._index.digests)
            sha256 = writer.close({"newest": newest} | state.meta())
            entries = writer.names()
        invalid = self._index.invalid
        return ParsedIndex(
            pack=path,
            pack_sha256=sha256,
            base_url=self._index.files_url,
            # What is in a shard whose package has no valid name is not looked at: it counts as one.
            listed=sum(entry.count for entry in entries.values()) + len(invalid),
            names=len(entries),
            newest=newest,
            invalid=len(invalid),
            invalid_names=invalid[:INVALID_SHOWN],
            warnings=[*self._fetched.notes, *self._warnings()],
        )

    def _add(self, writer: PackWriter, name: str, digest: bytes) -> None:
        """Put one package into the pack, as it was where its shard is known."""
        old = self._old
        listed_before = old is not None and name in old.names()
        if self._known.get(name) == digest:
            # A shard may be empty: then its package is in no pack.
            if old is not None and listed_before:
                writer.copy(name, old)
            return
        earlier = old.read(name) if old is not None and listed_before else b""
        content = read_shard(self._folder / digest.hex(), name, earlier=earlier)
        self._decoded += content.decoded
        # Each shard keeps to its own cap; together they may have no more than a single file may.
        if self._decoded > self._context.client.limits.index_cap:
            raise BadIndex("The shards of the index decode to more than an index may have.")
        self._v3_records += content.v3_records
        if not content.is_empty:
            writer.add(name, content.body, content.count)

    def _checked(self, name: str, body: bytes) -> list[Record | Invalid]:
        """The records of a changed package; notes the newest time among them."""
        listed = self._read_records(name, body)
        self._newest = max(self._newest, left_out.newest(listed))
        return listed

    def _warnings(self) -> list[str]:
        if not self._v3_records:
            return []
        return [f"{self._v3_records:,} records of the shards' `v3` parts are not taken over."]
