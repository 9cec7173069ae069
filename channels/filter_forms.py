"""What the forms of channels and mirrors have in common: filters, versions.

The rule: everything is checked before anything is written, and every problem names its field.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, TypeVar

import msgspec
from django.core.exceptions import ValidationError

from ecosystems import registry
from ecosystems.errors import SpecError
from ecosystems.records import Spec
from filters.models import Filter
from filters.rules import Rules, compile_rules, lenient, normalized, problems
from filters.rules.form import ParseSpec

By = Literal["mirror", "channel"]
T = TypeVar("T")

MAX_PROBLEMS = 20
MAX_EVENT_ENTRIES = 100


class Stale(Exception):
    """The object was changed since the caller read it (412)."""

    def __init__(self) -> None:
        super().__init__(
            "Someone else changed this since you read it. Read it again, then repeat your change."
        )


class Problems:
    """Collects what is wrong with each field, so that all of it is told at once.

    `with problems.collected():` around the check of one field; `raise_any` when all are checked.
    """

    def __init__(self) -> None:
        self._by_field: dict[str, list[ValidationError]] = {}

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Remember the ValidationError that this block raises, and go on behind it."""
        try:
            yield
        except ValidationError as error:
            error.update_error_dict(self._by_field)

    def raise_any(self) -> None:
        """Raise one ValidationError that names every field with a problem."""
        if self._by_field:
            raise ValidationError(self._by_field)


def spec_of(kind: str) -> ParseSpec:
    """How specs are read in a filter for packages of this type; "" = of every type."""
    return registry.get(kind).parse_spec if kind else _any


def _any(text: str) -> Spec:
    """A spec in the words of whatever type takes it; else what the first type says against it."""
    errors: list[SpecError] = []
    for kind in registry.kinds():
        try:
            return registry.get(kind).parse_spec(text)
        except SpecError as error:
            errors.append(error)
    raise errors[0]


_kept: ContextVar[dict[Any, Any] | None] = ContextVar("kept", default=None)


@contextmanager
def parsing_once() -> Iterator[None]:
    """What is read in this block is read once: before its transaction begins.

    A list of 100,000 specs takes seconds, and nobody else can write meanwhile on SQLite.
    """
    kept = _kept.get()
    token = _kept.set({} if kept is None else kept)
    try:
        yield
    finally:
        _kept.reset(token)


def cached_rules(terms: Mapping[str, Any], by: By, kind: str) -> Rules | None:
    """These terms' rules, if they were read in this block."""
    kept = _kept.get()
    found: Rules | None = kept.get(_key("rules", terms, by, kind)) if kept else None
    return found


def cached(what: str, terms: Sequence[Any], kind: str, made: Callable[[], T]) -> T:
    """What `made` finds out of these terms, found once in this block."""
    kept = _kept.get()
    if kept is None:
        return made()
    key = _key(what, terms, "", kind)
    if key not in kept:
        kept[key] = made()
    found: T = kept[key]
    return found


def _key(what: str, terms: Any, by: str, kind: str) -> tuple[str, str, str, bytes]:
    return what, by, kind, hashlib.sha256(msgspec.json.encode(terms, order="sorted")).digest()


def validated(filters: Mapping[str, Any], by: By, kind: str = "") -> dict[str, Any]:
    """The normalized form of `filters`, or ValidationError naming each field and place."""
    kept = _kept.get()
    if kept is None:
        return _check(filters, by, spec_of(kind))
    key = _key("form", filters, by, kind)
    if key not in kept:
        kept[key] = _read(filters, by, kind, kept)
    if isinstance(kept[key], ValidationError):
        raise kept[key]
    return dict(kept[key])


def _read(
    filters: Mapping[str, Any], by: By, kind: str, kept: dict[Any, Any]
) -> dict[str, Any] | ValidationError:
    """The normalized form, its rules kept beside it; or what is wrong with it."""
    read: ParseSpec = _Once(spec_of(kind))
    try:
        form = _check(filters, by, read)
    except ValidationError as error:
        return error
    kept[_key("rules", form, by, kind)] = compile_rules(form, spec=lenient(read), by=by)
    return form


class _Once:
    """Reads each text once."""

    def __init__(self, parse: ParseSpec) -> None:
        self._parse = parse
        self._read: dict[str, Spec] = {}

    def __call__(self, text: str) -> Spec:
        found = self._read.get(text)
        if found is None:
            found = self._read[text] = self._parse(text)
        return found


def _check(filters: Mapping[str, Any], by: By, spec: ParseSpec) -> dict[str, Any]:
    told: dict[str, list[str]] = {}
    for field, place, message in problems(filters, spec=spec, by=by)[:MAX_PROBLEMS]:
        where = f"filters.{field}" if place is None else f"filters.{field}.{place}"
        told.setdefault(where, []).append(f"{message}.")
    if told:
        raise ValidationError(told)
    return normalized(filters)


def shortened(terms: Mapping[str, Any]) -> dict[str, Any]:
    """`terms` for an event: of long lists the first entries, and how many more there are."""
    return {
        key: [*value[:MAX_EVENT_ENTRIES], f"and {len(value) - MAX_EVENT_ENTRIES:,} more"]
        if isinstance(value, list) and len(value) > MAX_EVENT_ENTRIES
        else value
        for key, value in terms.items()
    }


def compiled_rules(terms: Mapping[str, Any], by: By, kind: str = "") -> Rules:
    """Checked terms, ready to be compared with others."""
    found = cached_rules(terms, by, kind)
    if found is None:
        found = compile_rules(terms, spec=lenient(spec_of(kind)), by=by)
        if (kept := _kept.get()) is not None:
            kept[_key("rules", terms, by, kind)] = found
    return found


def save_filter(row: Filter, terms: dict[str, Any], *, by: By, kind: str = "") -> bool:
    """Save `terms`; True if they mean something else than before."""
    digest = compiled_rules(terms, by, kind).digest
    changed = digest != row.digest
    row.terms, row.digest = terms, digest
    row.save()
    return changed
