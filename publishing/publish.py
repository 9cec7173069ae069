"""Feed a channel's publication: judge what changed, write it, show it.

Only names whose records, rules or present files changed are judged; the
others keep the row they have.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from django.db import IntegrityError, InterfaceError, OperationalError, connection, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from channels import blobs, internal_errors
from channels.errors import Interrupted, WrongState
from channels.lease import Fenced, Heart
from channels.models import Channel, Document, Package, Publication
from channels.package_rows import Listing
from channels.revision_builder import Build
from channels.states import ACTIVE, JobState
from ecosystems import pack as packs
from ecosystems import registry
from ecosystems.base import Ecosystem
from ecosystems.progress import Progress, Stop
from mirrors.models import Mirror, Run, Snapshot
from publishing import mirror_counts, optional_documents
from publishing.diff import compare
from publishing.inputs import Inputs, gather, on_demand, pack
from publishing.listings import listings
from publishing.outcomes import Case

LONGEST_REASON = 200
"""As `Revision.reason` takes it."""

WAIT_SECONDS = 0.2
"""Between two looks at a publication that somebody else does."""


def no_progress(_done: float, _total: float) -> None:
    """A `Progress` that nobody watches."""


def publish(
    channel: Channel, *, stop: Stop, progress: Progress = no_progress, run: Run | None = None
) -> bool:
    """Do one publication of the channel if it wants one and nobody else does it.

    Of a frozen channel it is only counted what would change. `run`: the one
    that it is done for. True if a publication was done (or tried) here.
    """
    publication = _claim(channel)
    if publication is None:
        return False
    with Heart(publication) as heart:
        try:
            if publication.channel.frozen_at:
                _estimate(publication, stop=stop)
            else:
                _build(publication, heart, stop=stop, progress=progress, run=run)
                mirror_counts.recount(publication.channel)
        except Fenced:
            # Another has the publication now; or only the run that it was done for.
            if _end(publication, JobState.STOPPED, ""):
                raise
        except WrongState as error:
            _end(publication, JobState.STOPPED, str(error))
        except Interrupted:
            # The channel still wants it: the next round of the dispatcher begins it anew.
            _end(publication, JobState.STOPPED, "")
            raise
        except internal_errors.EXPLAINED as error:
            _end(publication, JobState.FAILED, str(error))
            raise
        except Exception as error:
            what = f"publication {publication.pk}"
            _end(publication, JobState.FAILED, internal_errors.words(error, what))
            raise
    return True


def wants(channel: Channel) -> bool:
    """Whether there is something to do for the channel, as its row says now."""
    return wanting().filter(pk=channel.pk).exists()


def wanting() -> QuerySet[Channel]:
    """Channels to be published; frozen ones where what waits has not been counted."""
    todo = Q(frozen_at=None) | Q(estimated_version__lt=F("requested_version"))
    return Channel.objects.filter(
        todo, deleted_at=None, requested_version__gt=F("published_version")
    )


def _claim(channel: Channel) -> Publication | None:
    if not wants(channel):
        return None
    waiting = Publication.objects.filter(channel=channel, state=JobState.PENDING).first()
    if waiting is None:
        try:
            with transaction.atomic():
                waiting = Publication.objects.create(channel=channel)
        except IntegrityError:
            return None
    if not waiting.claim(state=JobState.RUNNING, started_at=timezone.now()):
        return None
    # Read after the claim: whatever was saved until now is judged, and whatever comes
    # later raises `wanted` beyond this.
    wanted = Channel.objects.values_list("requested_version", flat=True).get(pk=channel.pk)
    waiting.write(requested_version=wanted)
    waiting.channel = Channel.objects.select_related("filter", "parent__filter").get(pk=channel.pk)
    return waiting


def _end(publication: Publication, state: JobState, error: str) -> bool:
    """Whether it was still ours to end. One whose commit was made stays completed."""
    rows = Publication.objects.filter(
        pk=publication.pk, fence=publication.fence, state=JobState.RUNNING
    )
    fields = {"state": state, "error": error, "ended_at": timezone.now()}
    try:
        return bool(rows.update(**fields))
    except (OperationalError, InterfaceError):
        # The database may have ended the connection: over a new one it knows the row's state.
        connection.close()
        return bool(rows.update(**fields))


def _build(
    publication: Publication,
    heart: Heart,
    *,
    stop: Stop,
    progress: Progress,
    run: Run | None,
) -> None:
    channel = publication.channel
    inputs = gather(channel)
    known = _known(channel)
    run = run or _covered(publication)
    build = Build(publication, heart, stop=stop, run=(run.mirror_id, run.pk) if run else None)
    pieces = _pieces(channel, inputs, known)
    count = Count(progress, sum(len(piece.names) for piece in pieces))
    for piece in pieces:
        _section(build, inputs, known, piece=piece, count=count)
    why = f"Run {run.number:,} of {run.mirror.name}" if run else "Published"
    build.commit(optional_documents.identity(inputs, known), reason=why[:LONGEST_REASON])


def _covered(publication: Publication) -> Run | None:
    """The run that this publication is for, whoever does it; None where that is not one."""
    channel = publication.channel
    asked = Run.objects.filter(mirror__channel=channel, state__in=ACTIVE)
    asked = asked.filter(
        requested_version__gt=channel.published_version,
        requested_version__lte=publication.requested_version,
    )
    runs = list(asked.select_related("mirror")[:2])
    return runs[0] if len(runs) == 1 else None


def _estimate(publication: Publication, *, stop: Stop) -> None:
    """Count what a publication would change, and leave the channel as it is."""
    channel = publication.channel
    inputs = gather(channel)
    known = _known(channel)
    pieces = _pieces(channel, inputs, known)
    found = compare(
        channel,
        [(piece.case, None if piece.whole else piece.names) for piece in pieces if piece.section],
        stop=stop,
        progress=no_progress,
        mirror_id=0,
        here_only=True,
    )
    awaiting = {"added": found.added, "replaced": found.replaced, "removed": found.removed}
    with transaction.atomic():
        publication.write(state=JobState.COMPLETED, ended_at=timezone.now())
        Channel.objects.filter(pk=channel.pk).update(
            pending_changes=awaiting, estimated_version=publication.requested_version
        )


def _known(channel: Channel) -> dict[str, Any]:
    """The inputs that the current revision was judged by."""
    current = channel.revisions.filter(number=channel.current).first()
    return current.inputs if current else {}


class Count:
    """How many of all names have been judged."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def over(self, work: Iterable[Listing]) -> Iterator[Listing]:
        """The listings, counted as they pass."""
        for listing in work:
            self._done += 1
            self._progress(self._done, self._total)
            yield listing


def cases(inputs: Inputs, known: dict[str, Any], kind: str) -> list[tuple[Case, set[str] | None]]:
    """The sections of one type with the names that `known` inputs say nothing about."""
    ecosystem = registry.get(kind)
    found = [inputs.case(ecosystem, section) for section in inputs.sections(ecosystem)]
    return [(case, _changed_names(inputs, known, case)) for case in found]


def family(mirror: Mirror) -> str:
    """The artifact family of a mirror's packages."""
    return registry.get(mirror.kind).family


def _ecosystems(channel: Channel, inputs: Inputs) -> list[Ecosystem]:
    """Conda, then whatever other types a mirror has, or has had until now."""
    rows = Package.objects.at(channel.current).filter(channel=channel)
    listed = set(rows.order_by().values_list("family", flat=True).distinct())
    listed.update(one.family for one in inputs.ecosystems())
    root = registry.at_root()
    return [root, *map(registry.of_family, sorted(listed - {root.family}))]


def _sections(channel: Channel, inputs: Inputs, ecosystem: Ecosystem) -> list[str]:
    listed = Package.objects.at(channel.current).filter(channel=channel, family=ecosystem.family)
    served = Document.objects.at(channel.current).filter(channel=channel)
    found = {*inputs.sections(ecosystem), *listed.values_list("section", flat=True).distinct()}
    found.update(
        section
        for section in served.exclude(section="").values_list("section", flat=True).distinct()
        if ecosystem.owns_section(section)
    )
    # The root comes last: its documents tell what the sections list.
    return [*sorted(found - {""}), ""]


class Piece:
    """A section of the channel with the names that are to be judged in it."""

    def __init__(self, inputs: Inputs, known: dict[str, Any], case: Case) -> None:
        self.case = case
        self.section = case.section
        changed = _changed_names(inputs, known, case) if case.section else set()
        self.whole = changed is None
        self.names: Collection[str] = case.names() if changed is None else changed


def _pieces(channel: Channel, inputs: Inputs, known: dict[str, Any]) -> list[Piece]:
    return [
        Piece(inputs, known, inputs.case(ecosystem, section))
        for ecosystem in _ecosystems(channel, inputs)
        for section in _sections(channel, inputs, ecosystem)
    ]


def _section(
    build: Build, inputs: Inputs, known: dict[str, Any], *, piece: Piece, count: Count
) -> None:
    case, section = piece.case, piece.section
    changed = False
    if piece.whole or piece.names:
        work = count.over(listings(case, piece.names, stop=build.stop))
        changed = build.section(case.ecosystem, section, work, whole=piece.whole)
    served = Document.objects.at(build.channel.current).filter(
        channel=build.channel, section=section
    )
    if not case.sources and section not in case.ecosystem.permanent_sections:
        build.drop_documents(section)
    elif (
        changed
        or not served.exists()
        or (not section and build.changes.total)
        or optional_documents.known(known, section)
        != optional_documents.known(optional_documents.identity(inputs, known), section)
        or (_has_names(inputs, section) and known != inputs.identity())
    ):
        with blobs.scratch() as folder:
            files = optional_documents.files(inputs, known, section, folder, revision=build.number)
            build.documents(case.ecosystem, section, files)


def _changed_names(inputs: Inputs, known: dict[str, Any], case: Case) -> set[str] | None:
    """The names to be judged again; None = all of the section."""
    now = inputs.identity()
    if known.get("channel") != now["channel"]:
        return None
    before = known.get("mirrors", {})
    names: set[str] = set()
    old_sources = {key for key, one in before.items() if case.section in one["sections"]}
    new_sources = {str(source.mirror_id) for source in case.sources}
    if old_sources != new_sources:
        return None
    for source in case.sources:
        old, new = before[str(source.mirror_id)], now["mirrors"][str(source.mirror_id)]
        if old["rules"] != new["rules"] or old["active"] != new["active"]:
            return None
        old_id, new_id = old["sections"][case.section], new["sections"][case.section]
        if old_id != new_id:
            older = Snapshot.objects.filter(pk=old_id).first()
            newer = Snapshot.objects.get(pk=new_id)
            if older is None or older.file_source_id != newer.file_source_id:
                return None
            names |= _differing(older, newer)
            if on_demand(newer):
                names |= _gone(inputs.channel, case)
    stale = Package.objects.at(inputs.channel.current).filter(
        channel=inputs.channel, section=case.section, stale=True
    )
    return names | set(stale.values_list("name", flat=True))


def _gone(channel: Channel, case: Case) -> set[str]:
    """Names that are listed and that no source has any more, asked for between two snapshots."""
    rows = Package.objects.at(channel.current).filter(channel=channel, section=case.section)
    return set(rows.values_list("name", flat=True)).difference(case.names())


def _differing(older: Snapshot, newer: Snapshot) -> set[str]:
    difference = packs.changed(pack(older.pack_id), pack(newer.pack_id))
    return {*difference.added, *difference.replaced, *difference.removed}


def _has_names(inputs: Inputs, section: str) -> bool:
    """Whether names are listed without their records, which no change of records tells of."""
    found = (one.snapshots.get(section) for one in inputs.mirrors)
    return any(on_demand(snapshot) for snapshot in found if snapshot is not None)
