"""Pages that ask before they stop, restart, release or delete a mirror, and then do it.

The rule: each says what happens and what is lost; an action that the state no longer allows is
answered with a message, never with silence.
"""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from accounts.permissions import Level
from channels.errors import WrongState
from channels.models import Channel, Revision
from channels.states import ACTIVE, JobState
from mirrors import run_control, services, warnings
from mirrors.models import Cause, Mirror, hold_reasons
from publishing.replaced_files import release_held_indexes
from web.pages.channel_frame import channel_url
from web.pages.guards import signed_in, user_of
from web.pages.mirror_access import get_mirror, get_run, get_runnable_mirror, return_url
from web.pages.rendering import confirm


@signed_in
def stop(request: HttpRequest, pk: int, c: str, s: str | None = None) -> HttpResponse:
    """Stop the current run."""
    mirror = get_mirror(request, c, s, pk, level=Level.WRITE)
    if request.method == "POST":
        run = run_control.stop(mirror, actor=_actor(request))
        # The run may end while the question is on the screen.
        if run is None:
            messages.info(request, f"{mirror.name} had already ended.")
        elif run.state == JobState.STOPPED:
            messages.success(request, f"{mirror.name} stopped.")
        else:
            messages.success(request, f"{mirror.name} is stopping.")
        return redirect(return_url(request, mirror.channel, mirror=mirror))
    return confirm(
        request,
        title=f"Stop {mirror.name}?",
        losses=[
            "The run ends within seconds. Finished downloads are kept and listed in the channel; "
            "incomplete ones are discarded. Nothing that is listed is removed.",
            "A restart begins at the first step and does not download finished files again.",
        ],
        verb="Stop mirror",
        back=return_url(request, mirror.channel),
    )


@signed_in
def mark_stopped(request: HttpRequest, pk: int, c: str, s: str | None = None) -> HttpResponse:
    """End a run that was asked to stop and has not stopped."""
    mirror = get_mirror(request, c, s, pk, level=Level.WRITE)
    if request.method == "POST":
        try:
            # It may have stopped while the question was on the screen: then this is refused.
            run_control.mark_stopped(mirror, actor=_actor(request))
            messages.success(request, f"{mirror.name} marked as stopped.")
        except WrongState as error:
            messages.error(request, str(error))
        return redirect(return_url(request, mirror.channel, mirror=mirror))
    return confirm(
        request,
        title=f"Mark {mirror.name} as stopped?",
        losses=[
            "Its worker was asked to stop more than ten minutes ago and has not stopped. You can "
            "restart the mirror immediately; anything the worker still does is not published.",
            "Finished downloads are kept.",
        ],
        verb="Mark as stopped",
        back=return_url(request, mirror.channel),
    )


@signed_in
def restart(request: HttpRequest, pk: int, c: str, s: str | None = None) -> HttpResponse:
    """Run a stopped mirror again, from the first step."""
    mirror = get_runnable_mirror(request, c, s, pk)
    if request.method == "POST":
        try:
            # Refused where somebody else was quicker.
            run_control.restart(mirror, actor=_actor(request))
            messages.success(request, f"{mirror.name} restarted.")
        except WrongState as error:
            messages.error(request, str(error))
        return redirect(return_url(request, mirror.channel, mirror=mirror))
    return confirm(
        request,
        title=f"Restart {mirror.name}?",
        losses=[
            "It runs from the first step, not from where it stopped. Finished files are not "
            "downloaded again."
        ],
        verb="Restart mirror",
        back=return_url(request, mirror.channel),
        danger=False,
    )


@signed_in
def release(request: HttpRequest, pk: int, c: str, s: str | None = None) -> HttpResponse:
    """Publish the changes that the guard holds."""
    mirror = get_runnable_mirror(request, c, s, pk)
    if request.method == "POST":
        try:
            sections = release_held_indexes(mirror, actor=_actor(request))
            messages.success(request, f"{mirror.name}: {', '.join(sections)} released.")
        except WrongState as error:
            messages.error(request, str(error))
        return redirect(return_url(request, mirror.channel, mirror=mirror))
    held = hold_reasons(mirror.held)
    if mirror.withheld_removals:
        held += warnings.of_withheld_removals(mirror)
    return confirm(
        request,
        title=f"Release the held changes of {mirror.name}?",
        losses=[
            *(held or ["Nothing is held."]),
            "The channel is published from the source's new index: files that are not in it are "
            "removed. The current revision stays available under Revisions.",
        ],
        verb="Release",
        back=return_url(request, mirror.channel),
    )


@signed_in
def delete(request: HttpRequest, pk: int, c: str, s: str | None = None) -> HttpResponse:
    """Delete a mirror; its packages leave the channel."""
    mirror = get_mirror(request, c, s, pk, level=Level.WRITE)
    if request.method == "POST":
        try:
            services.delete(mirror, actor=_actor(request))
            messages.success(request, f"Mirror {mirror.name} deleted.")
        except WrongState as error:
            messages.error(request, str(error))
        # Without the mirror: its row, at which the address would point, is gone.
        return redirect(return_url(request, mirror.channel))
    return confirm(
        request,
        title=f"Delete {mirror.name}?",
        losses=_losses(mirror),
        verb="Delete mirror",
        back=return_url(request, mirror.channel),
    )


@signed_in
@require_POST
def retry(request: HttpRequest, pk: int, c: str, s: str | None = None) -> HttpResponse:
    """Run again, which fetches the files that failed and none that is present."""
    # Without a question: a run that only fetches takes nothing away.
    mirror = get_runnable_mirror(request, c, s, pk)
    try:
        run = run_control.request_run(mirror, cause=Cause.MANUAL, actor=_actor(request))
        messages.success(request, f"{mirror.name} is running again to fetch the failed files.")
        number = run.number
    except WrongState as error:
        messages.error(request, str(error))
        # Mostly since a run is going already, and that one fetches the failed files, too.
        last = get_run(mirror, None)
        number = last.number if last else 1
    return redirect(channel_url(mirror.channel, "mirror-details", pk=mirror.pk, number=number))


def _losses(mirror: Mirror) -> list[str]:
    counts = _last_counts(mirror)
    losses = []
    if counts:
        files = counts.get("active", 0) + counts.get("passive", 0)
        losses.append(
            f"The {files:,} files it mirrored to {mirror.channel.path} are removed from the "
            "channel, "
            "unless another mirror provides them. Clients can no longer install them."
        )
    else:
        losses.append("It has not mirrored any packages yet.")
    if mirror.runs.filter(state__in=ACTIVE).exists():
        losses.append("Its current run is stopped.")
    if mirror.channel.frozen_at:
        losses.append(
            "The channel is frozen: clients keep the current packages until it is unfrozen."
        )
    elif _revision(mirror.channel):
        losses.append(
            "The current packages stay available at "
            f"{mirror.channel.path}.r{mirror.channel.current} "
            f"for at least {settings.KEEP_HOURS} hours. The mirror's settings cannot be restored."
        )
    return losses


def _last_counts(mirror: Mirror) -> dict[str, int]:
    # Completed ones only: a run that was stopped or failed has counted a part of the files.
    last = mirror.runs.filter(state=JobState.COMPLETED).order_by("-number").first()
    return dict(last.counts) if last else {}


def _revision(channel: Channel) -> bool:
    return Revision.objects.filter(channel=channel, number=channel.current).exists()


def _actor(request: HttpRequest) -> str:
    return user_of(request).get_username()
