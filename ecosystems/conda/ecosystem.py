"""The conda type as the rest of the product sees it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ecosystems import leftout
from ecosystems.age import newest_unchanged
from ecosystems.base import (
    BadIndex,
    Document,
    Extras,
    Invalid,
    Order,
    Progress,
    Raw,
    Read,
    Record,
    Seen,
    Spec,
    SpecError,
    Stop,
    Unchanged,
    Whole,
)
from ecosystems.conda import (
    channel,
    channeldata,
    documents,
    forms,
    matchspec,
    records,
    run_exports,
    shards,
    signatures,
)
from ecosystems.conda.readable import readable
from ecosystems.conda.repodata import Index, read
from ecosystems.conda.version import key
from ecosystems.pack import Pack, PackWriter
from ecosystems.upstream import Client, open_decoded, optional


class Conda(Whole):
    """Implements `ecosystems.base.Ecosystem`."""

    kind = "conda"
    family = "conda"

    def owns(self, section: str) -> bool:
        return not section or channel.is_subdir(section)

    def metadata(self, record: Record) -> dict[str, Any]:
        # The first two are files inside a package, which nobody has opened here.
        listed = {**self.shown(record.raw), "fn": record.filename}
        return {"index.json": {}, "about.json": {}, "repodata_record.json": listed}

    def order(self, version: str) -> Order:
        try:
            return 1, key(version)
        except SpecError:
            return 0, version

    def sections(self, asked: Sequence[str]) -> list[str]:
        return list(asked) or list(channel.KNOWN_SUBDIRS)

    def fetch(
        self,
        client: Client,
        base_url: str,
        section: str,
        *,
        seen: Seen | None,
        work: Path,
        stop: Stop,
        progress: Progress,
    ) -> Raw | Unchanged | None:
        return forms.fetch(
            client, base_url, section, seen=seen, work=work, stop=stop, progress=progress
        )

    def read(
        self,
        client: Client,
        raw: Raw,
        section: str,
        *,
        seen: Seen | None,
        work: Path,
        stop: Stop,
    ) -> Read:
        try:
            return self._read(client, raw, section, seen=seen, work=work, stop=stop)
        except BadIndex as error:
            for other in forms.others(client, raw, section, work, stop):
                with suppress(BadIndex):
                    found = self._read(client, other, section, seen=seen, work=work, stop=stop)
                    found.raw = other
                    names = [one.address.rpartition("/")[2] for one in (raw, other)]
                    found.warnings.append(f"{names[0]} is broken, {names[1]} is used: {error}")
                    return found
            raise

    def _read(
        self,
        client: Client,
        raw: Raw,
        section: str,
        *,
        seen: Seen | None,
        work: Path,
        stop: Stop,
    ) -> Read:
        blocks = open_decoded(raw.path, forms.encoding(raw.address), cap=client.limits.index_cap)
        target = work / f"{section}.pack"
        old = Pack(seen.pack) if seen is not None else None
        newest = 0

        def checked(name: str, body: bytes) -> list[Record | Invalid]:
            """Asked of changed shards only: their records, and the newest time among them."""
            nonlocal newest
            found = self.records(body, section=section, name=name)
            newest = max(newest, leftout.newest(found))
            return found

        with (
            read(blocks, subdir=section, work=work, stop=stop) as index,
            PackWriter(target, old=old, records=checked) as writer,
        ):
            for shard in index.shards(stop):
                writer.add(shard.name, readable(shard.body), shard.count)
            others = newest_unchanged(old, writer, newest, read=records.newest, stop=stop)
            newest = max(newest, others)
            sha256 = writer.close({"newest": newest})
            signed, unsigned = signatures.take(index, work, stop=stop)
        return Read(
            pack=target,
            pack_sha256=sha256,
            base_url=channel.origin_base(raw.address, index.base_url),
            listed=sum(index.listed.values()),
            names=len(index.names),
            newest=newest,
            invalid=index.invalid_count,
            invalid_names=[one.filename for one in index.invalid],
            warnings=[*raw.notes, *_warnings(index), *unsigned],
            extras={signatures.NAME: signed} if signed else {},
        )

    def optional(self, section: str) -> tuple[str, ...]:
        if not section:
            return (channeldata.NAME,)
        return run_exports.NAME, signatures.NAME

    def extras(
        self, client: Client, address: str, section: str, work: Path, *, stop: Stop
    ) -> Extras:
        work = Path(tempfile.mkdtemp(dir=work))
        if not section:
            return _channeldata(client, address, work, stop=stop)
        return _run_exports(client, address, section, work, stop=stop)

    def spec(self, text: str) -> Spec:
        return matchspec.parse(text)

    def normalize(self, name: str) -> str:
        return channel.normalize(name)

    def name_of(self, filename: str) -> str | None:
        return channel.name_of(filename)

    def records(self, body: bytes, *, section: str, name: str) -> list[Record | Invalid]:
        return list(records.records(body, section=section, name=name))

    def entries(self, body: bytes) -> dict[str, bytes]:
        return records.entries(body)

    def taken_back(self, body: bytes, before: bytes = b"") -> frozenset[str] | None:
        del before
        return frozenset(records.removed(body)) if body else frozenset()

    def rewrites(self, body: bytes) -> bool:
        return records.rewrites(body)

    def build(self, entries: Iterable[tuple[str, bytes]], bodies: Iterable[bytes]) -> bytes:
        return records.build(entries, {gone for body in bodies for gone in records.removed(body)})

    def served(self, body: bytes) -> bytes:
        return shards.shard_bytes(body)

    def documents(
        self,
        section: str,
        shards: Callable[[], Iterator[tuple[str, bytes, str]]],
        folder: Path,
        extras: Mapping[str, Sequence[Path]],
    ) -> Iterator[Document]:
        return documents.documents(section, shards, folder, extras)


def _run_exports(client: Client, address: str, section: str, work: Path, *, stop: Stop) -> Extras:
    """In the first form that can be had and read."""
    failed = ""
    warnings: list[str] = []

    def check(path: Path) -> None:
        warnings.extend(run_exports.check(path, section, work=work, stop=stop))

    for name in run_exports.NAMES:
        path = work / name
        brought, why = optional.bring(
            client,
            f"{address.rpartition('/')[0]}/{name}",
            path,
            stop=stop,
            check=check,
        )
        if brought:
            return Extras({run_exports.NAME: path}, warnings=warnings)
        failed = failed or why
    return Extras(kept={run_exports.NAME: failed} if failed else {})


def _channeldata(client: Client, address: str, work: Path, *, stop: Stop) -> Extras:
    path = work / channeldata.NAME
    brought, why = optional.bring(
        client,
        f"{address.rstrip('/')}/{path.name}",
        path,
        stop=stop,
        cap=channeldata.CAP,
        check=channeldata.packages,
    )
    return Extras({path.name: path} if brought else {}, {path.name: why} if why else {})


def _warnings(index: Index) -> list[str]:
    found = index.twice()
    if number := index.dropped.get("v3"):
        found.append(
            f"{number:,} records of the index's `v3` part are not taken over; clients of today"
            " read the other parts."
        )
    return found
