"""What a coming revision adds, replaces and removes, as one event per package."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from channels.file_difference import FileDifference, file_difference
from channels.models import Channel
from ecosystems.base import Ecosystem
from history.models import Event, EventType

# Of a package: an event is shown whole. Its counts are of all files.
MAX_EVENT_FILES = 100


@dataclass(slots=True)
class Change:
    """File counts of one package; `files` are the first names, each with a newline."""

    family: str
    added: int = 0
    replaced: int = 0
    removed: int = 0
    files: str = ""
    listed: int = 0
    """How many names `files` has."""
    hashes: dict[str, dict[str, str]] = field(default_factory=dict)
    """The old and the new hash of the first files that have new bytes under their name."""

    @property
    def type(self) -> EventType:
        if self.added:
            return EventType.ARTIFACT_REGISTERED
        if self.replaced:
            return EventType.ARTIFACT_METADATA_UPDATED
        return EventType.ARTIFACT_REMOVED


class Changes:
    """Collects changes by package name over the sections of a channel."""

    def __init__(self) -> None:
        self.total = 0
        self._by_name: dict[tuple[str, str], Change] = {}

    def compare(
        self, ecosystem: Ecosystem, name: str, filenames: list[str], new: bytes, old: bytes
    ) -> None:
        """Note how a package's body `new` (listing `filenames`) differs from `old`."""
        if not old:
            # What is new as a whole need not be decoded.
            self._note(ecosystem.family, name, FileDifference(filenames, [], []))
            return
        records = ecosystem.entries(new) if new else {}
        before = ecosystem.entries(old)
        difference = file_difference(before, records)
        self._note(ecosystem.family, name, difference)
        if difference.replaced:
            hashes = self._by_name[ecosystem.family, name].hashes
            for filename in difference.replaced[: MAX_EVENT_FILES - len(hashes)]:
                was, is_now = map(ecosystem.hash_of, (before[filename], records[filename]))
                if was and is_now and was != is_now:
                    hashes[filename] = {"old": was, "new": is_now}
        # `removed` lists of the upstream are in the body too: a difference, though of no file.
        self.total += new != old and bool(new)

    def _note(self, family: str, name: str, files: FileDifference) -> None:
        """Add to a package's counts."""
        if not files.total:
            return
        self.total += files.total
        change = self._by_name.setdefault((family, name), Change(family))
        change.added += len(files.added)
        change.replaced += len(files.replaced)
        change.removed += len(files.removed)
        room = MAX_EVENT_FILES - change.listed
        if room > 0:
            filenames = [*files.added, *files.replaced, *files.removed][:room]
            change.listed += len(filenames)
            change.files += "\n".join(filenames) + "\n"

    def counts(self) -> dict[str, int]:
        """Files added, replaced and removed over all packages."""
        changes = self._by_name.values()
        return {
            "added": sum(change.added for change in changes),
            "replaced": sum(change.replaced for change in changes),
            "removed": sum(change.removed for change in changes),
        }

    def events(
        self, *, channel: Channel, number: int, old: int, run: tuple[int, int] | None = None
    ) -> Iterator[Event]:
        """One event a package, seen once the channel has reached `number`."""
        mirror_id, run_id = run or (None, None)
        for (family, name), change in sorted(self._by_name.items()):
            yield Event(
                type=change.type,
                family=family,
                channel_id=channel.pk,
                mirror_id=mirror_id,
                run_id=run_id,
                # Without a run there is no event of it that they could stand under.
                folded=run_id is not None,
                revision=number,
                data={"artifact_family": family, "name": name, "channel": channel.path},
                meta={
                    "added": change.added,
                    "replaced": change.replaced,
                    "removed": change.removed,
                    "from_revision": old,
                    "revision": number,
                    "files": change.files.split("\n")[:-1],
                    **({"hashes": change.hashes} if change.hashes else {}),
                },
            )
