"""Records and filters for the tests of judgement."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from advisories.formats.scores import Score, ScoreVersion
from advisories.formats.statement import Status
from advisories.matching.candidates import MatchedBy
from advisories.matching.facts import AdvisoryFacts, Match
from ecosystems.conda.matchspec import parse
from ecosystems.records import Record
from filters.rules import Rules, compile_rules


class Made(Record, gc=False, kw_only=True):
    """A record that finds other fields in its raw JSON."""

    def value(self, key: str) -> str | int | None:
        found = json.loads(self.raw or b"{}").get(key)
        return found if isinstance(found, str | int) else None


def at(text: str) -> int:
    """The milliseconds of a UTC time in ISO form."""
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp() * 1000)


def numpy(version: str = "1.24", **fields: Any) -> Made:
    """A numpy, MIT, built on 2023-06-15, in the new format unless said otherwise."""
    ending = fields.pop("ending", ".conda")
    name = fields.setdefault("name", "numpy")
    build = fields.setdefault("build", "py311_0")
    fields.setdefault("filename", f"{name}-{version}-{build}{ending}")
    fields.setdefault("license", "MIT")
    fields.setdefault("timestamp", at("2023-06-15T12:00:00"))
    return Made(version=version, **fields)


def match(
    score: float | None = None,
    status: Status = Status.REPORTED,
    *,
    id: str = "CVE-2024-1",
    malware: bool = False,
    version: ScoreVersion = ScoreVersion.V3_1,
) -> Match:
    """One advisory that affects a file."""
    value = None if score is None else Score(score, version)
    return Match(id, MatchedBy.NAME, status, value, malware)


def facts(*matches: Match) -> AdvisoryFacts:
    """What is known of a file: these advisories, and what rules do not look at."""
    return AdvisoryFacts(matches=matches, covered=True)


def mirror(**filters: Any) -> Rules:
    return compile_rules(filters, spec=parse, by="mirror")


def channel(**filters: Any) -> Rules:
    return compile_rules(filters, spec=parse, by="channel")
