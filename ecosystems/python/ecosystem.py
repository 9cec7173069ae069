"""The standard python type as the rest of the product sees it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from ecosystems.base import (
    NAMES,
    BadIndex,
    Brought,
    Document,
    Held,
    Invalid,
    Order,
    Page,
    Progress,
    Raw,
    Read,
    Record,
    Seen,
    Spec,
    Spot,
    Stop,
    Unchanged,
    Whole,
    nothing_held,
)
from ecosystems.pack import Pack
from ecosystems.python import body as bodies
from ecosystems.python import listing, pages, records, specifiers, wheels
from ecosystems.python.collect import Collector, Task
from ecosystems.python.known import Known
from ecosystems.python.listing import Listed
from ecosystems.python.names import METADATA, WHEEL, is_file, is_name, name_of, normalize
from ecosystems.upstream import Client, NotFound, UpstreamError

SECTION = "simple"


class PythonSimple(Whole):
    """Implements `ecosystems.base.Ecosystem`. Narrowed, it fetches the pages of some projects."""

    kind = "python_simple"
    family = "python"
    prefix = SECTION
    names_only = True

    def __init__(
        self,
        only: Sequence[Spec] = (),
        *,
        active: bool = True,
        licenses: bool = False,
        asked: Collection[str] = (),
        held: Held = nothing_held,
    ) -> None:
        self._only = tuple(only)
        self._active = active
        self._licenses = licenses
        exact = [getattr(spec, "exact_name", None) for spec in self._only]
        self._names = {name for name in exact if name} if exact and all(exact) else None
        self._on_demand = self._names is None and not active
        self._asked = frozenset(asked)
        self._held = held
        self.scope = self._key()

    def narrowed(self, only: Sequence[Spec], *, active: bool, licenses: bool) -> PythonSimple:
        return PythonSimple(only, active=active, licenses=licenses)

    def having(self, names: Collection[str], held: Held = nothing_held) -> PythonSimple:
        return PythonSimple(
            self._only, active=self._active, licenses=self._licenses, asked=names, held=held
        )

    def license_in(self, path: Path, filename: str) -> tuple[str, str] | None:
        return wheels.license_in(path) if filename.endswith(WHEEL) else None

    def inside(self, path: Path, filename: str) -> bytes | None:
        return wheels.whole_metadata_in(path) if filename.endswith(WHEEL + METADATA) else None

    def goes_with(self, filename: str) -> str:
        return filename.removesuffix(METADATA) if filename.endswith(METADATA) else ""

    def alone(self, record: Record) -> Record:
        return records.alone(record)

    def bring(self, client: Client, base_url: str, name: str, *, work: Path) -> Brought | None:
        collector = Collector(
            client,
            base_url,
            known=Known(),
            licenses=self._licenses,
            work=work,
            held=self._held,
        )
        got = collector.bring(Task(name))
        return None if got is None else Brought(got.body, got.count, collector.warnings())

    def owns(self, section: str) -> bool:
        return section == SECTION

    def key(self, section: str, name: str, filename: str) -> str:
        return f"{section}/{name}/{filename}"

    def path(self, section: str, name: str, filename: str) -> str:
        return self.key(section, name, filename)

    def metadata(self, record: Record) -> dict[str, Any]:
        return records.metadata(record)

    def order(self, version: str) -> Order:
        try:
            return 1, Version(version)
        except InvalidVersion:
            return 0, version

    def locate(self, path: str, form: str) -> Spot | None:
        name, slash, filename = path.partition("/")
        if not path:
            return Spot(SECTION, moved=f"{SECTION}/")
        if path == "/":
            return Spot(SECTION, filename=pages.INDEX_NAMES[form or pages.TEXT])
        if not is_name(name) or (filename and not is_file(filename)):
            return None
        right = normalize(name)
        if not slash:
            return Spot(SECTION, moved=f"{right}/")
        if right != name:
            return Spot(SECTION, moved=f"../{right}/{filename}")
        return Spot(SECTION, name, filename)

    def form(self, accept: str) -> str:
        return pages.form(accept)

    def page(self, served: bytes, digest: str, form: str) -> Page:
        return pages.page(served, digest, form)

    def sections(self, asked: Sequence[str]) -> list[str]:
        del asked  # Platforms are conda's.
        return [SECTION]

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
        refused: UpstreamError | BadIndex | None = None
        for root in _roots(base_url, seen):
            try:
                found = self._fetch(
                    client, root, section, seen=seen, work=work, stop=stop, progress=progress
                )
            except (UpstreamError, BadIndex) as error:
                # A welcome page, or what a server says where it has no index.
                if isinstance(error, UpstreamError) and not error.permanent:
                    raise
                refused = refused or error
                continue
            if found is not None:
                return found
        if refused is not None:
            raise refused
        return None

    def _fetch(
        self,
        client: Client,
        root: str,
        section: str,
        *,
        seen: Seen | None,
        work: Path,
        stop: Stop,
        progress: Progress,
    ) -> Raw | Unchanged | None:
        """The index at one address; None: there is none."""
        known = Known.of(seen.pack if seen else None, root)
        try:
            listed = self._list(client, root, seen=seen, known=known, work=work, stop=stop)
        except NotFound:
            return None
        if listed is None:
            return Unchanged()
        collector = Collector(
            client,
            root,
            known=known,
            licenses=self._licenses,
            work=work,
            serials=listed.trusted,
            held=self._held,
        )
        path = work / f"{section}.collected"
        meta = {"more_warnings": listed.warnings, **listed.meta}
        state = collector.collect(listed.names, path, stop=stop, progress=progress, meta=meta)
        if self._names is not None and not collector.found and not collector.failed:
            path.unlink()
            return None
        told = f"{self.scope}\0{state}\0{self._told(work)}\0{listed.trusted}"
        sha256 = hashlib.sha256(told.encode()).hexdigest()
        return Raw(root, path, sha256, listed.etag, listed.last_modified, listed.note)

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
        del client, seen, stop  # All was done while it was fetched.
        target = work / f"{section}.pack"
        raw.path.rename(target)
        with target.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        with Pack(target) as pack:
            meta: dict[str, Any] = pack.meta
            entries = pack.names().values()
            return Read(
                pack=target,
                pack_sha256=sha256,
                base_url=raw.address,
                listed=sum(entry.count for entry in entries),
                names=len(entries),
                newest=meta["newest"],
                warnings=[*meta["more_warnings"], *meta["warnings"]],
                extras={NAMES: work / NAMES} if self._on_demand else {},
            )

    def spec(self, text: str) -> Spec:
        return specifiers.parse(text)

    def normalize(self, name: str) -> str:
        return normalize(name)

    def name_of(self, filename: str) -> str | None:
        return name_of(filename)

    def records(self, body: bytes, *, section: str, name: str) -> list[Record | Invalid]:
        del section  # There is one.
        return records.records(body, name=name)

    def entries(self, body: bytes) -> dict[str, bytes]:
        return bodies.entries(body)

    def taken_back(self, body: bytes, before: bytes = b"") -> frozenset[str] | None:
        """All files of a quarantined project, and those that were yanked before they went."""
        if body and records.quarantined(bodies.split(body).status):
            return None
        return records.yanked(before) if before else frozenset()

    def rewrites(self, body: bytes) -> bool:
        del body  # What must not be published is kept out of the served form only.
        return False

    def build(self, entries: Iterable[tuple[str, bytes]], bodies_: Iterable[bytes]) -> bytes:
        kept = list(entries)
        name = name_of(kept[0][0].removesuffix(METADATA)) if kept else ""
        made = list(bodies_)
        return bodies.build(kept, made, name="" if made else name or "")

    def served(self, body: bytes) -> bytes:
        return pages.served(body)

    def documents(
        self,
        section: str,
        shards: Callable[[], Iterator[tuple[str, bytes, str]]],
        folder: Path,
        extras: Mapping[str, Sequence[Path]],
    ) -> Iterator[Document]:
        if section:
            names = {name for name, _, _ in shards()}
            names.update(*(path.read_text().split() for path in extras.get(NAMES, ())))
            yield from pages.index(sorted(names), folder)

    def _key(self) -> str:
        """What is fetched, as a short text: equal for mirrors that can share a snapshot."""
        if not self._only and not self._licenses and not self._on_demand:
            return ""
        specs = sorted(spec.text if self._names is None else "" for spec in self._only)
        names = sorted(self._names or ())
        kind = ["licenses" if self._licenses else "", "on demand" if self._on_demand else ""]
        text = "\0".join([*names, "", *specs, *kind])
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def _list(
        self,
        client: Client,
        root: str,
        *,
        seen: Seen | None,
        known: Known,
        work: Path,
        stop: Stop,
    ) -> Listed | None:
        """The projects to ask for; None: nothing has changed. NotFound: there is no list."""
        if self._names is not None:
            return Listed(dict.fromkeys(self._names))
        path = work / "projects"
        listed = listing.fetch(
            client, root, path, known=known, seen=seen, asked=self._asked, stop=stop
        )
        if listed is None:
            return None
        listing.only(listed, self._only)
        if self._on_demand:
            (work / NAMES).write_text("\n".join(sorted(listed.names)))
            wanted = self._asked.union(known.pack.names() if known.pack else ())
            listed.names = {name: serial for name, serial in listed.names.items() if name in wanted}
        return listed

    def _told(self, work: Path) -> str:
        """A hash of the names that are listed without their pages."""
        if not self._on_demand:
            return ""
        return hashlib.sha256((work / NAMES).read_bytes()).hexdigest()


def _roots(base_url: str, seen: Seen | None) -> list[str]:
    """Where the index may be: at the address given, or in its folder `simple`."""
    base = base_url.rstrip("/") + "/"
    found = [base] if base.endswith("simple/") else [base, f"{base}{SECTION}/"]
    if seen is not None and seen.address in found:
        return [seen.address]
    return found
