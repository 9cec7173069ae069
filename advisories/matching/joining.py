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


def merged(first: Summary, second: Summary) -> Summary:
    """Two as one, whatever their order. What is withdrawn says nothing beside what is not."""
    if first.withdrawn is second.withdrawn:
        score, malware = best((first.score, second.score)), first.malware or second.malware
        text = first.text or second.text
    else:
        live, gone = (second, first) if first.withdrawn else (first, second)
        score, malware, text = live.score, live.malware, live.text or gone.text
    times = [time for time in (first.published, second.published) if time]
    return Summary(
        name=first.name if first.name == second.name else best_name((first.name, second.name)),
        score=score,
        malware=malware,
        withdrawn=first.withdrawn and second.withdrawn,
        modified=max(first.modified, second.modified),
        published=min(times, default=None),
        text=text,
    )


def components(keys: Sequence[Iterable[str]]) -> list[list[int]]:
    """The places of entries that share a key, directly or through others; each place once."""
    parents = list(range(len(keys)))

    def root(place: int) -> int:
        while parents[place] != place:
            # Path halving keeps the trees flat: chains of aliases would cost the square of their
            # length.
            parents[place] = parents[parents[place]]
            place = parents[place]
        return place

    owners: dict[str, int] = {}
    for place, texts in enumerate(keys):
        for text in texts:
            owner = owners.setdefault(text, place)
            if owner != place:
                # The smaller place stays the root: the result is in the order of `keys`.
                first, second = sorted((root(place), root(owner)))
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


# As numbers: CVE-2024-9999 is older than CVE-2024-10000.
def _numbers(text: str) -> tuple[list[int], str]:
    return [int(number) for number in _NUMBER.findall(text)], text
