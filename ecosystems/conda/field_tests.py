"""Conditions of a conda spec on the fields of a record other than its version (CEP 29)."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable

from ecosystems.conda import regex
from ecosystems.conda.grammar import Part, fail
from ecosystems.errors import SpecError
from ecosystems.records import Record

FieldTest = Callable[[Record], bool]

LIST_FIELDS = ("constrains", "depends", "extras", "flags")
# 18 digits fit into 64 bits, as every number of a record does.
_NUMBER = re.compile(r"\s*(==|!=|<=|>=|=|<|>|)\s*([0-9]{1,18})\s*")
_COMPARE: dict[str, Callable[[int, int], bool]] = {
    "": operator.eq,
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
TEXT_FIELDS: dict[str, Callable[[Record], str]] = {
    "build": operator.attrgetter("build"),
    "fn": operator.attrgetter("filename"),
    "license": operator.attrgetter("license"),
    "license_family": operator.attrgetter("license_family"),
    "md5": operator.attrgetter("md5"),
    "sha256": operator.attrgetter("sha256"),
}
NUMBER_FIELDS: dict[str, Callable[[Record], int | None]] = {
    "build_number": operator.attrgetter("build_number"),
    "size": lambda record: record.size if record.size >= 0 else None,
    "timestamp": operator.attrgetter("timestamp"),
}


def field_test(key: str, part: Part, *, text: str) -> FieldTest:
    """The test of a record that `key=value` asks for.

    SpecError, with the place in `text`, where no record could be tested so.
    """
    if key in LIST_FIELDS:
        fail(f'"{key}" is a list, and lists cannot be matched', text=text, at=part.at)
    if key in TEXT_FIELDS:
        return _text_test(TEXT_FIELDS[key], matcher(part, text=text))
    if key in NUMBER_FIELDS:
        return _number_test(NUMBER_FIELDS[key], key, part, text=text)
    return _value_test(key, part, matcher(part, text=text))


def matcher(part: Part, *, text: str) -> Callable[[str], bool]:
    """Whether a text fits a pattern; SpecError, with the place in `text`, where it is none."""
    try:
        return regex.matcher(part.text)
    except SpecError as error:
        fail(str(error), text=text, at=part.at)


def _text_test(read: Callable[[Record], str], fits: Callable[[str], bool]) -> FieldTest:
    return lambda record: fits(read(record))


def _number_test(
    read: Callable[[Record], int | None], key: str, part: Part, *, text: str
) -> FieldTest:
    holds = _numbers(part.text) or _number_pattern(part, text=text)
    if holds is None:
        fail(
            f'"{key}" is a number, and "{part.text}" is no condition on one', text=text, at=part.at
        )

    def test(record: Record) -> bool:
        value = read(record)
        return value is not None and holds(value)

    return test


def _value_test(key: str, part: Part, fits: Callable[[str], bool]) -> FieldTest:
    # Only the record tells whether the field is a number: the index may have any key.
    holds = _numbers(part.text)

    def test(record: Record) -> bool:
        value = record.value(key)
        if isinstance(value, int):
            return holds(value) if holds is not None else fits(str(value))
        return value is not None and fits(value)

    return test


def _number_pattern(part: Part, *, text: str) -> Callable[[int], bool] | None:
    """A pattern for a number's digits, such as `1*`; None where the text is something else."""
    if not re.fullmatch(r"[0-9*]+", part.text) and not regex.is_regex(part.text):
        return None
    fits = matcher(part, text=text)
    return lambda value: fits(str(value))


def _numbers(text: str) -> Callable[[int], bool] | None:
    """Conditions on a whole number, such as `>=1,<5`; None where `text` is something else."""
    matches = [_NUMBER.fullmatch(clause) for clause in text.split(",")]
    clauses = [(_COMPARE[m.group(1)], int(m.group(2))) for m in matches if m is not None]
    if len(clauses) < len(matches):
        return None
    return lambda value: all(compare(value, bound) for compare, bound in clauses)
