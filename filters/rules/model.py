"""One filter, compiled: the form's texts as parsed specs, families and times.

Rule: a key that is missing or empty is no rule. Only `keep_legacy` differs: where
it is not set, a file in the old format gives way to its twin in the new one.

An ecosystem's spec may say more than `Spec` asks for, to be judged faster:
`exact_name` (the one name it can match, in lower case), `version_only` (nothing
but name and version decides) and `canonical` (equal for specs that mean the same).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from ecosystems.errors import SpecError
from ecosystems.records import Record, Spec
from filters.rules.age_form import EXCEPTIONS
from filters.rules.form import ParseSpec, Terms, exact_name, kind_of, normalized
from filters.rules.problems import day
from filters.rules.slimming import Slimming, compile_slimming
from filters.rules.slimming_form import SLIMMING_FIELDS, UNHASHED

DAY = 86_400_000
_EPOCH = dt.date(1970, 1, 1)


class Rule(StrEnum):
    """What can leave a file out, as the API names it."""

    MALWARE = "malware"
    CVE = "cve"
    DATE = "date"
    SIGNED = "signed"
    """Read by the vendor's clients; this server looks at no signatures, so its count is 0."""
    LICENSE = "license"
    ONLY_SPECS = "only_specs"
    EXCLUDE_SPECS = "exclude_specs"
    SUBDIRS = "subdirs"
    AGE = "minimum_age"
    LEGACY = "duplicated_legacy_conda"
    """The same package is listed in conda's newer format."""
    INVALID = "invalid"
    """The record cannot be read, or not be verified."""
    UNHASHED = "unhashed"
    """The upstream states no hash of the file, and the mirror does not trust such files."""
    FILE_FORMAT = "file_formats"
    PYTHON_VERSION = "python_versions"
    PLATFORM_TAG = "platform_tags"
    NEWEST = "newest_versions"
    SIZE = "largest_size"
    TYPE = "type"
    DUPLICATE = "duplicate"
    """An older mirror of the channel provides a file of this name."""
    REPLACED = "replaced"
    """The upstream has new bytes under a name that is listed here, and they wait for a release."""


SLIMMING_RULES = tuple(map(Rule, SLIMMING_FIELDS))
_MIRRORS_OWN = (
    Rule.SIGNED,
    Rule.LEGACY,
    Rule.INVALID,
    Rule.UNHASHED,
    Rule.REPLACED,
    *SLIMMING_RULES,
)
_CHANNELS_OWN = (Rule.TYPE, Rule.DUPLICATE)
MIRROR_RULES = tuple(rule for rule in Rule if rule not in _CHANNELS_OWN)
"""What a mirror's filter and its source leave out."""
CHANNEL_RULES = tuple(rule for rule in Rule if rule not in _MIRRORS_OWN)


class Reason(NamedTuple):
    """Why a file is left out.

    `by` is `mirror` or `channel`; `detail` names the value that was looked at and the entry
    that decided.
    """

    by: str
    rule: Rule
    detail: str


class Chosen:
    """The specs of a list that can match one package name."""

    __slots__ = ("_by_version", "_others", "_versions", "specs", "whole")

    def __init__(self, specs: Sequence[Spec]) -> None:
        self.specs = specs
        self.whole = next((spec for spec in specs if spec.name_only), None)
        # A spec may say that it looks at name and version only; then one look per
        # version serves all the builds of it.
        self._versions = [spec for spec in specs if getattr(spec, "version_only", False)]
        self._others = [spec for spec in specs if not getattr(spec, "version_only", False)]
        self._by_version: dict[str, Spec | None] = {}

    def find(self, record: Record) -> Spec | None:
        """The first spec that matches the record."""
        if self.whole is not None:
            return self.whole
        if self._versions:
            if record.version not in self._by_version:
                self._by_version[record.version] = _first(self._versions, record)
            spec = self._by_version[record.version]
            if spec is not None:
                return spec
        return _first(self._others, record) if self._others else None


def _first(specs: Sequence[Spec], record: Record) -> Spec | None:
    return next((spec for spec in specs if spec.matches(record)), None)


class SpecIndex:
    """A list of specs, found by package name: exact names by hash, patterns one by one."""

    def __init__(self, specs: Sequence[Spec]) -> None:
        self.specs = tuple(specs)
        self._exact: dict[str, list[Spec]] = {}
        self._patterns: list[Spec] = []
        for spec in specs:
            name = exact_name(spec)
            if name is None:
                self._patterns.append(spec)
            else:
                self._exact.setdefault(name.lower(), []).append(spec)

    def __bool__(self) -> bool:
        return bool(self.specs)

    @property
    def cost(self) -> int:
        """How many specs `at` compares with each name, but for those of exactly this name."""
        return len(self._patterns) + 1

    def at(self, name: str) -> Chosen | None:
        """The specs that can match packages of this name; None where there are none."""
        named = (*self._exact.get(name.lower(), ()), *self._patterns)
        matching = [spec for spec in named if spec.matches_name(name)]
        return Chosen(matching) if matching else None


class AgeException(NamedTuple):
    """What a spec names is let through however young it is; until `ends_at` (ms), None for ever."""

    spec: Spec
    ends_at: int | None


@dataclass(frozen=True, eq=False)
class Rules:
    """One filter, compiled. Empty sets and indexes are no rule."""

    by: str
    digest: str
    """Equal for filters that judge alike."""
    types: frozenset[str]
    subdirs: frozenset[str]
    only: SpecIndex
    exclude: SpecIndex
    include: SpecIndex
    exclude_licenses: frozenset[str]
    include_licenses: frozenset[str]
    exclude_malware: bool
    cve_score: float | None
    exclude_unscored: bool
    """Also files with an advisory that nobody gives a score."""
    reviewed_only: bool
    excluded_statuses: frozenset[str]
    date_from: dt.date | None
    date_to: dt.date | None
    minimum_age_days: int
    """0 = files of any age."""
    age_exceptions: tuple[AgeException, ...]
    keep_legacy: bool
    allow_unhashed: bool
    """Files of which the index has no hash are trusted when they first come."""
    slimming: Slimming

    @property
    def earliest(self) -> int | None:
        """The first millisecond that the date range takes in."""
        return None if self.date_from is None else _milliseconds(self.date_from)

    @property
    def after(self) -> int | None:
        """The first millisecond after the date range."""
        return _end(self.date_to)


def _milliseconds(date: dt.date) -> int:
    return (date - _EPOCH).days * DAY


def _end(last: dt.date | None) -> int | None:
    """The first millisecond after a day."""
    return None if last is None else _milliseconds(last) + DAY


def compile_rules(filters: Terms, *, spec: ParseSpec, by: str) -> Rules:
    """`filters` of the API as Rules; SpecError where an entry is bad."""
    form = normalized(filters)
    parsed = {
        field: [spec(text) for text in form[field]]
        for field in ("only_specs", "projects", "exclude_specs", "include_specs")
    }
    score = form["cve_score_threshold"]
    types = () if by == "mirror" else form["types"]
    return Rules(
        by=by,
        digest=_digest(form, parsed, by),
        # A mirror has one type for good; its form has no such list.
        types=frozenset(kind for name in types if (kind := kind_of(name))),
        subdirs=frozenset(form["subdirs"]),
        # Two fields of the API with one meaning: a file is in one list or the other.
        only=SpecIndex(parsed["only_specs"] + parsed["projects"]),
        exclude=SpecIndex(parsed["exclude_specs"]),
        include=SpecIndex(parsed["include_specs"]),
        exclude_licenses=frozenset(form["exclude_licenses"]),
        include_licenses=frozenset(form["include_licenses"]),
        exclude_malware=form["exclude_malware"],
        # Ten is the highest score there is: nothing is above it.
        cve_score=None if score is None or score >= 10 else score,
        exclude_unscored=form["cve_unknown"] == "exclude",
        reviewed_only=form["exclude_non_curated_cve"],
        excluded_statuses=frozenset(form["cve_statuses_excluded"]),
        date_from=day(form["date_from"]),
        date_to=day(form["date_to"]),
        minimum_age_days=form["minimum_age_days"],
        age_exceptions=tuple(
            AgeException(spec(entry["spec"]), _end(day(entry["expires_at"])))
            for entry in form[EXCEPTIONS]
        ),
        keep_legacy=form["keep_legacy"],
        allow_unhashed=form[UNHASHED],
        slimming=compile_slimming(form),
    )


def lenient(spec: ParseSpec) -> ParseSpec:
    """`spec`, taking what it cannot parse for one that matches nothing.

    A channel's list holds for all types of packages: a spec may be good in another one's words.
    """

    def parse(text: str) -> Spec:
        try:
            return spec(text)
        except SpecError:
            return _Foreign(text)

    return parse


@dataclass(slots=True)
class _Foreign:
    """A spec in another ecosystem's words."""

    text: str
    exact_name: str = ""
    name_only: bool = False

    def matches_name(self, _name: str, /) -> bool:
        return False

    def matches(self, _record: Record, /) -> bool:
        return False


def _digest(form: dict[str, Any], parsed: dict[str, list[Spec]], by: str) -> str:
    """A hash of what the filter means: order, repetition and spelling do not count."""
    exceptions = sorted([entry["spec"], entry["expires_at"] or ""] for entry in form[EXCEPTIONS])
    meaning = {
        key: sorted(set(value)) if isinstance(value, list) else value
        for key, value in form.items()
        if key != EXCEPTIONS
    }
    # Without an age there is nothing to except from.
    meaning[EXCEPTIONS] = exceptions if form["minimum_age_days"] else []
    # By their canonical form: spelling a spec differently is no reason to judge everything anew.
    for field, specs in parsed.items():
        meaning[field] = sorted({getattr(spec, "canonical", spec.text) for spec in specs})
    meaning["only_specs"] = sorted({*meaning["only_specs"], *meaning.pop("projects")})
    if not form["exclude_specs"] and not form["exclude_licenses"]:
        # There is nothing to rescue from.
        meaning["include_specs"] = meaning["include_licenses"] = []
    if form["cve_score_threshold"] is not None and form["cve_score_threshold"] >= 10:
        meaning["cve_score_threshold"] = None
    meaning.pop("types" if by == "mirror" else "keep_legacy")
    # A database may compare digests only if equal meanings give equal bytes.
    text = json.dumps(meaning, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
