"""Is a new snapshot one that a healthy upstream would give? Pure.

The guard speaks about the upstream alone, never about the effect of rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, slots=True)
class Facts:
    """What the guard looks at: files listed, `Last-Modified`, newest build time (ms)."""

    listed: int
    last_modified: str = ""
    newest: int = 0


def objection(
    section: str, old: Facts | None, new: Facts | None, *, least: int, share: float
) -> str | None:
    """Why `new` is to be held, or None. `new` None: the upstream no longer has the section.

    `least` and `share`: how many files may go at once, the larger of a number
    and a share of what was there.
    """
    if old is None or old.listed == 0:
        return None
    if new is None:
        return f"The upstream no longer has {section}, which listed {old.listed:,} files."
    if new.listed == 0:
        return f"{section} is empty now; it listed {old.listed:,} files."
    gone = old.listed - new.listed
    if gone > max(least, old.listed * share):
        return (
            f"{section} shrank from {old.listed:,} to {new.listed:,} files,"
            f" more than the {max(least, int(old.listed * share)):,} that may go at once."
        )
    if _older(old, new):
        return f"{section} is older than the index that was accepted before."
    return None


def _older(old: Facts, new: Facts) -> bool:
    try:
        before = parsedate_to_datetime(old.last_modified)
        return parsedate_to_datetime(new.last_modified) < before
    except (TypeError, ValueError):
        return 0 < new.newest < old.newest and new.listed <= old.listed
