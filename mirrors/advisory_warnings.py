"""What rules on advisories cannot do, because there are no data or only old ones.

Said as of now, and of every mirror that filters by it: nobody saves the mirror when a feed ages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from advisories import staleness
from advisories.models import Source
from advisories.staleness import StaleSource
from channels.models import Channel
from ecosystems.kinds import Kind
from mirrors.models import Mirror

Terms = Mapping[str, object]
"""A saved filter, as the API speaks it."""

_ABOUT_SCORES = ("cve_score_threshold", "exclude_non_curated_cve", "cve_statuses_excluded")


def of(kind: str, terms: Terms, channels: Iterable[Terms]) -> list[str]:
    """The warnings of a mirror with these terms, in a channel whose filters are `channels`."""
    every = [("mirror", terms), *(("channel", of_channel) for of_channel in channels)]
    return _State().sentences(kind, every)


def of_all(mirrors: Sequence[Mirror]) -> dict[int, list[str]]:
    """The warnings by mirror id; a few queries for all."""
    state = _State()
    if state.has_data and not state.stale:
        return {}
    ids = [mirror.pk for mirror in mirrors]
    rows = Mirror.objects.filter(pk__in=ids).values_list(
        "pk", "upstream__kind", "filter__terms", "channel_id"
    )
    rows_by_id = {pk: (kind, terms, channel) for pk, kind, terms, channel in rows}
    channel_ids = {channel for _, _, channel in rows_by_id.values()}
    channels = {
        channel.pk: [row.terms for row in channel.filters]
        for channel in Channel.objects.filter(pk__in=channel_ids).select_related(
            "filter", "parent__filter"
        )
    }
    return {
        pk: state.sentences(
            kind, [("mirror", terms), *(("channel", own) for own in channels[channel])]
        )
        for pk, (kind, terms, channel) in rows_by_id.items()
    }


class _State:
    """What data there are."""

    def __init__(self) -> None:
        self.has_data = staleness.has_data()
        self.stale: list[StaleSource] = staleness.stale_sources() if self.has_data else []

    def sentences(self, kind: str, filters: Iterable[tuple[str, Terms]]) -> list[str]:
        sentences: dict[str, None] = {}
        for level, terms in filters:
            if not self.has_data and _is_about_scores(terms):
                sentences[
                    f"The {level}'s CVE filters leave nothing out: this server has no advisories "
                    "yet."
                ] = None
            for stale in self.stale:
                if _judges_by(stale.source, kind, terms):
                    sentences[f"The {level}'s filter judges by old advisories: {stale}"] = None
        return list(sentences)


def _is_about_scores(terms: Terms) -> bool:
    asked = any(terms.get(key) not in (None, False, []) for key in _ABOUT_SCORES)
    return asked or terms.get("cve_unknown") == "exclude"


def _judges_by(source: Source, kind: str, terms: Terms) -> bool:
    scores = _is_about_scores(terms)
    if source == Source.NVD:
        return scores  # Malware has no score.
    if source == Source.MAPPING and kind != Kind.CONDA:
        return False
    return scores or terms.get("exclude_malware") is not False
