"""Which shards of an upstream a pack was made from, or is at least as new as.

Rule: a shard counts as known only if the pack surely has its content or newer. A single file is
therefore bound to a list of shards that was asked for before it and that is not of a later date:
whatever changes between the two is fetched again. The other way round a change would be lost.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec.structs import replace

from ecosystems.conda.fetch import parsed_date
from ecosystems.conda.shard_index import DIGEST, read_shard_index
from ecosystems.errors import BadIndex
from ecosystems.indexes import FetchedIndex, PreviousIndex
from ecosystems.pack import Pack

META = "shards"
"""The key in the meta of a pack."""
LIST = "shard list"
"""The key in `FetchedIndex.parts`: the file with the list of shards; its validators follow."""


class ShardState(msgspec.Struct, gc=False):
    """A list of shards, as far as it tells what is in a pack.

    `bound`: whether the pack is at least as new as the list. `modified`: the `Last-Modified` of
    what the pack was read from. `names` and `digests` (32 bytes each) belong together.
    """

    address: str
    sha256: str
    etag: str
    last_modified: str
    modified: str
    bound: bool
    names: list[str]
    # One text of bytes: as many objects would take several times the memory.
    digests: bytes

    def by_name(self) -> dict[str, bytes]:
        """Package name -> SHA-256 of the shard whose content the pack has; none if not bound."""
        return self.listed() if self.bound else {}

    def listed(self) -> dict[str, bytes]:
        """Package name -> SHA-256 of its shard, as the list has it."""
        return {
            name: self.digests[DIGEST * number : DIGEST * (number + 1)]
            for number, name in enumerate(self.names)
        }

    def meta(self) -> dict[str, object]:
        """What is written into a pack."""
        plain: dict[str, object] = msgspec.to_builtins(self, builtin_types=(bytes,))
        return {META: plain}


def state_of(pack: Pack) -> ShardState | None:
    """What a pack says of shards; None for one that says nothing."""
    if META not in pack.meta:
        return None
    try:
        return msgspec.convert(pack.meta[META], ShardState, builtin_types=(bytes,))
    # Not of the shape that this version writes: as good as unknown, so the single file is read.
    except msgspec.ValidationError:
        return None


def previous_state(previous: PreviousIndex | None) -> ShardState | None:
    """What the last pack says of shards."""
    if previous is None:
        return None
    with Pack(previous.pack) as pack:
        return state_of(pack)


def unknown(address: str) -> ShardState:
    """The state of a list of which nothing is known."""
    return ShardState(address, "", "", "", "", bound=False, names=[], digests=b"")


def attach(fetched: FetchedIndex, shard_list: FetchedIndex) -> None:
    """Note which list of shards was there before a single file was asked for."""
    fetched.parts |= {
        LIST: str(shard_list.path),
        "address": shard_list.address,
        "sha256": shard_list.sha256,
        "etag": shard_list.etag,
        "last_modified": shard_list.last_modified,
    }


def from_list(shard_list: FetchedIndex, digests: dict[str, bytes]) -> ShardState:
    """The state of a pack that was made from the shards of a list."""
    return ShardState(
        address=shard_list.address,
        sha256=shard_list.sha256,
        etag=shard_list.etag,
        last_modified=shard_list.last_modified,
        modified=shard_list.last_modified,
        bound=True,
        names=list(digests),
        digests=b"".join(digests.values()),
    )


def beside_single_file(
    fetched: FetchedIndex, section: str, names: set[str], *, old: Pack | None, signed: bool
) -> dict[str, object]:
    """The meta of a pack of `names` that was made from a single file.

    `signed`: signatures stand in the single file only, so what has some is never read by shards.
    """
    before = state_of(old) if old is not None else None
    # The list that came along comes first: it tells of more changes than the one before.
    candidates = [state for state in (_attached(fetched, section), before) if state is not None]
    if not candidates:
        return {}
    usable = (s for s in candidates if not signed and not later(s.last_modified, fetched))
    bound = next(usable, None)
    # A list is often written after the single file; the next single file is newer than it then.
    state = bound or candidates[0]
    # What a shard says of a package that the single file does not have is not in the pack.
    digests = {name: digest for name, digest in state.listed().items() if name in names}
    return replace(
        state,
        modified=fetched.last_modified,
        bound=bound is not None,
        names=list(digests),
        digests=b"".join(digests.values()),
    ).meta()


def later(last_modified: str, fetched: FetchedIndex) -> bool:
    """Whether something with this date is surely or perhaps later than what was fetched.

    Without dates the order of the requests decides.
    """
    first, second = parsed_date(last_modified), parsed_date(fetched.last_modified)
    return first is not None and second is not None and first > second


def _attached(fetched: FetchedIndex, section: str) -> ShardState | None:
    parts = fetched.parts
    if LIST not in parts:
        return None
    path = Path(parts[LIST])
    shard_list = FetchedIndex(
        parts["address"], path, parts["sha256"], parts["etag"], parts["last_modified"]
    )
    try:
        index = read_shard_index(path, shard_list.address, subdir=section)
    except BadIndex:
        return None  # It is not needed: the single file has everything.
    return from_list(shard_list, index.digests)
