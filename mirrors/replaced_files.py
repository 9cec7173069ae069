"""Files of which the upstream has new bytes under a listed name: hold them, or follow.

Files of Python indexes never change under their names, so theirs are always held; R's binaries
are rebuilt as a matter of course, so they always follow.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress

from django.db import transaction
from django.utils import timezone

from channels.errors import WrongState
from ecosystems import registry
from ecosystems.kinds import Kind
from ecosystems.sentences import SHOWN_NAMES, first_names
from history.models import EventType, record
from mirrors import run_control
from mirrors.models import Cause, Mirror, ReplacedFile

FOLLOW, HOLD = Mirror.ReplacedFiles.FOLLOW, Mirror.ReplacedFiles.HOLD

HeldDigests = Mapping[str, str]
"""By file name: the hash of the new bytes, which wait."""


def default(kind: str) -> str:
    """What a mirror of this type does unless it is told otherwise."""
    return str(FOLLOW if kind == Kind.CONDA else HOLD)


def holds(mirror: Mirror, section: str) -> bool:
    """Whether new bytes under a listed name wait for a release."""
    rebuilt = registry.get(mirror.kind).rebuilds(section)
    return mirror.replaced_files == HOLD and not rebuilt


def held_in(mirror_ids: Collection[int]) -> dict[int, dict[str, dict[str, str]]]:
    """What is held, by mirror and section."""
    held: dict[int, dict[str, dict[str, str]]] = {}
    rows = ReplacedFile.objects.filter(mirror__in=mirror_ids, released_at=None)
    for mirror_id, section, filename, digest in rows.values_list(
        "mirror_id", "section", "filename", "new_digest"
    ):
        held.setdefault(mirror_id, {}).setdefault(section, {})[filename] = digest
    return held


def release(mirror: Mirror, *, actor: str, files: Collection[str] | None = None) -> list[str]:
    """Let the new bytes of held files in: of those named, else of all; their names.

    The old bytes stay until the new ones are here. `files`: "<section>/<file name>". Raises
    `WrongState` where none of them is held.
    """
    with transaction.atomic():
        locked = Mirror.objects.select_for_update(of=("self",)).select_related("channel")
        mirror = locked.get(pk=mirror.pk)
        rows = [
            row
            for row in mirror.replaced.filter(released_at=None).order_by("section", "filename")
            if files is None or f"{row.section}/{row.filename}" in files
        ]
        if not rows:
            raise WrongState(f"No replaced file of {mirror.name} is held by this name.")
        pks = [row.pk for row in rows]
        ReplacedFile.objects.filter(pk__in=pks).update(released_at=timezone.now())
        names = [f"{row.section}/{row.filename}" for row in rows]
        record(
            EventType.MIRROR_RELEASED,
            actor=actor,
            channel_id=mirror.channel_id,
            mirror_id=mirror.pk,
            data={"mirror": mirror.name},
            # An event is shown whole, however many files were held.
            meta={"replaced": len(names), "files": names[:100]},
        )
        mirror.channel.request_publication()
    # After the commit: the run has to find the files released.
    if mirror.active:
        _fetch(mirror, actor)
    return names


def _fetch(mirror: Mirror, actor: str) -> None:
    """Have an active mirror download what was released; after the run that is going, if any."""
    with suppress(WrongState):
        run_control.request_run(mirror, cause=Cause.RELEASE, actor=actor)
        return
    Mirror.objects.filter(pk=mirror.pk).update(run_again=True)


def warnings(mirror_ids: Iterable[int]) -> dict[int, list[str]]:
    """What is held, in sentences, by mirror."""
    return {
        mirror_id: [_sentence(section, sorted(files)) for section, files in sorted(held.items())]
        for mirror_id, held in held_in(list(mirror_ids)).items()
    }


def _sentence(section: str, files: list[str]) -> str:
    number = len(files)
    what = "1 file has" if number == 1 else f"{number:,} files have"
    return (
        f"{section}: {what} new bytes upstream under the same name, which are held until they are"
        f" released: {first_names(files[:SHOWN_NAMES], number)}."
    )
