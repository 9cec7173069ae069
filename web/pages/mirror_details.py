"""Page and dialog: Mirroring Details, the outcome of a run; polled while the run is active."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.http import HttpRequest, HttpResponse
from django.utils.timezone import now

from accounts.permissions import Level
from channels.models import Revision
from channels.states import ACTIVE, JobState
from mirrors import warnings
from mirrors.models import LogLine, Mirror, Run, hold_reasons
from web.pages.channel_frame import render_tab
from web.pages.guards import signed_in
from web.pages.mirror_access import get_mirror, get_run, may_write
from web.pages.rendering import Context, render
from web.pages.run_counts import file_summary

# The page is polled every two seconds, with all of its lines.
MAX_LOG_LINES = 200
# The list of all is behind a link, with its export.
MAX_FAILURES = 20
MAX_PAST_RUNS = 10


@dataclass(frozen=True)
class Step:
    """One of the eight steps of a run, as the page shows it."""

    label: str
    failed: bool
    done: bool
    current: bool
    lasted: timedelta | None


@signed_in
def details(
    request: HttpRequest, pk: int, c: str, s: str | None = None, number: int | None = None
) -> HttpResponse:
    """A run of a mirror: the one of this number, else the last."""
    mirror = get_mirror(request, c, s, pk, level=Level.READ)
    context = _context(request, mirror, get_run(mirror, number))
    return render_tab(
        request,
        mirror.channel,
        "channel-mirrors",
        template="mirrors/details.html",
        context=context,
    )


@signed_in
def live(request: HttpRequest, pk: int, number: int, c: str, s: str | None = None) -> HttpResponse:
    """What the page shows of the run, as it is now."""
    mirror = get_mirror(request, c, s, pk, level=Level.READ)
    return render(request, "mirrors/live.html", _context(request, mirror, get_run(mirror, number)))


def _context(request: HttpRequest, mirror: Mirror, run: Run | None) -> Context:
    context: Context = {
        "mirror": mirror,
        "channel": mirror.channel,
        "run": run,
        "may_write": may_write(request, mirror.channel),
        "past": mirror.runs.order_by("-number").defer("filters", "steps", "counts")[:MAX_PAST_RUNS],
    }
    if run is None:
        return context
    run.mirror = mirror
    last = _is_last(mirror, run)
    # Compared with a complete run: one that failed or was stopped has counted a part.
    earlier = mirror.runs.filter(number__lt=run.number, state=JobState.COMPLETED).order_by(
        "-number"
    )
    log = LogLine.objects.filter(run=run)
    # The newest lines, in the order of the log.
    lines = list(log.order_by("-id")[:MAX_LOG_LINES])[::-1]
    return {
        **context,
        "live": run.state in ACTIVE,
        "held": hold_reasons(run.held),
        "holds": last and bool(mirror.held or mirror.withheld_removals),
        "warnings": _warnings(mirror, run),
        "last": last,
        "label": Run.STEPS[run.step - 1] if run.step else "Waiting for a worker",
        "summary": file_summary(run, earlier.first()),
        "revisions": _published_revisions(run),
        "steps": _steps(run),
        "queued": run.started_at - run.created_at if run.started_at else None,
        "lasted": (run.ended_at or now()) - run.started_at if run.started_at else None,
        "lines": lines,
        "more_lines": len(lines) == MAX_LOG_LINES and log.count() > MAX_LOG_LINES,
        "failures": run.failures.order_by("section", "filename")[:MAX_FAILURES],
        "failed": run.failures.count(),
    }


def _is_last(mirror: Mirror, run: Run) -> bool:
    return not mirror.runs.filter(number__gt=run.number).exists()


def _warnings(mirror: Mirror, run: Run) -> list[str]:
    """Of the last run all warnings of the mirror; of an earlier run only its own."""
    own: list[str] = run.warnings
    # What a mirror warns of now has nothing to do with a run of last month.
    if not _is_last(mirror, run):
        return own
    return list(dict.fromkeys([*warnings.of(mirror), *own]))


def _published_revisions(run: Run) -> list[int] | None:
    """The revisions before and after the run; None if one of them is no longer kept."""
    # A link between revisions of which one is gone would lead to a 404.
    numbers = run.counts.get("revisions")
    if numbers is None:
        return None
    kept_revisions = Revision.objects.filter(channel_id=run.mirror.channel_id, number__in=numbers)
    return list(numbers) if kept_revisions.count() == len(set(numbers)) else None


def _steps(run: Run) -> list[Step]:
    """The eight steps of the run and how long each took."""
    times = {step["number"]: (step["started"], step["ended"]) for step in run.steps}
    return [
        Step(
            label=label,
            failed=run.state == JobState.FAILED and number == run.step,
            done=bool(times.get(number, (None, None))[1]),
            # Also of a run whose worker died: the page shows it only while the run is live.
            current=number in times and not times[number][1],
            lasted=_duration(*times[number]) if number in times else None,
        )
        for number, label in enumerate(Run.STEPS, start=1)
    ]


def _duration(begun: str, ended: str | None) -> timedelta:
    end = datetime.fromisoformat(ended) if ended else datetime.now(UTC)
    return end - datetime.fromisoformat(begun)
