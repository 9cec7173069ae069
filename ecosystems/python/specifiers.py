"""Package specs as Python writes them: a name, which may have `*`, and PEP 440 specifiers.

    numpy    numpy<2    numpy >=1.26,!=2.0.*    django-*    p*

Rule: names are compared in their one spelling; pre-releases are versions like all others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from ecosystems.base import Record, SpecError
from ecosystems.globs import matcher
from ecosystems.python.names import is_name, normalize, version

_PARTS = re.compile(r"\s*(?P<name>[A-Za-z0-9*][A-Za-z0-9._*-]*)\s*(?P<rest>.*)", re.DOTALL)


@dataclass(slots=True)
class PythonSpec:
    """A parsed spec."""

    text: str
    name: str
    """In the one spelling, `*` included."""
    versions: SpecifierSet | None
    exact_name: str | None = field(init=False)
    canonical: str = field(init=False)
    name_only: bool = field(init=False)
    version_only: bool = True

    def __post_init__(self) -> None:
        self.exact_name = None if "*" in self.name else self.name
        parts = sorted(str(one) for one in self.versions) if self.versions is not None else []
        self.name_only = self.versions is None
        self.canonical = self.name + ",".join(parts)

    def matches_name(self, name: str) -> bool:
        """Whether packages of this name (in its one spelling) may match."""
        return matcher(self.name)(name)

    def matches(self, record: Record) -> bool:
        """Whether the record is one that the spec asks for."""
        if not self.matches_name(record.name):
            return False
        if self.versions is None:
            return True
        return self.versions.contains(version(record.version), prereleases=True)


def parse(text: str) -> PythonSpec:
    """Read a spec; SpecError with the reason where it cannot be read."""
    found = _PARTS.fullmatch(text)
    if found is None:
        raise SpecError(f'"{text}" does not begin with the name of a project')
    name, rest = normalize(found["name"]), found["rest"].strip()
    if not is_name(name.replace("*", "x")):
        raise SpecError(f'"{found["name"]}" is no name of a Python project')
    if rest.startswith("["):
        raise SpecError(f'"{text}" names extras, which are no packages of their own')
    if ";" in rest:
        raise SpecError(f'"{text}" has a marker (;), and packages are chosen for all environments')
    if rest.startswith("@"):
        raise SpecError(f'"{text}" is an address; write a name and versions, like numpy<2')
    if not rest:
        return PythonSpec(text, name, None)
    try:
        versions = SpecifierSet(rest.removeprefix("(").removesuffix(")"))
    except InvalidSpecifier as error:
        raise SpecError(
            f'"{text}": {error}; versions are written like numpy<2 or numpy==1.*'
        ) from error
    if not len(versions):
        raise SpecError(f'"{text}" has no version where one should be')
    return PythonSpec(text, name, versions)
