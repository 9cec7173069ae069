"""What pages and the API show of advisories: marks on files and packages, and who has an advisory.

    marks = file_marks("conda", {"pillow": records})["pillow"]       # by file name
    marks = package_marks(channel, ["pillow", "numpy"])              # by (family, name)
    rows = advisories_of(Channel.objects.filter(pk=channel.pk))      # a channel's CVEs, in pages
    served, files, downloads = channels_of(...), files_of(...), downloads_of(...)

Marks of files are worked out when they are asked for, and always as of now; everything else reads
`ListedAdvisory`, which follows the publications (see `publishing.advisory_index`). Which channels a
caller may see is the caller's to say: every function takes the channels as a query.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Case, Count, F, IntegerField, Max, Min, Q, QuerySet, Sum, Value, When
from django.db.models.functions import Lower

from advisories import catalog
from advisories.formats.scores import Score, ScoreVersion, Severity, severity_of
from advisories.formats.statement import Status
from advisories.matching.facts import SETTLED, SEVEREST, AdvisoryFacts, Match
from channels.models import Channel, Download, ListedAdvisory, Package
from ecosystems.kinds import Family
from ecosystems.records import Invalid, Record
from publishing.published_records import records_of

SEVERITIES = tuple(reversed(Severity))
"""The worst first; `unknown` last."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What lists show of a file or a package.

    `count`: advisories that count against it; `score`: the highest of theirs; `status`: the most
    severe of all, None where no advisory is about it; `unknown`: one that counts has no score.
    `covered` False: no data source covers it, so nothing is known, which is not "safe".
    """

    count: int = 0
    score: Score | None = None
    status: Status | None = None
    malware: bool = False
    unknown: bool = False
    covered: bool = True

    @property
    def severity(self) -> Severity:
        """The band of the score; `none` where nothing counts, `unknown` where nobody can tell."""
        if self.score is None and not self.unknown and not self.malware and self.covered:
            return Severity.NONE
        return severity_of(self.score)


@dataclass(frozen=True, slots=True)
class AffectedFile:
    """A listed file that an advisory is about."""

    channel: Channel
    family: str
    section: str
    package: str
    filename: str
    version: str
    sha256: str
    match: Match
    """Its status and score here, and why it is matched."""


@dataclass(frozen=True, slots=True)
class AdvisoryDownload:
    """How often an account downloaded a file on a day; `user` is "" for nobody known."""

    channel: Channel
    section: str
    package: str
    filename: str
    user: str
    day: dt.date
    count: int


def file_marks(
    family: str, packages: Mapping[str, Sequence[Record | Invalid]]
) -> dict[str, dict[str, Mark]]:
    """Marks by package and file name, of packages with these records; a few queries for all."""
    # The catalog needs the purls beforehand: they say which other packages to load.
    names = {
        name: {record.purls for record in records if isinstance(record, Record) and record.purls}
        for name, records in packages.items()
    }
    loaded = catalog.load(family, names)
    return {
        name: {
            record.filename: mark_of(
                loaded[name].facts(record.version, record.filename, record.purls)
            )
            for record in records
            if isinstance(record, Record)
        }
        for name, records in packages.items()
    }


def mark_of(facts: AdvisoryFacts) -> Mark:
    """What a list shows of a file."""
    return Mark(
        count=sum(match.counts for match in facts.matches),
        score=facts.score,
        status=facts.status,
        malware=bool(facts.malware),
        unknown=facts.unknown,
        covered=facts.covered,
    )


def package_marks(channel: Channel, names: Collection[str]) -> dict[tuple[str, str], Mark]:
    """Marks by (family, name) of packages that the channel lists; one without advisories has none.

    Over all listed files of the package: the count is of different advisories, the score and the
    status are the worst of any file.
    """
    rows = ListedAdvisory.objects.filter(channel=channel, package__in=names)
    grouped: dict[tuple[str, str], list[ListedAdvisory]] = {}
    for row in rows:
        grouped.setdefault((row.family, row.package), []).append(row)
    return {key: _mark_of_rows(of_package) for key, of_package in grouped.items()}


def _mark_of_rows(rows: Sequence[ListedAdvisory]) -> Mark:
    counting = [row for row in rows if row.status not in SETTLED]
    worst = max(
        (row for row in counting if row.score is not None),
        key=lambda row: row.score or 0.0,
        default=None,
    )
    return Mark(
        count=len({row.advisory for row in counting}),
        score=Score(worst.score or 0.0, ScoreVersion(worst.score_version)) if worst else None,
        # All rows, also settled ones: what is cleared is to be seen as cleared.
        status=min((Status(row.status) for row in rows), key=SEVEREST.index),
        malware=any(row.malware for row in counting),
        unknown=any(row.score is None and not row.malware for row in counting),
    )


def advisories_of(channels: QuerySet[Channel], **lookups: Any) -> QuerySet[Any, Any]:
    """Advisories about what the channels list, one row for each, the highest score first.

    Rows have `advisory, severity, score, score_version, malware, packages, files, status_rank`
    (`SEVEREST[status_rank]` is the most severe status). `lookups` are those of `ListedAdvisory`:
    `severity="high"`, `status__in=[...]`, `family="conda"`, `advisory__icontains="2024"`,
    `package="pillow"`. Sort and slice it as any query.
    """
    rank = Case(
        *(When(status=status, then=Value(place)) for place, status in enumerate(SEVEREST)),
        default=Value(len(SEVEREST)),
        output_field=IntegerField(),
    )
    rows = ListedAdvisory.objects.filter(channel__in=channels, **lookups).order_by()
    return (
        rows.values("advisory", "severity", "score", "score_version")
        .annotate(
            # As a number: PostgreSQL has no MAX of booleans.
            malware=Max(Case(When(malware=True, then=1), default=0, output_field=IntegerField())),
            # One package in several platforms is one; channels count for themselves.
            packages=Count("package", distinct=True),
            files=Sum("files"),
            status_rank=Min(rank),
        )
        .order_by(F("score").desc(nulls_last=True), "advisory")
    )


def severity_counts(channels: QuerySet[Channel]) -> dict[int, dict[Severity, int]]:
    """How many different advisories of each severity count in each channel, by its id.

    Malware is counted under `critical`: nothing is worse, and it has no score.
    """
    rows = ListedAdvisory.objects.filter(channel__in=channels).exclude(status__in=SETTLED)
    counted = (
        rows.order_by()
        .values_list("channel_id", "severity", "malware")
        .annotate(number=Count("advisory", distinct=True))
    )
    counts: dict[int, dict[Severity, int]] = {}
    for channel_id, severity, malware, number in counted:
        of_channel = counts.setdefault(channel_id, dict.fromkeys(SEVERITIES, 0))
        of_channel[Severity.CRITICAL if malware else Severity(severity)] += number
    return counts


def channels_of(advisory: str, channels: QuerySet[Channel]) -> list[tuple[Channel, int, int]]:
    """The channels that serve files of an advisory (its `name`), with packages and files."""
    rows = (
        ListedAdvisory.objects.filter(advisory=advisory, channel__in=channels)
        .order_by()
        .values_list("channel_id")
        .annotate(packages=Count("package", distinct=True), files=Sum("files"))
    )
    counts = {pk: (packages, files) for pk, packages, files in rows}
    served = Channel.objects.filter(pk__in=counts).select_related("parent").order_by("pk")
    return [(channel, *counts[channel.pk]) for channel in served]


def packages_of(advisory: str, channels: QuerySet[Channel]) -> list[tuple[str, str, int]]:
    """The listed packages that an advisory is about: family, name, files in all channels."""
    rows = ListedAdvisory.objects.filter(advisory=advisory, channel__in=channels).order_by()
    counted = rows.values_list("family", "package").annotate(files=Sum("files"))
    return sorted(counted)


def count_files(advisory: str, channels: QuerySet[Channel]) -> int:
    """How many listed files an advisory is about; a file counts once for each channel."""
    rows = ListedAdvisory.objects.filter(advisory=advisory, channel__in=channels)
    total: int | None = rows.aggregate(total=Sum("files"))["total"]
    return total or 0


def files_of(
    advisory: str, channels: QuerySet[Channel], *, offset: int = 0, limit: int = 100
) -> list[AffectedFile]:
    """A page of the listed files that an advisory is about; `count_files` says how many there are.

    By channel, section and package; only the packages of the page are opened.
    """
    files: list[AffectedFile] = []
    for row in _rows_of(advisory, channels):
        # Rows know their number of files, so those before the page are passed over unopened.
        if offset >= row.files:
            offset -= row.files
            continue
        # A package has a row for each status, and `_affected` gives the files of all of them.
        of_row = [file for file in _affected(row) if file.match.status == row.status]
        files += of_row[offset : offset + limit - len(files)]
        offset = 0
        if len(files) >= limit:
            break
    return files


def downloads_of(
    advisory: str, channels: QuerySet[Channel], *, since: dt.date | None = None
) -> Iterator[AdvisoryDownload]:
    """Who downloaded files that an advisory is about, the newest day first within each package.

    Also files that are no longer listed, as far as their package has had a row.
    """
    packages = _packages_concerned(advisory, channels)
    for channel, section, name, affected in packages:
        rows = Download.objects.filter(channel=channel, section=section, name=name)
        if since is not None:
            rows = rows.filter(day__gte=since)
        for row in rows.order_by("-day", "filename", "user").iterator():
            if row.filename in affected:
                yield AdvisoryDownload(
                    channel, section, name, row.filename, row.user, row.day, row.count
                )


def _rows_of(advisory: str, channels: QuerySet[Channel]) -> QuerySet[ListedAdvisory]:
    rows = ListedAdvisory.objects.filter(advisory=advisory, channel__in=channels)
    return rows.select_related("channel__parent").order_by(
        "channel_id", "section", "package", "status"
    )


def _affected(row: ListedAdvisory) -> list[AffectedFile]:
    """The listed files of a package that the row's advisory is about."""
    packages = Package.objects.at(row.channel.current).filter(
        channel=row.channel, section=row.section, name=row.package, shard__isnull=False
    )
    records = [record for package in packages for record in records_of(package)]
    return [
        AffectedFile(
            row.channel,
            row.family,
            row.section,
            row.package,
            record.filename,
            record.version,
            record.sha256,
            match,
        )
        for record, match in _matching(row.family, row.package, records, row.advisory)
    ]


def _matching(
    family: str, name: str, records: Sequence[Record], advisory: str
) -> Iterator[tuple[Record, Match]]:
    purls = {record.purls for record in records if record.purls}
    loaded = catalog.load(family, {name: purls})[name]
    for record in records:
        for match in loaded.facts(record.version, record.filename, record.purls).matches:
            if match.id == advisory:
                yield record, match


def _packages_concerned(
    advisory: str, channels: QuerySet[Channel]
) -> Iterator[tuple[Channel, str, str, set[str]]]:
    """Packages that an advisory is or was about in a channel, with the names of its files.

    A file that a rule took out of the channel stands in the rows of earlier revisions only.
    """
    names = catalog.names_of(advisory)
    concerned = Q()
    for family, of_family in names.items():
        # R's names are compared without regard to case, and listed as their authors write them.
        column = "lower_name__in" if family == Family.CRAN else "name__in"
        concerned |= Q(family=family, **{column: of_family})
    # An empty condition would match every package of the channels.
    if not names:
        return
    rows = Package.objects.annotate(lower_name=Lower("name")).filter(
        concerned, channel__in=channels, shard__isnull=False
    )
    rows = rows.select_related("channel__parent", "shard").order_by(
        "channel_id", "section", "name", "-added_in"
    )
    affected: dict[tuple[int, str, str], tuple[Channel, set[str]]] = {}
    # A chunk's shards are in memory together, and one may have megabytes.
    for row in rows.iterator(chunk_size=50):
        _, filenames = affected.setdefault(
            (row.channel_id, row.section, row.name), (row.channel, set())
        )
        matching = _matching(row.family, row.name, records_of(row), advisory)
        filenames.update(record.filename for record, _ in matching)
    for (_, section, name), (channel, filenames) in affected.items():
        if filenames:
            yield channel, section, name, filenames
