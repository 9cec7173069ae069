"""A conda channel in memory that has shards (CEP 16), with or without the single file.

with FakeShards() as conda:
    conda.add("noarch", "six", "1.16.0")
    conda.publish(forms=())
    conda.publish_shards()

The writer is msgpack's own, and not the product's, so that the two check each other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgpack
import zstandard

from tests.condatree import BUILT, FakeConda, Record

INDEX = "repodata_shards.msgpack.zst"
Shard = dict[str, Any]


class FakeShards(FakeConda):
    """A channel; `publish` writes the single files, `publish_shards` the shards."""

    def publish_shards(
        self,
        *,
        later: float = 0,
        base_url: str = "./",
        shards_base_url: str = "./shards/",
        shards_root: str = "shards",
        run_exports: Mapping[str, Record] | None = None,
        removed: Sequence[str] = (),
        edit: Callable[[str, Shard], None] | None = None,
        subdirs: Iterable[str] | None = None,
        index: Record | None = None,
        hold_back: Sequence[str] = (),
    ) -> None:
        """Write the shards of every subdir, and their list.

        `later`: seconds after the last `publish`. `shards_root`: where they are put, beside the
        list. `run_exports`: by file. `edit`: changes a shard before it is written. `index`:
        further keys of the list. `hold_back`: names whose shard is listed and not there.
        """
        moment = BUILT / 1000 + 60.0 * self._publications + later
        for subdir in self._records if subdirs is None else subdirs:
            digests = {}
            for name, shard in self.shards(subdir, run_exports or {}, removed).items():
                if edit is not None:
                    edit(name, shard)
                body = zstandard.compress(msgpack.packb(shard), 3)
                digest = hashlib.sha256(body)
                digests[name] = digest.digest()
                path = self.path(subdir, f"{shards_root}/{digest.hexdigest()}.msgpack.zst")
                if name in hold_back:
                    self.remove(path)
                else:
                    self.set(path, body)
            info = {"subdir": subdir, "base_url": base_url, "shards_base_url": shards_base_url}
            content = {"version": 1, "info": info, "shards": digests, **(index or {})}
            body = zstandard.compress(msgpack.packb(content), 3)
            self.set(self.path(subdir, INDEX), body, last_modified=moment)

    def shards(
        self, subdir: str, run_exports: Mapping[str, Record], removed: Sequence[str]
    ) -> dict[str, Shard]:
        """Package name -> shard, as CEP 16 has it: hashes are bytes."""
        shards: dict[str, Shard] = {}
        for file, record in sorted(self.records(subdir).items()):
            shard = _shard_of(shards, record["name"])
            for key in ("sha256", "md5"):
                if key in record:
                    record[key] = bytes.fromhex(record[key])
            if file in run_exports:
                record["run_exports"] = run_exports[file]
            shard["packages.conda" if file.endswith(".conda") else "packages"][file] = record
        for file in removed:
            _shard_of(shards, file.rsplit("-", 2)[0])["removed"].append(file)
        return shards

    def shard_requests(self, subdir: str) -> list[str]:
        """The shards of a subdir that were asked for, each as often as it was."""
        folder = self.path(subdir, "shards/")
        return [request.path for request in self.requests() if request.path.startswith(folder)]


def _shard_of(shards: dict[str, Shard], name: str) -> Shard:
    return shards.setdefault(name, {"packages": {}, "packages.conda": {}, "removed": []})
