"""CVSS: from vectors to a score whose version is named, and to a severity.

Scores of different versions are not comparable one to one, so a score never goes without its
version. The newest version counts: 4.0, 3.1, 3.0, 2.0 (FIRST's specifications of CVSS).
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

import msgspec
from cvss import CVSS2, CVSS3, CVSS4, CVSSError

from ecosystems import memo

LONGEST_VECTOR = 200


class Severity(enum.StrEnum):
    """The bands of CVSS 3 and 4; `unknown` where no source states anything."""

    UNKNOWN = "unknown"
    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


_FLOORS = (
    (9.0, Severity.CRITICAL),
    (7.0, Severity.HIGH),
    (4.0, Severity.MEDIUM),
    (0.1, Severity.LOW),
    (0.0, Severity.NONE),
)
_WORDS = {
    "NONE": Severity.NONE,
    "LOW": Severity.LOW,
    "MODERATE": Severity.MEDIUM,  # GitHub's word
    "MEDIUM": Severity.MEDIUM,
    "HIGH": Severity.HIGH,
    "CRITICAL": Severity.CRITICAL,
}


class ScoreVersion(enum.StrEnum):
    """Where a score comes from, the best first."""

    V4_0 = "4.0"
    V3_1 = "3.1"
    V3_0 = "3.0"
    V2_0 = "2.0"
    WORD = "severity"
    """No vector: the lowest score of the band that a source names in a word."""


_RANK = {version: rank for rank, version in enumerate(ScoreVersion)}


class Score(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A score from 0.0 to 10.0 with the version of CVSS that it is of."""

    value: float
    version: ScoreVersion


def severity_of(score: Score | None) -> Severity:
    """The band of a score, `unknown` without one."""
    if score is None:
        return Severity.UNKNOWN
    return next(band for floor, band in _FLOORS if score.value >= floor)


def severity_word(word: object) -> Severity:
    """The severity that a source names, `unknown` for what is no such word."""
    return _WORDS.get(word.upper(), Severity.UNKNOWN) if isinstance(word, str) else Severity.UNKNOWN


def from_word(severity: Severity) -> Score | None:
    """The lowest score of a band; None where it is unknown."""
    floor = next((floor for floor, band in _FLOORS if band is severity), None)
    return None if floor is None else Score(floor, ScoreVersion.WORD)


@memo.short(8192)
def from_vector(vector: str) -> Score | None:
    """The base score of a vector (temporal and environmental metrics are the user's to state).

    None for what is no vector. The same few thousand vectors come again and again, and one
    takes 0.1 ms.
    """
    if len(vector) > LONGEST_VECTOR:
        return None
    try:
        if vector.startswith("CVSS:4.0/"):
            return _score(CVSS4(vector).base_score, ScoreVersion.V4_0)
        if vector.startswith("CVSS:3."):
            version = ScoreVersion.V3_1 if vector.startswith("CVSS:3.1/") else ScoreVersion.V3_0
            return _score(CVSS3(vector).base_score, version)
        # Vectors of version 2 have no prefix (its guide, 2.4), so they are what is left.
        return _score(CVSS2(vector).base_score, ScoreVersion.V2_0)
    # Vectors are any text that a source writes: whatever the library trips over is none.
    except (CVSSError, ValueError, KeyError, ArithmeticError, IndexError):
        return None


def _score(value: object, version: ScoreVersion) -> Score | None:
    # `cvss` gives a Decimal or a float, by version.
    number = float(str(value))
    return Score(number, version) if 0 <= number <= 10 else None


def best(scores: Iterable[Score | None]) -> Score | None:
    """The score of the newest version, and of several of that version the highest."""
    present = [score for score in scores if score is not None]
    return min(present, key=lambda score: (_RANK[score.version], -score.value), default=None)
