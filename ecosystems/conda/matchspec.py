"""Conda package specs (MatchSpec, CEP 29): read once, then asked about many records.

Rule: text fields are compared without regard to case, `*` is any run of
characters, `^...$` is a regular expression, and no pattern of a user can take
more than linear time.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable

from ecosystems.base import Record, SpecError
from ecosystems.conda import regex
from ecosystems.conda.grammar import Part, fail, split
from ecosystems.conda.version import SIMPLE, VersionRange

_Test = Callable[[Record], bool]

_LONGEST = 1000
# A name, or a name and a plain condition on its version: what nearly all specs are. Whatever
# else there is, the grammar reads.
_SIMPLE = re.compile(rf"([A-Za-z0-9_.*-]++)(?:[ ]*+({SIMPLE}(?:,{SIMPLE})*+))?")
_LISTS = ("constrains", "depends", "extras", "flags")
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
_TEXT_FIELDS: dict[str, Callable[[Record], str]] = {
    "build": operator.attrgetter("build"),
    "fn": operator.attrgetter("filename"),
    "license": operator.attrgetter("license"),
    "license_family": operator.attrgetter("license_family"),
    "md5": operator.attrgetter("md5"),
    "sha256": operator.attrgetter("sha256"),
}
_NUMBER_FIELDS: dict[str, Callable[[Record], int | None]] = {
    "build_number": operator.attrgetter("build_number"),
    "size": lambda record: record.size if record.size >= 0 else None,
    "timestamp": operator.attrgetter("timestamp"),
}


class MatchSpec:
    """A parsed spec.

    `exact_name` is the name in lower case where it is no pattern. `canonical` is
    equal for specs that say the same in other words. `version_only` is True
    where nothing but name and version decides.
    """

    __slots__ = (
        "_fits_name",
        "_tests",
        "_version",
        "canonical",
        "exact_name",
        "name_only",
        "text",
        "version_only",
    )

    def __init__(self, text: str, *, name: Part, fields: dict[str, Part]) -> None:
        self.text = text
        pattern = "*" in name.text or regex.is_regex(name.text)
        self.exact_name = None if pattern else name.text.lower()
        self._fits_name = _matcher(name, text=text) if pattern else None
        # "*" says nothing about a field that every record has.
        said = {k: p for k, p in fields.items() if not (_is_star(p) and k in ("version", "build"))}
        wanted = said.pop("version", None)
        self._version = wanted and VersionRange(wanted.text, whole=text, at=wanted.at)
        if self._version is not None and self._version.always:
            self._version = None
        self._tests: tuple[_Test, ...] = tuple(
            _test(key, part, text=text) for key, part in said.items()
        )
        self.name_only = self._version is None and not self._tests
        self.version_only = not self._tests
        self.canonical = self._canonical(name.text, said)

    def _canonical(self, name: str, said: dict[str, Part]) -> str:
        if not said:
            version = "" if self._version is None else f"[version={self._version.text!r}]"
            return _folded(name) + version
        pairs = [(key, _folded(part.text.strip())) for key, part in said.items()]
        if self._version is not None:
            pairs.append(("version", self._version.text))
        return _folded(name) + "".join(f"[{key}={value!r}]" for key, value in sorted(pairs))

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
        return all(test(record) for test in self._tests)


def parse(text: str) -> MatchSpec:
    """The spec that `text` says; SpecError, with the place, where it says none."""
    if len(text) > _LONGEST:
        raise SpecError(f"a spec has at most {_LONGEST} characters, and this has {len(text)}")
    if simple := _SIMPLE.fullmatch(text):
        name, version = simple.groups()
        said = {"version": Part(version, simple.start(2))} if version else {}
        return MatchSpec(text, name=Part(name, 0), fields=said)
    parts = split(text)
    fields = dict(parts.fields)
    channel = fields.pop("channel", None)
    if channel is not None and channel.text != "*":
        why = f'a mirror has one source, so the channel "{channel.text}" cannot be chosen here'
        fail(why, text=text, at=channel.at)
    return MatchSpec(text.strip(), name=parts.name, fields=fields)


def _is_star(part: Part) -> bool:
    return part.text != "" and not part.text.strip("*")


def _folded(pattern: str) -> str:
    """Equal for patterns that differ in case only; `\\d` and `\\D` mean two things."""
    return pattern if regex.is_regex(pattern) else pattern.lower()


def _matcher(part: Part, *, text: str) -> Callable[[str], bool]:
    try:
        return regex.matcher(part.text)
    except SpecError as error:
        fail(str(error), text=text, at=part.at)


def _test(key: str, part: Part, *, text: str) -> _Test:
    if key in _LISTS:
        fail(f'"{key}" is a list, and lists cannot be matched', text=text, at=part.at)
    if key in _TEXT_FIELDS:
        return _text_test(_TEXT_FIELDS[key], _matcher(part, text=text))
    if key in _NUMBER_FIELDS:
        return _number_test(_NUMBER_FIELDS[key], key, part, text=text)
    return _value_test(key, part, _matcher(part, text=text))


def _text_test(read: Callable[[Record], str], fits: Callable[[str], bool]) -> _Test:
    return lambda record: fits(read(record))


def _number_test(read: Callable[[Record], int | None], key: str, part: Part, *, text: str) -> _Test:
    holds = _numbers(part.text) or _digits(part, text=text)
    if holds is None:
        fail(
            f'"{key}" is a number, and "{part.text}" is no condition on one', text=text, at=part.at
        )

    def test(record: Record) -> bool:
        value = read(record)
        return value is not None and holds(value)

    return test


def _value_test(key: str, part: Part, fits: Callable[[str], bool]) -> _Test:
    holds = _numbers(part.text)

    def test(record: Record) -> bool:
        value = record.value(key)
        if isinstance(value, int):
            return holds(value) if holds is not None else fits(str(value))
        return value is not None and fits(value)

    return test


def _digits(part: Part, *, text: str) -> Callable[[int], bool] | None:
    if not re.fullmatch(r"[0-9*]+", part.text) and not regex.is_regex(part.text):
        return None
    fits = _matcher(part, text=text)
    return lambda value: fits(str(value))


def _numbers(text: str) -> Callable[[int], bool] | None:
    """Conditions on a whole number, such as `>=1,<5`; None where `text` is something else."""
    found = [_NUMBER.fullmatch(clause) for clause in text.split(",")]
    clauses = [(_COMPARE[m.group(1)], int(m.group(2))) for m in found if m is not None]
    if len(clauses) < len(found):
        return None
    return lambda value: all(compare(value, bound) for compare, bound in clauses)
