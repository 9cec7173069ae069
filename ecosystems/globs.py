"""Text patterns with `*`, matched without regard to case and in linear time.

Rule: a pattern never becomes a regular expression, because users write the
patterns and a regular expression can be made to run for ever.
"""

from __future__ import annotations

from collections.abc import Callable


def matcher(pattern: str) -> Callable[[str], bool]:
    """A function that tells whether a text fits `pattern`, where `*` is any run of characters."""
    lower_pattern = pattern.lower()
    if "*" not in lower_pattern:
        return lambda text: text.lower() == lower_pattern
    # What comes before the first star and after the last one has its place.
    head, *middle, tail = lower_pattern.split("*")
    # Empty middle parts ("a**b") say nothing that a single star does not say.
    parts = tuple(part for part in middle if part)
    least = len(head) + len(tail)

    def fits(text: str) -> bool:
        lower = text.lower()
        end = len(lower) - len(tail)
        if len(lower) < least or not lower.startswith(head) or not lower.endswith(tail):
            return False
        # Taking the first place of each part is enough: a later one leaves less room.
        at = len(head)
        for part in parts:
            position = lower.find(part, at, end)
            if position < 0:
                return False
            at = position + len(part)
        return True

    return fits
