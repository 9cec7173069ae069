"""Conda package specs (MatchSpec, CEP 29): read once, then asked about many records.

Rule: text fields are compared without regard to case, `*` is any run of
characters, `^...$` is a regular expression, and no pattern of a user can take
more than linear time.
"""

from __future__ import annotations

import re

from ecosystems.conda import regex
from ecosystems.conda.field_tests import (
    LIST_FIELDS,
    NUMBER_FIELDS,
    FieldTest,
    field_test,
    matcher,
)
from ecosystems.conda.grammar import Part, fail, split
from ecosystems.conda.version import LONGEST
from ecosystems.conda.version_range import PLAIN, VersionRange, is_plain
from ecosystems.errors import SpecError
from ecosystems.records import Record

_LONGEST = 1000
# A name, a plain condition on its version, a build, and brackets: what nearly all specs are.
# Whatever else there is, the grammar reads.
_TEXT = r"[A-Za-z0-9_.*+-]++"
_PLAIN_SPEC = re.compile(
    rf"([A-Za-z0-9_.*-]++)(?:( *+)({PLAIN})(?:(=| ++)({_TEXT}))?+)?+(?:\[([^\[\]\\^$]++)\])?+"
)
_PLAIN_PAIR = re.compile(rf"""([a-z_][a-z0-9_]*+)=(?:'([^']++)'|"([^"]++)"|({_TEXT}))(?:, *+|$)""")
_PLAIN_NUMBER = re.compile(r"(?:==|!=|<=|>=|=|<|>|)[0-9]{1,18}")
_NOT_PLAIN = frozenset({*LIST_FIELDS, "channel", "name"})


class MatchSpec:
    """A parsed spec.

    `exact_name` is the name in lower case where it is no pattern. `canonical` is
    equal for specs that say the same in other words. `version_only` is True
    where nothing but name and version decides. Conditions that are `plain` are
    good for sure, so they are compiled when they are asked first: most of a long
    list never is.
    """

    __slots__ = (
        "_fits_name",
        "_plain",
        "_tests",
        "_version",
        "canonical",
        "exact_name",
        "name_only",
        "text",
        "version_only",
    )

    def __init__(
        self,
        text: str,
        *,
        name: str,
        version: VersionRange | None,
        conditions: dict[str, str],
        tests: tuple[FieldTest, ...] | None,
    ) -> None:
        """`conditions`: those on other fields; `tests` of them, None = all of them are plain."""
        self.text = text
        pattern = "*" in name or regex.is_regex(name)
        self.exact_name = None if pattern else name.lower()
        self._fits_name = regex.matcher(name) if pattern else None
        self._version = version
        self._plain = conditions if tests is None and conditions else None
        self._tests = tests or ()
        self.name_only = version is None and not conditions
        self.version_only = not conditions
        self.canonical = _canonical(name, version, conditions)

    def __repr__(self) -> str:
        return f"MatchSpec({self.text!r})"

    def matches_name(self, name: str) -> bool:
        """Whether a package of this name can match at all."""
        if self._fits_name is not None:
            return self._fits_name(name)
        return name == self.exact_name or name.lower() == self.exact_name

    def matches(self, record: Record) -> bool:
        """Whether the record satisfies every expression of the spec."""
        if not self.matches_name(record.name):
            return False
        if self._version is not None and not self._version.matches(record.version):
            return False
        if (plain := self._plain) is not None:
            # The place of a part is for errors only, and here none can be wrong.
            parts = {key: Part(value, 0) for key, value in plain.items()}
            self._tests, self._plain = _compiled(parts, text=self.text), None
        return all(test(record) for test in self._tests)


def parse(text: str) -> MatchSpec:
    """The spec that `text` says; SpecError, with the place, where it says none."""
    if len(text) > _LONGEST:
        raise SpecError(f"a spec has at most {_LONGEST} characters, and this has {len(text)}")
    # Long lists are read at each save, and nearly all of their specs take the short way.
    return _plain(text) or _read(text)


def _plain(text: str) -> MatchSpec | None:
    """The spec, where it is of a form in which nothing can be wrong; else None."""
    if (match := _PLAIN_SPEC.fullmatch(text)) is None:
        return None
    name, gap, version, between, build, pairs = match.groups()
    conditions = _positional(gap, version, between, build)
    if conditions is None or (pairs and not _add_pairs(pairs, conditions)):
        return None
    condition = conditions.pop("version", None)
    if conditions:
        conditions = {
            key: value for key, value in conditions.items() if not _says_nothing(key, value)
        }
    version_range = VersionRange(condition, plain=True) if condition else None
    return MatchSpec(text, name=name, version=version_range, conditions=conditions, tests=None)


def _positional(gap: str, version: str, between: str, build: str) -> dict[str, str] | None:
    """Version and build behind the name; None where the grammar has to look at them."""
    if version and len(version) > LONGEST:
        return None
    if not build:
        return {"version": version} if version else {}
    before_build = _before_build(version, gap, between)
    return None if before_build is None else {"build": build, "version": before_build}


def _before_build(version: str, gap: str, between: str) -> str | None:
    """The version that stands before a build; None where the grammar has to look at it."""
    if not version[0] == "=" != version[1:2]:
        return version
    if between != "=" and not gap:
        return None
    # name=1.8=b: the first "=" separates; name =1.8 b: it means "begins with".
    return version[1:] if between == "=" else version


def _add_pairs(text: str, conditions: dict[str, str]) -> bool:
    """Add what stands in brackets; False where the grammar has to look at it."""
    at = 0
    while at < len(text):
        if (pair := _PLAIN_PAIR.match(text, at)) is None:
            return False
        key, single, double, bare = pair.groups()
        value = single or double or bare
        if key in conditions or not _is_plain(key, value):
            return False
        conditions[key] = value
        at = pair.end()
    return True


def _is_plain(key: str, value: str) -> bool:
    if key == "version":
        return is_plain(value)
    if key in NUMBER_FIELDS:
        return _PLAIN_NUMBER.fullmatch(value) is not None
    return key not in _NOT_PLAIN


def _read(text: str) -> MatchSpec:
    parts = split(text)
    fields = dict(parts.fields)
    channel = fields.pop("channel", None)
    if channel is not None and channel.text != "*":
        why = f'a mirror has one source, so the channel "{channel.text}" cannot be chosen here'
        fail(why, text=text, at=channel.at)
    return _checked(text.strip(), parts.name, fields)


def _checked(text: str, name: Part, fields: dict[str, Part]) -> MatchSpec:
    """The spec of these expressions; SpecError, with the place, where one is none."""
    if regex.is_regex(name.text):
        matcher(name, text=text)
    conditions = {key: part for key, part in fields.items() if not _says_nothing(key, part.text)}
    version_part = conditions.pop("version", None)
    version = (
        VersionRange(version_part.text, whole=text, at=version_part.at) if version_part else None
    )
    return MatchSpec(
        text,
        name=name.text,
        version=None if version is None or version.always else version,
        conditions={key: part.text for key, part in conditions.items()},
        tests=_compiled(conditions, text=text),
    )


def _compiled(conditions: dict[str, Part], *, text: str) -> tuple[FieldTest, ...]:
    return tuple(field_test(key, part, text=text) for key, part in conditions.items())


def _canonical(name: str, version: VersionRange | None, conditions: dict[str, str]) -> str:
    if not conditions:
        return _folded(name) + ("" if version is None else f"[version={version.text!r}]")
    pairs = [(key, _folded(value.strip())) for key, value in conditions.items()]
    if version is not None:
        pairs.append(("version", version.text))
    return _folded(name) + "".join([f"[{key}={value!r}]" for key, value in sorted(pairs)])


def _says_nothing(key: str, value: str) -> bool:
    """A star says nothing about what every record has."""
    return key in ("version", "build") and value != "" and not value.strip("*")


def _folded(pattern: str) -> str:
    """Equal for patterns that differ in case only; `\\d` and `\\D` mean two things."""
    return pattern if regex.is_regex(pattern) else pattern.lower()
