"""What the last pack of an index says of its pages and of its list of projects."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ecosystems.pack import Pack


@dataclass(slots=True)
class PreviousPack:
    """The last pack's pages, with what identifies each, and how far its serials were trusted."""

    pack: Pack | None = None
    etags: dict[str, list[str]] = field(default_factory=dict)
    serials: dict[str, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    """Projects with metadata that could not be read for their licenses."""
    licensed: bool = False
    newest: int = 0
    top: int = 0
    """The highest serial in the list of projects."""
    risen: bool = False
    """Whether the list's serials have risen between two readings of it."""

    @classmethod
    def of(cls, path: Path | None, root: str) -> PreviousPack:
        """The last pack, unless it was filled from another place."""
        if path is None:
            return cls()
        pack = Pack(path)
        meta = pack.meta
        if meta.get("root") != root:
            return cls()
        return cls(
            pack,
            meta["etags"],
            meta["serials"],
            meta["failed"],
            meta["again"],
            meta["licensed"],
            meta["newest"],
            meta.get("top", 0),
            meta.get("risen", False),
        )

    def has(self, name: str) -> bool:
        """Whether the pack has the project's page."""
        return self.pack is not None and name in self.pack.names()

    def read(self, name: str) -> bytes:
        """The project's page as it was; b"" for none."""
        return self.pack.read(name) if self.pack is not None and self.has(name) else b""
