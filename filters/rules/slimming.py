"""The rules that keep a mirror small: formats, Python versions, platforms, sizes, newest versions.

Rule: formats, Python versions and platforms are Python's. Wheels for any platform pass whatever
platforms are chosen, and source distributions whatever tags are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from packaging import tags

from ecosystems import globs, registry
from ecosystems.kinds import Family
from ecosystems.python.names import VARIANTS, is_sdist, version, wheel_tags
from ecosystems.python.names import WHEEL as WHEEL_ENDING
from ecosystems.records import Invalid, Record
from filters.rules.slimming_form import SDIST, SLIMMING_FIELDS, WHEEL

Check = Callable[[Record], tuple[str, str] | None]
"""Says the field whose rule a record breaks, and how; None for a record that may be kept."""


@dataclass(frozen=True)
class Slimming:
    """The slimming fields of one filter; empty sets, tuples and 0 are no rule."""

    file_formats: frozenset[str]
    python_versions: tuple[str, ...]
    platform_tags: tuple[str, ...]
    newest_versions: int
    largest_size: int

    def __bool__(self) -> bool:
        return any(getattr(self, field) for field in SLIMMING_FIELDS)


def compile_slimming(form: Mapping[str, Any]) -> Slimming:
    """Of a normalized filter."""
    return Slimming(
        file_formats=frozenset(form["file_formats"]),
        python_versions=tuple(form["python_versions"]),
        platform_tags=tuple(form["platform_tags"]),
        newest_versions=form["newest_versions"] or 0,
        largest_size=form["largest_size"] or 0,
    )


def slimming_checks(rules: Slimming, kind: str) -> Iterator[Check]:
    """What is asked of each record by itself."""
    if rules.largest_size:
        yield _size_check(rules.largest_size)
    if kind == Family.PYTHON:
        if rules.file_formats:
            yield _format_check(rules.file_formats)
        if rules.python_versions:
            yield _python_check(rules.python_versions)
        if rules.platform_tags:
            yield _platform_check(rules.platform_tags)


def outdated_versions(
    records: Sequence[Record | Invalid], passing: Sequence[bool], *, newest: int, kind: str
) -> set[str]:
    """The versions that are older than the `newest` ones, of the records that are `passing`.

    Pre-releases do not count, so that they push no release out; those that are newer than the
    oldest release that stays are kept.
    """
    versions = {
        record.version
        for record, stays in zip(records, passing, strict=True)
        if stays and isinstance(record, Record)
    }
    key = registry.of_family(kind).version_key
    releases = {text for text in versions if not (kind == Family.PYTHON and _is_pre(text))}
    # A project that has pre-releases only would otherwise be left with nothing.
    counted = sorted(releases or versions, key=key, reverse=True)[:newest]
    return {text for text in versions if counted and key(text) < key(counted[-1])}


def _is_pre(text: str) -> bool:
    return version(text).is_prerelease


def _size_check(largest: int) -> Check:
    def check(record: Record) -> tuple[str, str] | None:
        # An unknown size is -1 and passes: a rule acts on what is known.
        if record.size <= largest:
            return None
        return "largest_size", f"has {record.size:,} bytes, and {largest:,} are the most"

    return check


def _format_check(formats: frozenset[str]) -> Check:
    chosen = " and ".join(sorted(formats))

    def check(record: Record) -> tuple[str, str] | None:
        filename = record.filename
        form = SDIST if is_sdist(filename) else WHEEL if _is_of_wheel(filename) else ""
        if form in formats:
            return None
        return "file_formats", f"is no file of the chosen formats ({chosen})"

    return check


def _is_of_wheel(filename: str) -> bool:
    # What describes the variants of wheels goes with them (PEP 825).
    return filename.endswith((WHEEL_ENDING, VARIANTS))


def _python_check(versions: tuple[str, ...]) -> Check:
    usable = frozenset().union(*map(_usable, versions))

    def check(record: Record) -> tuple[str, str] | None:
        parts = wheel_tags(record.filename)
        if parts is None:
            return None
        # A compressed tag set stands for every combination of its parts (PEP 425).
        for interpreter in parts[0].lower().split("."):
            for abi in parts[1].lower().split("."):
                if (interpreter, abi) in usable:
                    return None
        label = f"{parts[0]}-{parts[1]}"
        return "python_versions", f"is a wheel for {label}, not for Python {', '.join(versions)}"

    return check


@lru_cache(maxsize=128)
def _usable(python: str) -> frozenset[tuple[str, str]]:
    """The interpreter and ABI tags of wheels that this CPython installs, whatever the platform."""
    number = (3, int(python.partition(".")[2]))
    own = f"cp3{number[1]}"
    # "t" is the free-threaded build (PEP 703), "m" the suffix of CPython up to 3.7 (PEP 3149).
    abis = [own, f"{own}t", f"{own}m"]
    # The platform does not matter here: with one, every tag comes once.
    all_tags = (
        *tags.cpython_tags(number, abis=abis, platforms=["any"]),
        *tags.compatible_tags(number, interpreter=own, platforms=["any"]),
    )
    return frozenset((tag.interpreter, tag.abi) for tag in all_tags)


def _platform_check(patterns: tuple[str, ...]) -> Check:
    matchers = [globs.matcher(pattern) for pattern in patterns]

    def check(record: Record) -> tuple[str, str] | None:
        parts = wheel_tags(record.filename)
        platforms = parts[2].lower().split(".") if parts else ["any"]
        if "any" in platforms or any(fits(text) for text in platforms for fits in matchers):
            return None
        return "platform_tags", f"is a wheel for {'.'.join(platforms)}, which is not chosen"

    return check
