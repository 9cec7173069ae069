"""What became of files between two states of a package: the one place that compares them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class FileDifference(NamedTuple):
    """File names, in the order of the state that has them."""

    added: list[str]
    replaced: list[str]
    """In both states, with another record."""
    removed: list[str]

    @property
    def total(self) -> int:
        return len(self.added) + len(self.replaced) + len(self.removed)


def file_difference(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> FileDifference:
    """The difference between two states, each given as verbatim records by file name."""
    return FileDifference(
        added=[filename for filename in new if filename not in old],
        replaced=[
            filename for filename, record in new.items() if record != old.get(filename, record)
        ],
        removed=[filename for filename in old if filename not in new],
    )
