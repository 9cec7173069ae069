"""Is a new snapshot one that a healthy upstream would give? Pure.

The guard speaks about the upstream alone, never about the effect of rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, slots=True)
class Facts:
    """What the guard looks at: readable files, `Last-Modified`, newest build time (ms).

    `invalid`: how many more are listed, which nobody can read. `unhashed`: how many more have
    lost the hash that the index stated before.
    """

    listed: int
    last_modified: str = ""
    newest: int = 0
    invalid: int = 0
    unhashed: int = 0


def objection(
    section: str,
    old: Facts | None,
    new: Facts | None,
    *,
    least: int,
    share: float,
    explained: int = 0,
) -> str | None:
    """Why `new` is to be held, or None. `new` None: the upstream no longer has the section.

    `least` and `share`: how many files may go at once, the larger of a number
    and a share of what was there. `explained`: files that the upstream says it has taken back.
    """
    # Nothing was there that could be lost.
    if old is None or old.listed == 0:
        return None
    if new is None:
        return f"The upstream no longer has {section}, which listed {old.listed:,} files."
    if new.listed == 0 and explained < old.listed:
        return f"{section} is empty now; it listed {old.listed:,} files.{_more(new)}"
    gone = old.listed - new.listed - explained
    if gone > max(least, old.listed * share):
        return (
            f"{section} shrank from {old.listed:,} to {new.listed:,} files,"
            f" more than the {max(least, int(old.listed * share)):,} that may go at once."
            f"{_more(new)}"
        )
    # The newest file may be one that was taken back.
    if _older(old, new) and not (explained and gone <= 0):
        return f"{section} is older than the index that was accepted before."
    return None


def _more(new: Facts) -> str:
    """What else the upstream lists, as sentences that follow another."""
    invalid = f" {new.invalid:,} more are listed and invalid." if new.invalid else ""
    lost = f" {new.unhashed:,} more are listed without the hash that they had."
    return f"{invalid}{lost}" if new.unhashed else invalid


def _older(old: Facts, new: Facts) -> bool:
    """Whether it went back in time: file dates differ between the nodes of one upstream too."""
    dated = bool(old.newest and new.newest)
    older = new.newest < old.newest if dated else new.listed <= old.listed
    try:
        before = parsedate_to_datetime(old.last_modified)
        earlier = parsedate_to_datetime(new.last_modified) < before
    except (TypeError, ValueError):
        # No date, or text that is none: the build times of the files decide alone.
        return dated and older and new.listed <= old.listed
    return earlier and (older or new.listed < old.listed)
