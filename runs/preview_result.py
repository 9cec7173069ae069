"""What a preview finds out: the same pass as a run's, which writes nothing but snapshots."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypedDict

from accounts.caller import Caller
from channels import readership
from channels.blobs import temporary_folder
from channels.errors import Interrupted
from channels.lease import Heartbeat
from channels.models import Channel
from channels.rules import limited_ecosystem
from channels.states import JobState
from ecosystems.base import Ecosystem
from ecosystems.errors import BadIndex
from filters.models import Filter
from mirrors import advisory_warnings
from mirrors.models import Mirror, Preview, Snapshot, Upstream
from publishing.diff import ContentDifference, Example, compare
from publishing.inputs import Inputs, gather, mirror_inputs, on_demand
from publishing.tallies import file_counts, planned
from runs.context import HandBack
from runs.fetch import Fetch

UNSAVED = 2**62
"""The id of a mirror that is not saved: younger than all others, so they win a file name."""
WRITE_SECONDS = 0.5


class Cancelled(Interrupted):
    """Nobody waits for the preview any more."""


class PreviewCounts(TypedDict):
    """The files that the upstream lists, by what would become of them; as `FileCounts`."""

    active: int
    passive: int
    active_planned: int
    stays: int
    license_unknown: int
    cve_unknown: int
    mirror_filtered: dict[str, int]
    channel_filtered: dict[str, int]


class PreviewResult(TypedDict):
    """`Preview.result`; files and bytes as in `ContentDifference`."""

    added: int
    replaced: int
    removed: int
    fetch_files: int
    fetch_bytes: int
    kept_files: int
    kept_bytes: int
    examples: dict[str, list[Example]]
    count: PreviewCounts
    listed: int
    sections: list[str]
    warnings: list[str]


def check_source(preview: Preview, upstream: Upstream, actor: Caller) -> None:
    """Raise `BadIndex` unless the source may be read now, by who asks and the mirror's owner."""
    source = upstream.channel
    owner = preview.mirror.owner if preview.mirror else preview.asker
    if source is not None and not readership.may_mirror(source, owner=owner, actor=actor):
        raise BadIndex("The source is a channel of this server that may not be read.")


class PreviewProgress:
    """Shows how far the preview is, and ends it when nobody wants it."""

    def __init__(self, preview: Preview, heart: Heartbeat, interrupted: Callable[[], bool]) -> None:
        self.preview = preview
        self._heart = heart
        self._interrupted = interrupted
        self._written = 0.0
        self._activity = ""
        self._share = (0.0, 100.0)

    def begin(self, activity: str, *, start: float, width: float) -> None:
        """What comes next, and which part of the hundred per cent it is."""
        self._activity, self._share = activity, (start, width)

    def stop(self) -> None:
        """Raise `HandBack`, `Cancelled` or `Fenced` where the work must not go on."""
        self._heart.check()
        if self._interrupted():
            raise HandBack
        self._write(None)

    def show(self, done: float, total: float) -> None:
        """A `Progress` of what was begun last."""
        start, width = self._share
        self._write(start + width * min(done / total, 1) if total > 0 else start)

    def _write(self, percent: float | None) -> None:
        now = time.monotonic()
        if now - self._written < WRITE_SECONDS:
            return
        self._written = now
        rows = Preview.objects.filter(
            pk=self.preview.pk, fence=self.preview.fence, state=JobState.RUNNING
        )
        fields: dict[str, object] = {"activity": self._activity}
        if percent is not None:
            fields["percent"] = int(percent)
        # Cancelled, deleted, or given to another owner.
        if not rows.update(**fields):
            raise Cancelled


def preview_result(preview: Preview, progress: PreviewProgress) -> PreviewResult:
    """Fetch or reuse the index, judge it as if the mirror were saved, and count."""
    terms = preview.body["filters"]
    upstream = Upstream.objects.select_related("channel__parent").get(pk=preview.body["upstream"])
    # Checked when it was requested, too: rights may have changed while it waited.
    check_source(preview, upstream, Caller(preview.asker))
    channel = Channel.objects.select_related("filter", "parent__filter").get(pk=preview.channel_id)
    active = preview.body["mode"] == Mirror.Mode.ACTIVE
    ecosystem = limited_ecosystem(channel, upstream.kind, terms, active=active)
    snapshots = _snapshots(upstream, terms.get("subdirs") or [], ecosystem, progress)
    mirror = preview.mirror or Mirror(
        pk=UNSAVED, channel=channel, name="this mirror", filter=Filter(terms=terms)
    )
    mirror.upstream, mirror.mode = upstream, preview.body["mode"]
    mine = mirror_inputs(mirror, terms, snapshots)
    saved = gather(channel)
    # The edited mirror counts once: as the form has it, not as it is saved.
    others = [inputs for inputs in saved.mirrors if inputs.mirror.pk != mirror.pk]
    inputs = Inputs(channel, saved.channel_rules, (*others, mine))
    # Snapshots are shared with runs; from here on nothing is written but the preview.
    progress.begin("Filter remote packages", start=60, width=40)
    difference = compare(
        channel,
        [(inputs.section(ecosystem, section), None) for section in inputs.sections(ecosystem)],
        stop=progress.stop,
        progress=progress.show,
        mirror_id=mirror.pk,
    )
    result = _result(difference, mirror, snapshots)
    channel_filters = [row.terms for row in channel.filters]
    result["warnings"] += advisory_warnings.of(upstream.kind, terms, channel_filters)
    return result


def _snapshots(
    upstream: Upstream, subdirs: list[str], ecosystem: Ecosystem, progress: PreviewProgress
) -> dict[str, Snapshot]:
    with temporary_folder() as folder:
        fetch = Fetch(
            upstream,
            subdirs,
            stop=progress.stop,
            folder=folder,
            row=progress.preview,
            ecosystem=ecosystem,
        )
        progress.begin("Fetch remote index", start=0, width=30)
        fetch.fetch(progress.show)
        progress.begin("Read remote packages", start=30, width=30)
        fetch.read(progress.show)
    return {section: snap for section, snap in fetch.snapshots.items() if snap is not None}


def _result(
    difference: ContentDifference, mirror: Mirror, snapshots: dict[str, Snapshot]
) -> PreviewResult:
    counts = file_counts([difference.tallies.get(mirror.pk, {})], snapshots.values())
    return PreviewResult(
        added=difference.added,
        replaced=difference.replaced,
        removed=difference.removed,
        fetch_files=difference.fetch_files,
        fetch_bytes=difference.fetch_bytes,
        kept_files=difference.kept_files,
        kept_bytes=difference.kept_bytes,
        examples=difference.examples,
        count=PreviewCounts(
            active=counts["active"],
            passive=counts["passive"],
            active_planned=planned(counts, mirror),
            stays=counts["stays"],
            license_unknown=counts["license_unknown"],
            cve_unknown=counts["cve_unknown"],
            mirror_filtered=counts["mirror_filtered"],
            channel_filtered=counts["channel_filtered"],
        ),
        listed=counts["listed"],
        sections=sorted(snapshots),
        warnings=[
            warning
            for snapshot in snapshots.values()
            for warning in (*snapshot.warnings, *_unknown(snapshot))
        ],
    )


def _unknown(snapshot: Snapshot) -> list[str]:
    """What cannot be told of an index that lists names only."""
    if not on_demand(snapshot):
        return []
    return [
        "Files are counted from the first time that a client asks for their project on; what rules"
        " about versions, licenses and dates leave out is unknown until asked."
    ]
