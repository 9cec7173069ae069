"""What people decide about advisories: statuses of packages, and the name mapping by hand.

Each function is one transaction, which also writes the history event and notes the packages that
are to be judged again. Have them published with `publishing.advisory_changes.request()` afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from advisories import tables
from advisories.bundle import CurationLine
from advisories.catalog import curated_name
from advisories.formats import mapping
from advisories.formats.report import BadRecord
from advisories.formats.statement import FAMILIES, Status
from advisories.models import Advisory, Curation, Identifier, Mapping
from ecosystems.errors import SpecError
from history.models import EventType, record

MOST_AT_ONCE = 1000
"""Curations of one call."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A status for an advisory and a package: for all of its files, a version spec, or one file."""

    advisory: str
    """Any id of the advisory."""
    family: str
    """`conda`, `python` or `cran`."""
    package: str
    status: str
    reason: str = ""
    spec: str = ""
    """A version spec in the words of the family ("" = every version)."""
    filename: str = ""
    """At most one of `spec` and `filename` is given."""


def find(id: str) -> Advisory | None:
    """The advisory that any of its ids names, whatever the case; None where there is none."""
    # The column has no index that ignores case, so the usual spellings are tried.
    prefix, dash, suffix = id.partition("-")
    # CVE-... has capitals throughout, GHSA-xxxx-... small letters after its prefix.
    texts = {id, id.upper(), f"{prefix.upper()}{dash}{suffix.lower()}"}
    rows = Identifier.objects.filter(text__in=texts, upstream=False).select_related(
        "record__advisory"
    )
    row = rows.order_by("pk").first()
    return row.record.advisory if row else None


def ids(advisory: Advisory) -> list[str]:
    """All ids of an advisory, its best first."""
    rows = Identifier.objects.filter(record__advisory=advisory, upstream=False)
    texts = sorted(set(rows.values_list("text", flat=True)) - {advisory.name})
    return [advisory.name, *texts]


def of_advisory(advisory: Advisory) -> QuerySet[Curation]:
    """Every curation of an advisory, the newest first."""
    return Curation.objects.filter(advisory__in=ids(advisory)).order_by("-created_at", "-pk")


def curate(decision: Decision, *, author: str) -> Curation:
    """Save one decision; ValidationError names every wrong field."""
    return curate_all([decision], author=author)[0]


def curate_all(decisions: Sequence[Decision], *, author: str) -> list[Curation]:
    """Save many decisions, all or none.

    ValidationError names the wrong fields; of several decisions as "<place>.<field>", from 0 on.
    """
    # Before anything is checked: each decision costs a query.
    if len(decisions) > MOST_AT_ONCE:
        raise ValidationError(f"At most {MOST_AT_ONCE:,} curations can be saved at once.")
    problems: dict[str, list[str]] = {}
    rows = []
    for place, decision in enumerate(decisions):
        prefix = f"{place}." if len(decisions) > 1 else ""
        wrong = {f"{prefix}{key}": [text] for key, text in _problems(decision).items()}
        problems |= wrong
        if not wrong:
            rows.append(_row(decision, author))
    if problems:
        raise ValidationError(problems)
    with transaction.atomic():
        Curation.objects.bulk_create(rows)
        for row in rows:
            _tell(row, actor=author, status=row.status)
        tables.note_curated({(row.family, row.package) for row in rows})
    return rows


def withdraw(curations: Iterable[Curation], *, actor: str) -> int:
    """Delete curations, so that what was said before counts again; how many there were."""
    rows = list(curations)
    with transaction.atomic():
        for row in rows:
            _tell(row, actor=actor, status=str(Status.REPORTED), withdrawn=row.status)
        tables.note_curated({(row.family, row.package) for row in rows})
        Curation.objects.filter(pk__in=[row.pk for row in rows]).delete()
    return len(rows)


def map_name(conda_name: str, projects: Sequence[str] | None, *, author: str) -> Mapping:
    """Say which Python projects a conda package holds, above any feed; None: no Python package.

    ValidationError names the wrong field, `conda_name` or `projects`.
    """
    try:
        name = mapping.conda_name(conda_name)
    except BadRecord as error:
        raise ValidationError({"conda_name": f"{error}."}) from error
    try:
        names = None if projects is None else list(mapping.projects(list(projects))) or None
    except BadRecord as error:
        raise ValidationError({"projects": f"{error}."}) from error
    with transaction.atomic():
        # Read inside the transaction: projects that fall away have to be judged again, too.
        before = _projects(name)
        row, _ = Mapping.objects.update_or_create(
            conda_name=name, by_hand=True, defaults={"projects": names, "author": author}
        )
        tables.note_mapped({name: names}, {name: before})
        _tell_mapping(row, actor=author, projects=names)
    return row


def unmap_name(row: Mapping, *, actor: str) -> None:
    """Forget what was said by hand: the feed's entry counts again."""
    with transaction.atomic():
        _tell_mapping(row, actor=actor, withdrawn=row.projects)
        row.delete()
        after = _projects(row.conda_name)
        tables.note_mapped({row.conda_name: after}, {row.conda_name: row.projects})


def _projects(conda_name: str) -> list[str] | None:
    """What the mapping says now; what is said by hand comes first."""
    rows = Mapping.objects.filter(conda_name=conda_name).order_by("-by_hand")
    return rows.values_list("projects", flat=True).first()


def _problems(decision: Decision) -> dict[str, str]:
    problems: dict[str, str] = {}
    if find(decision.advisory) is None:
        problems["advisory"] = "There is no advisory of this id."
    if decision.family not in FAMILIES.values():
        problems["family"] = f"The family is one of {', '.join(FAMILIES.values())}."
    if not decision.package.strip():
        problems["package"] = "Name the package."
    if decision.status not in list(Status):
        problems["status"] = f"The status is one of {', '.join(Status)}."
    if decision.spec and decision.filename:
        problems["filename"] = "Give a version spec or a file, not both."
    # Only fields that are right by themselves can be checked together.
    if not problems:
        try:
            tables.curation(_line(decision, author=""))
        except BadRecord as error:
            problems["spec" if decision.spec else "package"] = f"{error}."
        except SpecError as error:
            problems["spec"] = f"{error}."
    return problems


def _row(decision: Decision, author: str) -> Curation:
    return tables.curation(_line(decision, author=author))


def _line(decision: Decision, *, author: str) -> CurationLine:
    return CurationLine(
        advisory=decision.advisory.strip(),
        family=decision.family,
        package=curated_name(decision.family, decision.package),
        status=decision.status,
        author=author,
        created_at=timezone.now(),
        spec=decision.spec.strip(),
        filename=decision.filename.strip(),
        reason=decision.reason,
    )


def _tell(row: Curation, *, actor: str, **meta: str) -> None:
    record(
        EventType.CVE_UPDATED,
        actor=actor,
        family=row.family,
        data={
            "advisory": row.advisory,
            "artifact_family": row.family,
            "name": row.package,
            "spec": row.spec,
            "filename": row.filename,
        },
        meta={"reason": row.reason, "document": row.document, **meta},
    )


def _tell_mapping(row: Mapping, *, actor: str, **meta: object) -> None:
    record(
        EventType.CVE_UPDATED,
        actor=actor,
        family=FAMILIES["conda"],
        data={"conda_name": row.conda_name},
        meta=meta,
    )
