"""Environment variables that remember which of them were read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping


class Recorded(Mapping[str, str]):
    """A mapping; `names` are the variables that were looked up in it, present or not."""

    def __init__(self, **variables: str) -> None:
        self._variables = variables
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        return self._variables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)
