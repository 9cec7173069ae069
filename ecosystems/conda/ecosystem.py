"""The conda type as the rest of the product sees it."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ecosystems import left_out
from ecosystems.base import Ecosystem, Shards, VersionKey
from ecosystems.conda import body as shard_body
from ecosystems.conda import (
    channel,
    channeldata,
    documents,
    fetch,
    matchspec,
    records,
    run_exports,
    shard_pack,
    shard_state,
    shards,
    signatures,
    sources,
)
from ecosystems.conda.checks import with_indexed_timestamp
from ecosystems.conda.index import Index
from ecosystems.conda.readable import readable
from ecosystems.conda.repodata import read
from ecosystems.conda.version import key
from ecosystems.documents import Document, Location
from ecosystems.errors import BadIndex, SpecError
from ecosystems.freshness import newest_unchanged
from ecosystems.indexes import (
    FetchContext,
    FetchedIndex,
    IndexNotModified,
    OptionalFiles,
    ParsedIndex,
)
from ecosystems.kinds import Family, Kind
from ecosystems.pack import Pack, PackWriter
from ecosystems.records import Invalid, Record, Spec
from ecosystems.upstream import open_decoded, optional


class Conda(Ecosystem):
    """Channels of conda packages (CEP 26)."""

    kind = Kind.CONDA
    family = Family.CONDA
    root_files = channel.ROOT_FILES
    permanent_sections = ("noarch", "")

    def parse_spec(self, text: str) -> Spec:
        return matchspec.parse(text)

    def normalize_name(self, name: str) -> str:
        return channel.normalize(name)

    def package_name(self, filename: str) -> str | None:
        return channel.name_of(filename)

    def version_key(self, version: str) -> VersionKey:
        try:
            return 1, key(version)
        except SpecError:
            return 0, version

    def owns_section(self, section: str) -> bool:
        return not section or channel.is_subdir(section)

    def sections(self, requested: Sequence[str]) -> list[str]:
        return list(requested) or list(channel.KNOWN_SUBDIRS)

    def locate(self, path: str, form: str) -> Location | None:
        del form  # Each of conda's files has one.
        return channel.locate(path)

    def fetch(
        self, base_url: str, section: str, context: FetchContext
    ) -> FetchedIndex | IndexNotModified | None:
        return sources.fetch(base_url, section, context)

    def parse(self, fetched: FetchedIndex, section: str, context: FetchContext) -> ParsedIndex:
        try:
            return self._parse(fetched, section, context)
        except BadIndex as error:
            # What is broken in one form may be whole in another: all say the same.
            for form in fetch.other_forms(fetched, section, context):
                with suppress(BadIndex):
                    parsed = self._parse(form, section, context)
                    parsed.fetched = form
                    broken, used = (index.address.rpartition("/")[2] for index in (fetched, form))
                    parsed.warnings.append(f"{broken} is broken, {used} is used: {error}")
                    return parsed
            raise

    def _parse(self, fetched: FetchedIndex, section: str, context: FetchContext) -> ParsedIndex:
        if sources.is_shard_list(fetched.address):
            return shard_pack.parse(
                fetched,
                section,
                context,
                lambda name, body: self.records(body, section=section, name=name),
            )
        cap = context.client.limits.index_cap
        blocks = open_decoded(fetched.path, fetch.encoding(fetched.address), cap=cap)
        target, stop = context.folder / f"{section}.pack", context.stop
        old = Pack(context.previous.pack) if context.previous is not None else None
        newest = 0

        def checked(name: str, body: bytes) -> list[Record | Invalid]:
            """Called for changed shards only: their records, and the newest time among them."""
            nonlocal newest
            shard_records = self.records(body, section=section, name=name)
            newest = max(newest, left_out.newest(shard_records))
            return shard_records

        with (
            read(blocks, subdir=section, work=context.folder, stop=stop) as index,
            PackWriter(target, old=old, records=checked) as writer,
        ):
            for shard in index.shards(stop):
                writer.add(shard.name, readable(shard.body), shard.count)
            unchanged = newest_unchanged(old, writer, newest, read=records.newest, stop=stop)
            newest = max(newest, unchanged)
            known_shards = shard_state.beside_single_file(
                fetched,
                section,
                set(writer.names()),
                old=old,
                signed=index.signatures is not None,
            )
            sha256 = writer.close({"newest": newest} | known_shards)
            # After the shards: a signature is kept only with the record as it is published.
            signed, unsigned = signatures.take(index, context.folder, stop=stop)
        return ParsedIndex(
            pack=target,
            pack_sha256=sha256,
            base_url=channel.origin_base(fetched.address, index.base_url),
            listed=sum(index.listed.values()),
            names=len(index.names),
            newest=newest,
            invalid=index.invalid_count,
            invalid_names=[record.filename for record in index.invalid],
            warnings=[*fetched.notes, *_warnings(index), *unsigned],
            extras={signatures.NAME: signed} if signed else {},
        )

    def optional_names(self, section: str) -> tuple[str, ...]:
        if not section:
            return (channeldata.NAME,)
        return run_exports.NAME, signatures.NAME

    def fetch_optional(self, address: str, section: str, context: FetchContext) -> OptionalFiles:
        folder = Path(tempfile.mkdtemp(dir=context.folder))
        if not section:
            return _fetch_channeldata(address, folder, context)
        return _fetch_run_exports(address, section, folder, context)

    def records(self, body: bytes, *, section: str, name: str) -> list[Record | Invalid]:
        return list(records.records(body, section=section, name=name))

    def entries(self, body: bytes) -> dict[str, bytes]:
        return shard_body.entries(body)

    def build(self, entries: Iterable[tuple[str, bytes]], bodies: Iterable[bytes]) -> bytes:
        removed = {file for body in bodies for file in shard_body.removed(body)}
        return shard_body.build(entries, removed)

    def rewrites(self, body: bytes) -> bool:
        return records.rewrites(body)

    def may_stamp(self, extras: Collection[str]) -> bool:
        # A client that checks signatures refuses a record that was changed.
        return signatures.NAME not in extras

    def stamped(self, record: Record, first_seen: int, *, at_first_run: bool) -> Record:
        # What was there at the first run is older than that; its build time says more.
        return record if at_first_run else with_indexed_timestamp(record, first_seen)

    def withdrawn(self, body: bytes, previous: bytes = b"") -> frozenset[str] | None:
        del previous  # `removed` lists every file that was ever removed.
        return frozenset(shard_body.removed(body)) if body else frozenset()

    def metadata(self, record: Record) -> dict[str, object]:
        # The first two are files inside a package, which is not opened here.
        listed = {**self.record_fields(record.raw), "fn": record.filename}
        return {"index.json": {}, "about.json": {}, "repodata_record.json": listed}

    def shard_digest(self, filename: str) -> str:
        return channel.shard_digest(filename)

    def default_document(self, section: str, filename: str) -> bytes | None:
        return documents.NO_NOTICES if (section, filename) == ("", documents.NOTICES) else None

    def served(self, body: bytes) -> bytes:
        return shards.shard_bytes(body)

    def documents(
        self, section: str, shards: Shards, folder: Path, extras: Mapping[str, Sequence[Path]]
    ) -> Iterator[Document]:
        return documents.documents(section, shards, folder, extras)


def _fetch_run_exports(
    address: str, section: str, folder: Path, context: FetchContext
) -> OptionalFiles:
    """In the first form that can be had and read."""
    failure = ""
    warnings: list[str] = []

    def check(path: Path) -> None:
        warnings.extend(run_exports.check(path, section, work=folder, stop=context.stop))

    for name in run_exports.NAMES:
        path = folder / name
        url = f"{address.rpartition('/')[0]}/{name}"
        fetched, why = optional.fetch_checked(
            context.client, url, path, stop=context.stop, check=check
        )
        if fetched:
            return OptionalFiles({run_exports.NAME: path}, warnings=warnings)
        failure = failure or why
    return OptionalFiles(missed={run_exports.NAME: failure} if failure else {})


def _fetch_channeldata(address: str, folder: Path, context: FetchContext) -> OptionalFiles:
    path = folder / channeldata.NAME
    fetched, why = optional.fetch_checked(
        context.client,
        f"{address.rstrip('/')}/{path.name}",
        path,
        stop=context.stop,
        cap=channeldata.CAP,
        check=channeldata.packages,
    )
    missed = {path.name: why} if why else {}
    return OptionalFiles({path.name: path} if fetched else {}, missed)


def _warnings(index: Index) -> list[str]:
    warnings = index.repeated_warnings()
    if number := index.v3_records:
        warnings.append(
            f"{number:,} records of the index's `v3` part are not taken over; clients of today"
            " read the other parts."
        )
    return warnings
