"""Filters as people send them, for channels and mirrors: checked, compiled, saved.

A filter may have 100,000 specs, which take seconds to parse. `parsing_once` has each of them parsed
once for a whole request, before its transaction begins.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

import msgspec
from django.core.exceptions import ValidationError

from ecosystems import registry
from ecosystems.errors import SpecError
from ecosystems.records import Spec
from filters.models import Filter
from filters.rules import Rules, compile_rules, lenient, normalized, problems
from filters.rules.age_form import AGE_FIELDS
from filters.rules.form import ParseSpec

By = Literal["mirror", "channel"]
Terms = Mapping[str, object]
"""The `filters` object of the API, as sent or normalized."""

# What one answer says. A list may have as many wrong entries as it has entries.
MAX_PROBLEMS = 20
# An event is shown whole, however long the list was.
MAX_EVENT_ENTRIES = 100

_Key = tuple[str, str, bytes]
"""Whose filter it is, the kind of packages, SHA-256 of the terms."""


@dataclass(slots=True)
class _Cache:
    """What was parsed and compiled in a `parsing_once` block."""

    forms: dict[_Key, dict[str, object] | ValidationError] = field(default_factory=dict)
    """Normalized terms; or what is wrong, which is raised as often as it is asked for."""
    rules: dict[_Key, Rules] = field(default_factory=dict)
    conflicts: dict[_Key, list[str]] = field(default_factory=dict)


# Of one request, which runs in one context: others of the process parse at the same time.
_cache: ContextVar[_Cache | None] = ContextVar("parsed_filters", default=None)


def spec_of(kind: str) -> ParseSpec:
    """How specs are read in a filter for packages of this type; "" = of every type."""
    return registry.get(kind).parse_spec if kind else _parse_as_any_type


def _parse_as_any_type(text: str) -> Spec:
    """A spec in the words of whatever type takes it; else what the first type says against it."""
    errors: list[SpecError] = []
    for kind in registry.kinds():
        try:
            return registry.get(kind).parse_spec(text)
        except SpecError as error:
            errors.append(error)
    raise errors[0]


@contextmanager
def parsing_once() -> Iterator[None]:
    """What is parsed in this block is parsed once: call it before the transaction begins.

    A list of 100,000 specs takes seconds, and nobody else can write meanwhile on SQLite.
    """
    # A block within another shares what that one has parsed.
    token = _cache.set(_cache.get() or _Cache())
    try:
        yield
    finally:
        _cache.reset(token)


def cached_rules(terms: Terms, by: By, kind: str) -> Rules | None:
    """These terms' rules, if they were compiled in this block."""
    cached = _cache.get()
    # While nothing is compiled there is nothing to look for; the hash of a long list takes time.
    return cached.rules.get(_key(terms, by, kind)) if cached and cached.rules else None


def cached_conflicts(terms: Sequence[Terms], kind: str, find: Callable[[], list[str]]) -> list[str]:
    """What `find` says about these filters of packages of a type, found once in this block."""
    cached = _cache.get()
    if cached is None:
        return find()
    key = _key(terms, "", kind)
    if key not in cached.conflicts:
        cached.conflicts[key] = find()
    return list(cached.conflicts[key])


def _key(terms: Terms | Sequence[Terms], by: str, kind: str) -> _Key:
    # Sorted: the same terms in another order of their keys are the same filter.
    return by, kind, hashlib.sha256(msgspec.json.encode(terms, order="sorted")).digest()


def validated(filters: Terms, by: By, kind: str = "") -> dict[str, object]:
    """The normalized form of `filters`, or ValidationError naming each field and place."""
    cached = _cache.get()
    if cached is None:
        return _checked(filters, by, spec_of(kind))
    key = _key(filters, by, kind)
    if key not in cached.forms:
        cached.forms[key] = _parsed(filters, by, kind, cached)
    form = cached.forms[key]
    if isinstance(form, ValidationError):
        raise form
    # A copy, which the caller may change; the cache gives the form out again.
    return dict(form)


def _parsed(
    filters: Terms, by: By, kind: str, cached: _Cache
) -> dict[str, object] | ValidationError:
    """The normalized form, whose rules go to the cache; or what is wrong with it."""
    # Checking parses every spec, and compiling would parse it again.
    parse: ParseSpec = cache(spec_of(kind))
    try:
        form = _checked(filters, by, parse)
    except ValidationError as error:
        return error
    cached.rules[_key(form, by, kind)] = compile_rules(form, spec=lenient(parse), by=by)
    return form


def _checked(filters: Terms, by: By, parse: ParseSpec) -> dict[str, object]:
    messages: dict[str, list[str]] = {}
    for field_name, place, message in problems(filters, spec=parse, by=by)[:MAX_PROBLEMS]:
        # A mirror has its fields on age beside `filters`.
        beside = by == "mirror" and field_name in AGE_FIELDS
        path = field_name if beside else f"filters.{field_name}"
        path = path if place is None else f"{path}.{place}"
        messages.setdefault(path, []).append(f"{message}.")
    if messages:
        raise ValidationError(messages)
    return normalized(filters)


def shortened(terms: Terms) -> dict[str, object]:
    """`terms` for an event: of long lists the first entries, and how many more there are."""
    return {
        key: [*value[:MAX_EVENT_ENTRIES], f"and {len(value) - MAX_EVENT_ENTRIES:,} more"]
        if isinstance(value, list) and len(value) > MAX_EVENT_ENTRIES
        else value
        for key, value in terms.items()
    }


def compiled_rules(terms: Terms, by: By, kind: str = "") -> Rules:
    """Checked terms, ready to be compared with others."""
    rules = cached_rules(terms, by, kind)
    if rules is None:
        # A channel's list may hold specs in the words of other types; here they match nothing.
        rules = compile_rules(terms, spec=lenient(spec_of(kind)), by=by)
        if (cached := _cache.get()) is not None:
            cached.rules[_key(terms, by, kind)] = rules
    return rules


def save_filter(row: Filter, terms: dict[str, object], *, by: By, kind: str = "") -> bool:
    """Save `terms`; True if they mean something else than before."""
    digest = compiled_rules(terms, by, kind).digest
    changed = digest != row.digest
    row.terms, row.digest = terms, digest
    row.save()
    return changed
