"""Which families a package's license belongs to.

A license is read as alternatives (`A OR B`), each a set of families that hold
together (`A AND B`). Rule: the SPDX text decides where there is one, then the
stated family, then whatever the free text of the license gives away.
"""

from __future__ import annotations

import re
from functools import lru_cache, reduce
from typing import Any

import boolean
from license_expression import (
    ExpressionError,
    LicenseWithExceptionSymbol,
    Licensing,
    get_spdx_licensing,
)

from ecosystems import memo
from ecosystems.errors import SpecError

Arm = frozenset[str]

FAMILIES = (
    "AGPL",
    "GPL",
    "GPL2",
    "GPL3",
    "LGPL",
    "BSD",
    "MIT",
    "Apache",
    "PSF",
    "MOZILLA",
    "CC",
    "Public-Domain",
    "Proprietary",
    "Other",
    "None",
)

_BY_NAME = {re.sub(r"[-_\s]", "", family).lower(): family for family in FAMILIES}
_COVERS = {"GPL": frozenset({"GPL", "GPL2", "GPL3"})}
_VAGUE = frozenset({"Other", "None"})
# Longer texts are somebody's whole license, not its name.
_LONGEST = 300
_MOST_ARMS = 256

# The first that fits decides. "or later" is the version it starts from: the
# recipient may take that one, and so may whoever excludes it.
_SPDX = [
    (re.compile(pattern, re.IGNORECASE), family)
    for pattern, family in (
        (r"AGPL-.*", "AGPL"),
        (r"LGPL-.*|LGPLLR", "LGPL"),
        (r"GPL-2(?!\d).*", "GPL2"),
        (r"GPL-3(?!\d).*", "GPL3"),
        (r"GPL-.*", "GPL"),
        (r"0BSD|BSD-.*", "BSD"),
        (r"MIT|MIT-.*|X11|X11-.*|MITNFA", "MIT"),
        (r"Apache-.*", "Apache"),
        (r"Python-2\.0.*|PSF-.*|CNRI-Python.*", "PSF"),
        (r"MPL-.*", "MOZILLA"),
        (r"Unlicense|CC0-.*|CC-PDDC|PDDL-.*|SAX-PD.*|NIST-PD.*|blessing", "Public-Domain"),
        (r"CC-.*", "CC"),
    )
]
_FREE = [
    (re.compile(pattern, re.IGNORECASE), family)
    for pattern, family in (
        (r"agpl|affero", "AGPL"),
        (r"lgpl|(?:lesser|library) (?:gnu )?(?:general )?public|gnu lesser", "LGPL"),
        (r"(?:gpl|general public licen[cs]e)\D{0,12}2", "GPL2"),
        (r"(?:gpl|general public licen[cs]e)\D{0,12}3", "GPL3"),
        (r"gpl\b|gnu general public|gnu public", "GPL"),
        (r"mpl\b|mpl\W?\d|mozilla", "MOZILLA"),
        (r"psf|python software foundation|cnri|\bpython(?: licen[cs]e)?\W?(?:2|$)", "PSF"),
        (r"\bapache|\basl\b", "Apache"),
        (r"\d?bsd", "BSD"),
        (r"\bmit\b|\bexpat\b|\bx11\b", "MIT"),
        (r"public.?domain|unlicen[sc]e|\bcc.?0|\bpd\b", "Public-Domain"),
        (r"\bcc\b|creative.commons", "CC"),
        (
            r"proprietary|commercial|\beula\b|end.?user.?licen[cs]e|closed.?source"
            r"|all.rights.reserved|non.?free",
            "Proprietary",
        ),
    )
]
_NOTHING = re.compile(r"none|no ?assertion|unknown|unspecified|n/?a|null|-*", re.I)
_LATER = re.compile(
    r",?\s*\bor\s+(?:\(at your option\)\s+)?(?:any\s+)?(?:later|newer|above)\b", re.I
)
_NOISE = re.compile(r"\+\s*file\s+licen[cs]e\b|,?\s*\bversion\b|,?\s*\bv(?=\d)", re.I)
# R's grammar: `GPL (>= 2)`, `LGPL (>= 2.1, < 4)`.
_RANGE = re.compile(r"\(\s*((?:[<>=!]=?\s*\d[\d.-]*\s*,?\s*)+)\)")
_LEAST = re.compile(r"(?:>=|==)\s*(\d[\d.-]*)")
_OR = re.compile(r"\s+or\s+|\s*\|+\s*|\s*/\s*", re.IGNORECASE)
_AND = re.compile(r"\s+and\s+|\s*[,;&]\s*|\s+\+\s+", re.IGNORECASE)


def canonical(name: str) -> str:
    """The family that `name` means; SpecError, listing the families, where it means none."""
    family = _BY_NAME.get(re.sub(r"[-_\s]", "", name).lower())
    if family is None:
        raise SpecError(f'"{name}" is no license family; the families are {", ".join(FAMILIES)}')
    return family


@memo.short(16384)
def families(license: str, license_family: str) -> frozenset[Arm]:
    """The alternatives that a license offers, each as the families that hold together."""
    from_spdx = _of_spdx(license)
    if from_spdx is not None:
        return from_spdx
    stated = _of_family(license_family)
    if stated is not None and not stated <= {frozenset({family}) for family in _VAGUE}:
        return stated
    from_text = _of_text(license)
    # A family "Other" says less than a license text in which a family can be seen.
    if stated is not None and any(arm & _VAGUE for arm in from_text):
        return stated
    return from_text


@memo.short(16384)
def excluded(license: str, license_family: str, families_: frozenset[str]) -> str | None:
    """The family for which the license is excluded, or None.

    `A OR B` is excluded only if both are: the recipient chooses. `A AND B` is
    excluded if one of them is.
    """
    covered = _covered(families_)
    hits = [sorted(arm & covered) for arm in families(license, license_family)]
    return min(hits)[0] if hits and all(hits) else None


@memo.short(16384)
def included(license: str, license_family: str, families_: frozenset[str]) -> str | None:
    """The family for which the license is rescued, or None: one alternative lies wholly inside."""
    covered = _covered(families_)
    hits = [sorted(arm) for arm in families(license, license_family) if arm <= covered]
    return min(hits)[0] if hits else None


@memo.short(256)
def _covered(chosen: frozenset[str]) -> frozenset[str]:
    return frozenset().union(*(_COVERS.get(family, {family}) for family in chosen))


@lru_cache(maxsize=1)
def _licensing() -> Licensing:
    return get_spdx_licensing()


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    return frozenset(key.lower() for key in _licensing().known_symbols)


def _of_spdx(text: str) -> frozenset[Arm] | None:
    """The alternatives of an SPDX expression; None where `text` is none that we know fully."""
    # The parser's time rises with nesting, and whoever uploads a package writes this text.
    if not text.strip() or len(text) > _LONGEST or text.count("(") > 20:
        return None
    try:
        tree = _licensing().parse(text)
    except (ExpressionError, boolean.ParseError):
        return None
    return None if tree is None else _arms(tree)


def _arms(node: Any) -> frozenset[Arm] | None:
    if isinstance(node, LicenseWithExceptionSymbol):
        return _arms(node.license_symbol)
    if isinstance(node, boolean.Symbol):
        family = _of_symbol(node.key)
        return None if family is None else frozenset({frozenset({family})})
    parts = [_arms(argument) for argument in node.args]
    whole = [part for part in parts if part is not None]
    if len(whole) < len(parts):
        return None
    if isinstance(node, boolean.OR):
        return _shortest(frozenset().union(*whole))
    return reduce(_both, whole)


def _both(first: frozenset[Arm], second: frozenset[Arm]) -> frozenset[Arm]:
    # Nested choices multiply. Nobody offers this many, and a text built to do so
    # is judged as if all of its families held together.
    if len(first) * len(second) > _MOST_ARMS:
        return frozenset({frozenset().union(*first, *second)})
    return _shortest(frozenset(x | y for x in first for y in second))


def _shortest(arms: frozenset[Arm]) -> frozenset[Arm]:
    # An alternative that demands more than another changes no verdict.
    return frozenset(arm for arm in arms if not any(shorter < arm for shorter in arms))


def _of_symbol(key: str) -> str | None:
    plain = key.removesuffix("+")
    if key.lower().startswith("licenseref-"):
        named = _of_atom(re.sub(r"[-_.]+", " ", key[len("licenseref-") :]))
        return None if named in _VAGUE else named
    for pattern, family in _SPDX:
        if pattern.fullmatch(plain):
            return family
    return "Other" if key.lower() in _known() or plain.lower() in _known() else None


def _of_family(text: str) -> frozenset[Arm] | None:
    if not text.strip():
        return None
    family = _BY_NAME.get(re.sub(r"[-_\s]", "", text).lower())
    if family is not None:
        return frozenset({frozenset({family})})
    arms = _of_text(text)
    return None if any(arm & _VAGUE for arm in arms) else arms


def _of_text(text: str) -> frozenset[Arm]:
    """The alternatives that free text seems to name."""
    if _NOTHING.fullmatch(text.strip()):
        return frozenset({frozenset({"None"})})
    short = _NOISE.sub(" ", _LATER.sub("+", _RANGE.sub(_least, text[:_LONGEST])))
    alternatives = [part for part in _OR.split(short) if part.strip()] or [short]
    return _shortest(
        frozenset(
            frozenset(_of_atom(atom) for atom in _AND.split(part) if atom.strip() or atom == part)
            for part in alternatives
        )
    )


def _least(version_range: re.Match[str]) -> str:
    """The version that a range of versions starts from; nothing where it names none."""
    least = _LEAST.search(version_range[1])
    return f" {least[1]}" if least else ""


def _of_atom(text: str) -> str:
    if _NOTHING.fullmatch(text.strip()):
        return "None"
    for pattern, family in _FREE:
        if pattern.search(text):
            return family
    return "Other"
