"""Where a mirror's filter and a channel's leave nothing between them.

Rule: only what can be known without looking at packages is said, and each
sentence names the two rules that meet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ecosystems.kinds import Family
from ecosystems.records import Spec
from filters.rules.form import API_TYPES, Terms, exact_name
from filters.rules.model import Chosen, Rules, SpecIndex

_EVERY_NAME = ("*", "^.*$")
MOST_COMPARED = 1_000_000
"""Pairs of specs that one comparison of two filters looks at: under a second of work."""

NOT_COMPARED = (
    "The mirror's only packages were not compared with the channel's specs: both lists are too "
    "long. Whether they leave something, the next run shows."
)
_NOTHING = "so nothing of this mirror will be published"


def compared(mirror: Terms, channels: Sequence[Terms]) -> tuple[Terms, Sequence[Terms]]:
    """Both sides' terms without what `conflicts` does not look at.

    Lists are long, and reading a spec costs more than all else that saving a filter does.
    """
    # What the mirror itself takes away is its own business; no sentence is about it.
    mine = {**mirror, "exclude_specs": [], "include_specs": []}
    # Only then is there a list that the channel's lists are compared with.
    if mirror.get("only_specs") or mirror.get("projects"):
        return mine, channels
    return mine, [
        {
            **terms,
            "only_specs": [],
            "projects": [],
            "exclude_specs": [e for e in terms.get("exclude_specs") or () if e in _EVERY_NAME],
            # A single entry rescues something.
            "include_specs": (terms.get("include_specs") or [])[:1],
        }
        for terms in channels
    ]


def conflicts(mirror: Rules, channels: Sequence[Rules], *, kind: str) -> list[str]:
    """Sentences about the mirror's rules that a channel's rules make empty."""
    return [sentence for channel in channels for sentence in _between(mirror, channel, kind)]


def _between(mirror: Rules, channel: Rules, kind: str) -> Iterator[str]:
    if channel.types and kind not in channel.types:
        allowed = ", ".join(sorted(API_TYPES[family] for family in channel.types))
        yield (
            f"The channel's filter allows only the types {allowed}, and this mirror's type is "
            f"{API_TYPES[kind]}, {_NOTHING}."
        )
    if kind == Family.CONDA and mirror.subdirs and channel.subdirs:
        yield from _platforms(mirror, channel)
    yield from _dates(mirror, channel)
    yield from _licenses(mirror, channel)
    yield from _names(mirror, channel)


def _platforms(mirror: Rules, channel: Rules) -> Iterator[str]:
    if mirror.subdirs.isdisjoint(channel.subdirs):
        yield (
            f"The mirror's platforms ({', '.join(sorted(mirror.subdirs))}) and the channel's "
            f"({', '.join(sorted(channel.subdirs))}) have none in common, {_NOTHING}."
        )


def _dates(mirror: Rules, channel: Rules) -> Iterator[str]:
    for earlier, later, whose in ((mirror, channel, "mirror"), (channel, mirror, "channel")):
        if earlier.date_to and later.date_from and earlier.date_to < later.date_from:
            other_side = "channel" if whose == "mirror" else "mirror"
            yield (
                f"The {whose}'s date range ends on {earlier.date_to}, before the {other_side}'s "
                f"begins on {later.date_from}, {_NOTHING}."
            )


def _licenses(mirror: Rules, channel: Rules) -> Iterator[str]:
    """What the mirror rescues by its license, and the channel excludes for good."""
    refused = mirror.include_licenses & channel.exclude_licenses
    families_lost = refused - channel.include_licenses
    if families_lost and not channel.include:
        families = ", ".join(sorted(families_lost))
        yield (
            f"The mirror includes packages of the license families {families}, which the channel's "
            "filter excludes, so they will not be published."
        )


def _names(mirror: Rules, channel: Rules) -> Iterator[str]:
    whole = (spec for spec in channel.exclude.specs if spec.name_only and spec.text in _EVERY_NAME)
    everything = next(whole, None)
    if everything and not channel.include and not channel.include_licenses:
        spec = everything.text
        yield f"The channel excludes every package (its excluded spec is {spec}), {_NOTHING}."
        return
    if not mirror.only:
        return
    try:
        # Saving a filter has to answer at once, however long the lists are that somebody pastes.
        yield from _specs(mirror.only.specs, channel, _Work())
    except _TooMuch:
        yield NOT_COMPARED


def _specs(only: Sequence[Spec], channel: Rules, work: _Work) -> Iterator[str]:
    if channel.only and not any(_may_be_in(spec, channel.only, work) for spec in only):
        yield (
            f"None of the mirror's only packages ({_some(only)}) is among the "
            f"channel's only packages ({_some(channel.only.specs)}), {_NOTHING}."
        )
    deciding: dict[Spec, None] = {}
    # One that is not excluded as a whole is enough: something may be left, so nothing is said.
    for spec in only:
        if (excluding := _excluding(spec, channel, work)) is None:
            return
        deciding[excluding] = None
    yield (
        f"The channel's excluded specs ({_some(list(deciding))}) exclude all of the mirror's only "
        f"packages ({_some(only)}), {_NOTHING}."
    )


class _TooMuch(Exception):
    """The lists are longer than what may be compared."""


class _Work:
    """Counts the specs that are compared: lists are users' to choose."""

    def __init__(self) -> None:
        self._left = MOST_COMPARED

    def spend(self, pairs: int = 1) -> None:
        self._left -= pairs
        if self._left < 0:
            raise _TooMuch

    def at(self, index: SpecIndex, name: str) -> Chosen | None:
        self.spend(index.cost)
        return index.at(name)


def _some(specs: Sequence[Spec]) -> str:
    more = f" and {len(specs) - 5:,} more" if len(specs) > 5 else ""
    return ", ".join(spec.text for spec in specs[:5]) + more


def _may_be_in(spec: Spec, only: SpecIndex, work: _Work) -> bool:
    name = exact_name(spec)
    if name is not None:
        return work.at(only, name) is not None
    # Two patterns may meet in some name; that is not known here.
    for only_spec in only.specs:
        work.spend()
        only_name = exact_name(only_spec)
        if only_name is None or spec.matches_name(only_name):
            return True
    return False


def _excluding(spec: Spec, channel: Rules, work: _Work) -> Spec | None:
    """The channel's excluded spec that leaves nothing of `spec`, by the name alone."""
    name = exact_name(spec)
    # A license may rescue any file, which only the records tell.
    if name is None or channel.include_licenses or not channel.exclude:
        return None
    if work.at(channel.include, name) is not None:
        return None
    chosen = work.at(channel.exclude, name)
    return None if chosen is None else chosen.whole
