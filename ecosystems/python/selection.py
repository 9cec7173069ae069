"""Which projects of an index a mirror fetches the pages of, and what is read beside them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from ecosystems.indexes import FindFile, no_files
from ecosystems.records import Spec


@dataclass(frozen=True)
class Selection:
    """Without specs: all projects, or with `active` false those that were asked for."""

    only: tuple[Spec, ...] = ()
    active: bool = True
    licenses: bool = False
    """Whether the license of each release is read, which costs requests of their own."""
    requested: frozenset[str] = frozenset()
    find_file: FindFile = no_files
    names: frozenset[str] | None = field(init=False)
    """All names there can be, where every spec is of one name; None: the index's list decides."""

    def __post_init__(self) -> None:
        exact = [getattr(spec, "exact_name", None) for spec in self.only]
        names = frozenset(name for name in exact if name) if exact and all(exact) else None
        # Of a frozen class, and it follows from the fields.
        object.__setattr__(self, "names", names)

    @property
    def on_demand(self) -> bool:
        """Whether the pages of listed projects are fetched when first asked for."""
        return self.names is None and not self.active

    def key(self) -> str:
        """What is fetched, as a short text: equal for mirrors that can share a snapshot."""
        if not self.only and not self.licenses and not self.on_demand:
            return ""
        # Where all names are known, versions do not change which pages are fetched.
        specs = sorted(spec.text if self.names is None else "" for spec in self.only)
        names = sorted(self.names or ())
        modes = ["licenses" if self.licenses else "", "on demand" if self.on_demand else ""]
        text = "\0".join([*names, "", *specs, *modes])
        return hashlib.sha256(text.encode()).hexdigest()[:32]
