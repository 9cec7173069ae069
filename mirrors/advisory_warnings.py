"""What rules on advisories cannot do, because there are no data or only old ones.

Said as of now, and of every mirror that filters by it: nobody saves the mirror when a feed ages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from advisories import staleness
from advisories.models import Source
from advisories.staleness import StaleSource
from ecosystems.kinds import Kind
from mirrors.models import Mirror

Terms = Mapping[str, object]
"""A saved filter, as the API speaks it."""

_ABOUT_SCORES = ("cve_score_threshold", "exclude_non_curated_cve", "cve_statuses_excluded")
_KEYS = (*_ABOUT_SCORES, "cve_unknown", "exclude_malware")
_FILTERS = {
    "filter": "mirror",
    "channel__filter": "channel",
    "channel__parent__filter": "channel",
}
"""The filters that judge what a mirror brings, and whose they are in words."""


def of(kind: str, terms: Terms, channels: Iterable[Terms]) -> list[str]:
    """The warnings of a mirror with these terms, in a channel whose filters are `channels`."""
    every = [("mirror", terms), *(("channel", of_channel) for of_channel in channels)]
    return _State().sentences(kind, every)


def of_all(mirrors: Sequence[Mirror]) -> dict[int, list[str]]:
    """The warnings by mirror id; a few queries for all."""
    state = _State()
    if state.has_data and not state.stale:
        return {}
    # These keys only: the lists of a filter may have 100,000 specs.
    columns = [f"{path}__terms__{key}" for path in _FILTERS for key in _KEYS]
    rows = Mirror.objects.filter(pk__in=[mirror.pk for mirror in mirrors])
    return {
        pk: state.sentences(kind, _with_levels(values))
        for pk, kind, *values in rows.values_list("pk", "upstream__kind", *columns)
    }


def _with_levels(values: Sequence[object]) -> list[tuple[str, Terms]]:
    """The filters of a mirror, its channel and the parent of that, in the order of the columns."""
    parts = [values[start : start + len(_KEYS)] for start in range(0, len(values), len(_KEYS))]
    filters = [
        (level, {key: value for key, value in zip(_KEYS, part, strict=True) if value is not None})
        for level, part in zip(_FILTERS.values(), parts, strict=True)
    ]
    # A saved filter always states its flags: one without any is that of no parent.
    return [(level, terms) for level, terms in filters if terms]


class _State:
    """What data there are."""

    def __init__(self) -> None:
        self.has_data = staleness.has_data()
        self.stale: list[StaleSource] = staleness.stale_sources() if self.has_data else []

    def sentences(self, kind: str, filters: Iterable[tuple[str, Terms]]) -> list[str]:
        # A dict for its order: a channel and its parent may give the same sentence, said once.
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
