"""Filters that turn a value into text for people: numbers, sizes, JSON, texts from outside."""

from __future__ import annotations

from collections.abc import Mapping

from django import template

register = template.Library()

HIDDEN = {
    # Unicode has pictures of the C0 controls; the others are written as their numbers.
    **{code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n\r"},
    0x7F: "\u2421",
    **{
        code: f"\u2039U+{code:04X}\u203a"
        for code in (
            *range(0x80, 0xA0),
            # Marks of direction: a name reads as another with them (CVE-2021-42574, Trojan Source).
            0x200E,
            0x200F,
            *range(0x202A, 0x202F),
            *range(0x2066, 0x206A),
        )
    },
}
"""Characters that change how others are shown, and what is shown in their place."""
UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


@register.filter
def size(count: int | None) -> str:
    """Bytes in IEC units."""
    if count is None or count < 0:
        return "–"
    amount = float(count)
    for unit in UNITS:
        if amount < 1024 or unit == UNITS[-1]:
            return f"{count:,} B" if unit == "B" else f"{amount:,.1f} {unit}"
        amount /= 1024
    raise AssertionError


@register.filter
def grouped(count: int | None) -> str:
    """A number with its thousands apart."""
    return "–" if count is None else f"{count:,}"


@register.simple_tag
def quantity(count: int, singular: str, plural: str = "") -> str:
    """A number and its noun: "1 package", "2,000 packages"."""
    return f"{count:,} {singular if count == 1 else plural or f'{singular}s'}"


@register.filter
def plain(text: object) -> str:
    """A text from outside: control characters and turns of direction are made visible."""
    return str(text).translate(HIDDEN)


@register.filter
def value_in_words(value: object) -> str:
    """A value of a record for people: a list as its items, "none" for what is empty."""
    if isinstance(value, dict):
        value = [f"{key} {value_in_words(member)}" for key, member in sorted(value.items())]
    if isinstance(value, list):
        return ", ".join(map(value_in_words, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value in (None, "") else str(value)


@register.filter
def item(mapping: Mapping[str, object], key: str) -> object:
    """The value of a key that is a variable."""
    return mapping.get(key, "")


@register.filter
def kind(value: object) -> str:
    """`dict`, `list` or `text`: how a value of an event's metadata is shown."""
    return "dict" if isinstance(value, dict) else "list" if isinstance(value, list) else "text"


@register.filter
def json_word(value: object) -> str:
    """A leaf of JSON as people read it."""
    words = {True: "yes", False: "no", None: "–"}
    if isinstance(value, bool) or value is None:
        return words[value]
    return str(value) if isinstance(value, int) else plain(value) or "–"
