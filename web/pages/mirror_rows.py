"""What a line of a list of mirrors shows, and which lines an address asks for.

The rule: a page of a list costs a handful of queries, however many mirrors there are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypedDict

from django.db.models import Case, Count, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce
from django.http import HttpRequest, QueryDict

from channels import access
from channels.states import ACTIVE, RUN_STATES, STOPPABLE, JobState
from mirrors import warnings
from mirrors.models import Mirror, MirrorType, Run, RunOutcome, hold_reasons

NEVER = "never run"
HELD = RunOutcome.HELD
ERRORS = RunOutcome.ERRORS
STATES = (*RUN_STATES, ERRORS, NEVER, HELD)
SORTS = {
    "name": "name",
    "channel": "channel__name",
    "owner": "owner__username",
    "state": "latest_state",
    "attempt": "last_run_at",
    "success": "last_success_at",
    "next": "next_run_at",
}
MAX_QUERY_LENGTH = 200


class SelectedFilters(TypedDict):
    """The values and choices of the filters above a list of mirrors."""

    query: str
    state: str
    mode: str
    kind: str
    modes: list[tuple[str, str]]
    kinds: list[tuple[str, str]]


@dataclass(frozen=True)
class MirrorRow:
    """One mirror with its last run."""

    mirror: Mirror
    run: Run | None
    may_write: bool
    warnings: list[str] = field(default_factory=list)
    """Sentences about what needs attention."""

    @property
    def state(self) -> str:
        """The state of the last run; `errors` if it completed and files failed."""
        if self.run is None:
            return NEVER
        return self.run.result

    @property
    def live(self) -> bool:
        """Whether it can change by itself, so that the page polls it."""
        return self.state in ACTIVE or self.mirror.run_again

    @property
    def stoppable(self) -> bool:
        return self.state in STOPPABLE

    @property
    def stuck(self) -> bool:
        return self.run is not None and self.run.stuck

    @property
    def restartable(self) -> bool:
        return self.state == JobState.STOPPED

    @property
    def step(self) -> int:
        return self.run.step if self.run else 0

    @property
    def steps(self) -> int:
        return len(Run.STEPS)

    @property
    def step_label(self) -> str:
        """The step the run is at."""
        return Run.STEPS[self.step - 1] if self.step else "Waiting for a worker"

    @property
    def held(self) -> list[str]:
        """Why the source's newest index is not published."""
        return hold_reasons(self.mirror.held)

    @property
    def releasable(self) -> bool:
        """Whether changes wait for someone to release them."""
        return bool(self.mirror.held or self.mirror.withheld_removals)

    @property
    def cause(self) -> str:
        """The first line of why the run failed."""
        error = self.run.error if self.run and self.run.state == JobState.FAILED else ""
        # A line of a table has room for the first sentence; the details have all of it.
        return error.strip().splitlines()[0] if error.strip() else ""

    @property
    def failed(self) -> int:
        """Files that could not be fetched."""
        return int(self.run.counts.get("failed", 0)) if self.run else 0


def all_mirrors() -> QuerySet[Mirror]:
    """All living mirrors with what a line shows, and with `latest_run` and `latest_state`."""
    # Subqueries, so that lists can be filtered and sorted by them in the database.
    latest = Run.objects.filter(mirror=OuterRef("pk")).order_by("-number")
    rows = Mirror.objects.filter(deleted_at=None, channel__deleted_at=None)
    return rows.select_related("channel__parent", "upstream__channel__parent", "owner").annotate(
        latest_run=Subquery(latest.values("pk")[:1]),
        latest_outcome=Subquery(latest.values("outcome")[:1]),
        latest_state=Case(
            When(latest_outcome=RunOutcome.ERRORS, then=Value(ERRORS)),
            default=Coalesce(Subquery(latest.values("state")[:1]), Value(NEVER)),
        ),
    )


def visible_mirrors(user: access.AnyUser) -> QuerySet[Mirror]:
    """The mirrors of the channels that the user may read."""
    return all_mirrors().filter(channel__in=access.visible_channels(user).values("pk"))


def build_rows(mirrors: Iterable[Mirror], *, may_write: bool) -> list[MirrorRow]:
    """The rows of these mirrors, which come from `all_mirrors()`."""
    mirror_list = list(mirrors)
    ids = [mirror.latest_run for mirror in mirror_list if mirror.latest_run]  # type: ignore[attr-defined]
    # Deferred: a run's filters may be lists of 100,000 specs.
    runs = {run.mirror_id: run for run in Run.objects.filter(pk__in=ids).defer("steps", "filters")}
    warning_lists = warnings.of_all(mirror_list)
    return [
        MirrorRow(mirror, runs.get(mirror.pk), may_write, warning_lists[mirror.pk])
        for mirror in mirror_list
    ]


def matching(rows: QuerySet[Mirror], query: QueryDict) -> QuerySet[Mirror]:
    """What the filters in an address leave, but for the one by state."""
    text = query.get("q", "").strip()[:MAX_QUERY_LENGTH]
    if text:
        rows = rows.filter(
            Q(name__icontains=text)
            | Q(upstream__url__icontains=text)
            | Q(channel__name__icontains=text)
            | Q(owner__username__icontains=text)
        )
    if query.get("mode") in Mirror.Mode.values:
        rows = rows.filter(mode=query["mode"])
    if query.get("type") in MirrorType.values:
        rows = rows.filter(upstream__kind=query["type"])
    return rows


def in_state(rows: QuerySet[Mirror], state: str) -> QuerySet[Mirror]:
    """Those whose last run is in this state; `held` are those with something held."""
    if state == HELD:
        return rows.exclude(held={})
    return rows.filter(Q(latest_state=state)) if state in STATES else rows


def by_state(rows: QuerySet[Any]) -> dict[str, int]:
    """How many mirrors are in each state, in the order of `STATES`; none that nothing is in."""
    # Without the order, whose columns Django would group by, too.
    counts = dict(rows.order_by().values_list("latest_state").annotate(count=Count("pk")))
    counts[HELD] = rows.exclude(held={}).count()
    return {state: counts[state] for state in STATES if counts.get(state)}


def sort_of(request: HttpRequest, *, default: str = "name") -> str:
    """The sort that the address asks for."""
    sort = request.GET.get("sort", default)
    return sort if sort.removeprefix("-") in SORTS else default


def in_order(rows: QuerySet[Mirror], sort: str) -> QuerySet[Mirror]:
    """Sorted, the same way each time."""
    # By key after that: rows of the same value keep their places between polls and pages.
    return rows.order_by(("-" if sort.startswith("-") else "") + SORTS[sort.lstrip("-")], "pk")


def selected_filters(request: HttpRequest) -> SelectedFilters:
    """The values that the filters of the page show."""
    state = request.GET.get("state", "")
    return {
        "query": request.GET.get("q", "").strip()[:MAX_QUERY_LENGTH],
        "state": state if state in STATES else "",
        "mode": request.GET.get("mode", ""),
        "kind": request.GET.get("type", ""),
        "modes": Mirror.Mode.choices,
        "kinds": MirrorType.choices,
    }
