"""Package specs as Python writes them: a name, which may have `*`, and PEP 440 specifiers.

    numpy    numpy<2    numpy >=1.26,!=2.0.*    django-*    p*

Rule: names are compared in their one spelling; pre-releases are versions like all others.
"""

from __future__ import annotations

import re

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from ecosystems.errors import SpecError
from ecosystems.globs import matcher
from ecosystems.python.names import is_name, normalize, version
from ecosystems.records import Record

_PARTS = re.compile(r"\s*(?P<name>[A-Za-z0-9*][A-Za-z0-9._*-]*)\s*(?P<rest>.*)", re.DOTALL)


_CLAUSE = r"(?:==|!=|<=|>=|<|>)[0-9]+(?:\.[0-9]+)*"
_LONGEST_PLAIN = 200
_PLAIN = re.compile(f"{_CLAUSE}(?:,{_CLAUSE})*")


class PythonSpec:
    """A parsed spec; `versions` are specifiers that can be read, "" for every version.

    What is plainly a specifier is read when it is asked first: most of a long list never is.
    """

    __slots__ = (
        "_fits_name",
        "_specifiers",
        "_versions",
        "canonical",
        "exact_name",
        "name_only",
        "text",
    )

    version_only = True

    def __init__(self, text: str, name: str, versions: str = "") -> None:
        self.text = text
        self.exact_name = None if "*" in name else name
        self._fits_name = matcher(name) if self.exact_name is None else None
        self._versions, self.name_only = versions, not versions
        self._specifiers: SpecifierSet | None = None
        if not versions:
            parts: list[str] = []
        elif len(versions) <= _LONGEST_PLAIN and _PLAIN.fullmatch(versions):
            # Equal for lists that say the same in another order.
            parts = sorted(set(versions.split(",")))
        else:
            self._specifiers = SpecifierSet(versions)
            parts = sorted(str(specifier) for specifier in self._specifiers)
        if versions and not parts:
            raise SpecError(f'"{text}" has no version where one should be')
        self.canonical = name + ",".join(parts)

    def __repr__(self) -> str:
        return f"PythonSpec({self.text!r})"

    def matches_name(self, name: str) -> bool:
        """Whether packages of this name (in its one spelling) may match."""
        if self._fits_name is not None:
            return self._fits_name(name)
        return name.lower() == self.exact_name

    def matches(self, record: Record) -> bool:
        """Whether the record is one that the spec asks for."""
        if not self.matches_name(record.name):
            return False
        if self.name_only:
            return True
        if self._specifiers is None:
            self._specifiers = SpecifierSet(self._versions)
        # A filter says which versions may be used, not which pip would choose by itself.
        return self._specifiers.contains(version(record.version), prereleases=True)


def parse(text: str) -> PythonSpec:
    """Read a spec; SpecError with the reason where it cannot be read."""
    match = _PARTS.fullmatch(text)
    if match is None:
        raise SpecError(f'"{text}" does not begin with the name of a project')
    name, condition = normalize(match["name"]), match["rest"].strip()
    if not is_name(name.replace("*", "x")):
        raise SpecError(f'"{match["name"]}" is no name of a Python project')
    if condition.startswith("["):
        raise SpecError(f'"{text}" names extras, which are no packages of their own')
    if ";" in condition:
        raise SpecError(f'"{text}" has a marker (;), and packages are chosen for all environments')
    if condition.startswith("@"):
        raise SpecError(f'"{text}" is an address; write a name and versions, like numpy<2')
    if not condition:
        return PythonSpec(text, name)
    versions = condition.removeprefix("(").removesuffix(")").strip()
    if not versions:
        raise SpecError(f'"{text}" has no version where one should be')
    try:
        return PythonSpec(text, name, versions)
    except InvalidSpecifier as error:
        raise SpecError(
            f'"{text}": {error}; versions are written like numpy<2 or numpy==1.*'
        ) from error
