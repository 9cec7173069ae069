"""The first names of the files that a run left out: worked out once, when it ends.

A publication counted, by package, what was left out and why. So only the packages that have the
reasons are judged again, not the whole mirror, and reading a mirror judges nothing.
"""

from __future__ import annotations

from django.db import transaction
from django.db.models import Sum

from channels.models import Channel, Package
from channels.texts import storable
from ecosystems.progress import Stop
from mirrors.models import ExcludedNames, NamesByRule, Run, Snapshot
from publishing import file_lists
from publishing.tallies import by_package

NAMED = 100
"""How many files of each reason are named."""

Missing = dict[str, int]
"""How many names are still to be found, by "mirror.<rule>" or "channel.<rule>"."""
Packages = dict[str, set[str]]
"""Package names by section."""


def store(run: Run, *, stop: Stop) -> None:
    """Find the names for the run's counts and store them with it."""
    names = first_names(run, stop=stop)
    with transaction.atomic():
        # Changes nothing; raises `Fenced` where another owner has the run by now.
        run.write(owner=run.owner)
        ExcludedNames.objects.update_or_create(run=run, defaults={"names": names})


def stored(run: Run) -> NamesByRule:
    """The stored names, by who left the files out and by which rule."""
    rows = ExcludedNames.objects.filter(run=run)
    return rows.values_list("names", flat=True).first() or {
        "mirror_filtered": {},
        "channel_filtered": {},
    }


def first_names(run: Run, *, stop: Stop) -> NamesByRule:
    """The first 100 file names of each reason, in the shape of `sync_state.logs`."""
    names: NamesByRule = {"mirror_filtered": {}, "channel_filtered": {}}
    missing = _missing(run)
    if not missing:
        return names
    for line in file_lists.files(run, among=_packages(run, missing), stop=stop):
        if line.reason not in missing:
            continue
        by, rule = line.reason.split(".", 1)
        names[f"{by}_filtered"].setdefault(rule, []).append(storable(line.filename))
        _subtract(missing, line.reason, 1)
        if not missing:
            break
    return names


def _missing(run: Run) -> Missing:
    """How many names each reason is to have."""
    return {
        f"{by}.{rule}": min(number, NAMED)
        for by in ("mirror", "channel")
        for rule, number in run.counts.get(f"{by}_filtered", {}).items()
        if number
    }


def _packages(run: Run, missing: Missing) -> Packages | None:
    """The packages that have enough files of every reason; None = look at all.

    What a frozen channel would show is in no tally.
    """
    channel = Channel.objects.get(pk=run.mirror.channel_id)
    # Its revision has the tallies of the time when it was frozen.
    if channel.frozen_at:
        return None
    remaining = dict(missing)
    # Those whose package cannot be told are in no tally; their names come with the snapshots.
    unnamed = Snapshot.objects.filter(pk__in=run.snapshots.values()).aggregate(n=Sum("invalid"))
    if unnamed["n"] and "mirror.invalid" in remaining:
        _subtract(remaining, "mirror.invalid", unnamed["n"])
    packages: Packages = {}
    rows = Package.objects.at(channel.current).filter(channel=channel).order_by("section", "name")
    for section, name, tally in by_package(rows, run.mirror_id):
        if not remaining:
            break
        for reason, number in tally.items():
            if reason in remaining:
                packages.setdefault(section, set()).add(name)
                _subtract(remaining, reason, number)
    return packages


def _subtract(missing: Missing, reason: str, number: int) -> None:
    """`number` more names of a reason are found; full ones leave the dictionary."""
    missing[reason] -= number
    if missing[reason] <= 0:
        del missing[reason]
