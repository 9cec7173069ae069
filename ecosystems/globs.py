"""Text patterns with `*`, matched without regard to case and in linear time.

Rule: a pattern never becomes a regular expression, because users write the
patterns and a regular expression can be made to run for ever.
"""

from __future__ import annotations

from collections.abc import Callable


def matcher(pattern: str) -> Callable[[str], bool]:
    """A function that tells whether a text fits `pattern`, where `*` is any run of characters."""
    wanted = pattern.lower()
    if "*" not in wanted:
        return lambda text: text.lower() == wanted
    head, *middle, tail = wanted.split("*")
    # Empty middle parts ("a**b") say nothing that a single star does not say.
    parts = tuple(part for part in middle if part)
    least = len(head) + len(tail)

    def fits(text: str) -> bool:
        low = text.lower()
        end = len(low) - len(tail)
        if len(low) < least or not low.startswith(head) or not low.endswith(tail):
            return False
        # Taking the first place of each part is enough: a later one leaves less room.
        at = len(head)
        for part in parts:
            found = low.find(part, at, end)
            if found < 0:
                return False
            at = found + len(part)
        return True

    return fits
