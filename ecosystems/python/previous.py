"""What the last pack of an index says of its pages and of its list of projects."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ecosystems.pack import Pack


class Serials(msgspec.Struct):
    """How far the serials in a list of projects have been trusted."""

    highest: int = 0
    risen: bool = False
    """Whether they have risen between two readings of the list."""


class PagesMeta(msgspec.Struct, kw_only=True):
    """What a pack of pages says of itself, for the run after the one that writes it."""

    root: str = ""
    """The address of the index that the pages are from."""
    etags: dict[str, tuple[str, str]] = {}
    """ETag and Last-Modified of pages, by project."""
    serials: dict[str, int] = {}
    failed: list[str] = []
    license_retries: list[str] = []
    """Projects with metadata that could not be read for their licenses."""
    licensed: bool = False
    newest: int = 0
    page_warnings: list[str] = []
    list_warnings: list[str] = []
    list_serials: Serials = msgspec.field(default_factory=Serials)

    @classmethod
    def of(cls, pack: Pack) -> PagesMeta:
        """What a pack that was closed with such a meta says."""
        return msgspec.convert(pack.meta, cls)

    def dump(self) -> dict[str, object]:
        """The meta with which a pack is closed."""
        return {name: msgspec.to_builtins(getattr(self, name)) for name in self.__struct_fields__}


@dataclass(slots=True)
class PreviousPack:
    """The last pack's pages, with what identifies each."""

    pack: Pack | None = None
    meta: PagesMeta = field(default_factory=PagesMeta)

    @classmethod
    def open(cls, path: Path | None, root: str) -> PreviousPack:
        """The last pack, unless it was filled from another place."""
        if path is None:
            return cls()
        pack = Pack(path)
        meta = PagesMeta.of(pack)
        # ETags and serials of another index would take its pages for unchanged.
        return cls(pack, meta) if meta.root == root else cls()

    def has(self, name: str) -> bool:
        """Whether the pack has the project's page."""
        return self.pack is not None and name in self.pack.names()

    def read(self, name: str) -> bytes:
        """The project's page as it was; b"" for none."""
        return self.pack.read(name) if self.pack is not None and self.has(name) else b""
