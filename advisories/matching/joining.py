"""Which records are about the same vulnerability, and what they say of it together."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Sequence

import msgspec

from advisories.formats.report import Report
from advisories.formats.scores import Score, best

_PREFIXES = ("CVE-", "GHSA-", "PYSEC-", "RSEC-", "MAL-", "")
_NUMBER = re.compile(r"[0-9]{1,18}")


class Summary(msgspec.Struct, frozen=True, gc=False):
    """What all records of an advisory say together; see `merged`."""

    name: str
    score: Score | None
    malware: bool
    withdrawn: bool
    modified: dt.datetime
    published: dt.datetime | None
    text: str

    @classmethod
    def of(cls, report: Report) -> Summary:
        """What one record says."""
        return cls(
            name=best_name(report.same),
            score=report.score,
            malware=report.malware,
            withdrawn=report.withdrawn,
            modified=report.modified,
            published=report.published,
            text=report.summary,
        )


def merged(one: Summary, other: Summary) -> Summary:
    """Two as one, whatever their order. What is withdrawn says nothing beside what is not."""
    if one.withdrawn is other.withdrawn:
        score, malware = best((one.score, other.score)), one.malware or other.malware
        text = one.text or other.text
    else:
        live, gone = (other, one) if one.withdrawn else (one, other)
        score, malware, text = live.score, live.malware, live.text or gone.text
    times = [time for time in (one.published, other.published) if time]
    return Summary(
        name=one.name if one.name == other.name else best_name((one.name, other.name)),
        score=score,
        malware=malware,
        withdrawn=one.withdrawn and other.withdrawn,
        modified=max(one.modified, other.modified),
        published=min(times, default=None),
        text=text,
    )


def components(keys: Sequence[Iterable[str]]) -> list[list[int]]:
    """The places of entries that share a key, directly or through others; each place once."""
    parents = list(range(len(keys)))

    def root(place: int) -> int:
        while parents[place] != place:
            parents[place] = parents[parents[place]]
            place = parents[place]
        return place

    owners: dict[str, int] = {}
    for place, texts in enumerate(keys):
        for text in texts:
            other = owners.setdefault(text, place)
            if other != place:
                # The smaller place stays the root: the result is in the order of `keys`.
                first, second = sorted((root(place), root(other)))
                parents[second] = first
    groups: dict[int, list[int]] = {}
    for place in range(len(keys)):
        groups.setdefault(root(place), []).append(place)
    return list(groups.values())


def best_name(ids: Iterable[str]) -> str:
    """The id that people know a vulnerability by; of several CVEs the oldest."""
    texts = list(ids)
    for start in _PREFIXES:
        ranked = [text for text in texts if text.startswith(start)]
        if ranked:
            return ranked[0] if len(ranked) == 1 else min(ranked, key=_numbers)
    raise ValueError("there is no id")


def _numbers(text: str) -> tuple[list[int], str]:
    return [int(number) for number in _NUMBER.findall(text)], text
