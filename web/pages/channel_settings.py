"""Pages: a channel's settings; freeze, unfreeze and delete it."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from accounts.permissions import Attribute, Level
from channels import access, readership, services
from channels.errors import Stale, WrongState
from channels.models import Channel, Revision, SourceLink
from mirrors import form_warnings
from mirrors.models import Mirror
from mirrors.services import delete_channel
from web.pages.channel_forms import ChannelSettingsForm, add_errors, changed_meanwhile
from web.pages.channel_frame import channel_url, get_channel, render_tab
from web.pages.guards import require_level, signed_in, user_of
from web.pages.rendering import confirm


@signed_in
def settings(request: HttpRequest, c: str, s: str | None = None) -> HttpResponse:
    """Privacy, description and filter of a channel; read-only without the level to change them."""
    channel = get_channel(
        request, c, s, level=Level.WRITE if request.method == "POST" else Level.READ
    )
    form = ChannelSettingsForm(
        request.POST or None,
        terms=channel.filter.terms,
        initial={
            "description": channel.description,
            "privacy": channel.privacy,
            "version": channel.version,
        },
    )
    if not access.can(request.user, channel, Level.WRITE):
        for field in form.fields.values():
            # Django then ignores what is sent for it, so a forged POST changes nothing either.
            field.disabled = True
    elif not access.can(request.user, channel, Level.MANAGE):
        form.fields["privacy"].disabled = True
    if request.method == "POST" and form.is_valid() and _save(request, channel, form):
        messages.success(request, f"Settings of {channel.path} saved.")
        return redirect(channel_url(channel, "channel-settings"))
    return render_tab(
        request,
        channel,
        "channel-settings",
        template="channels/settings.html",
        context={"form": form, "readers": _readers(request, channel)},
    )


def _readers(request: HttpRequest, channel: Channel) -> list[SourceLink]:
    """Which channels mirror this one, for who manages it."""
    return readership.links_to(channel) if access.can(request.user, channel, Level.MANAGE) else []


@signed_in
def revoke_readers(request: HttpRequest, pk: int, c: str, s: str | None = None) -> HttpResponse:
    """Revoke the permission to publish this channel to more readers than it has."""
    channel = get_channel(request, c, s, level=Level.MANAGE)
    link = next(
        (candidate for candidate in readership.links_to(channel) if candidate.pk == pk), None
    )
    if link is None:
        raise Http404("This channel is no longer mirrored that way.")
    back = channel_url(channel, "channel-settings")
    if request.method == "POST":
        readership.revoke(link, actor=user_of(request).get_username())
        form_warnings.update_for_channel(link.channel)
        messages.success(
            request, f"{link.channel.path} now has only the readers of {channel.path}."
        )
        return redirect(back)
    return confirm(
        request,
        title=f"Stop publishing {channel.path} to the readers of {link.channel.path}?",
        losses=[
            f"Only clients that can read {channel.path} can then read {link.channel.path}. "
            "Nothing is deleted."
        ],
        verb="Revoke permission",
        back=back,
    )


def _save(request: HttpRequest, channel: Channel, form: ChannelSettingsForm) -> bool:
    data = form.cleaned_data
    changes = services.Changes(description=data["description"], filters=form.filters())
    if data["privacy"] != channel.privacy:
        changes["privacy"] = data["privacy"]
    actor = user_of(request).get_username()
    try:
        services.edit(channel, changes, actor=actor, expected=data["version"])
        # Afterwards: it reads the filters of all mirrors.
        channel.filter.refresh_from_db()
        channel.refresh_from_db(fields=["privacy"])
        form_warnings.update_for_channel(channel)
    except ValidationError as error:
        add_errors(form, error)
    except Stale:
        form.add_error(None, changed_meanwhile("channel"))
    except WrongState as error:
        form.add_error(None, str(error))
    return not form.errors


@signed_in
def freeze(request: HttpRequest, c: str, s: str | None = None) -> HttpResponse:
    """Keep clients at the current revision."""
    channel = get_channel(request, c, s, level=Level.WRITE)
    if request.method == "POST":
        done = f"{channel.path} is frozen at revision {channel.current}."
        _apply(request, channel, services.freeze, done=done)
        return redirect(channel_url(channel))
    return confirm(
        request,
        title=f"Freeze the channel {channel.path}?",
        losses=[
            f"Clients keep getting revision {channel.current} until it is unfrozen. Mirrors still "
            "run, and their changes wait.",
            "Nothing is deleted.",
        ],
        verb="Freeze channel",
        back=channel_url(channel),
        danger=False,
    )


@signed_in
def unfreeze(request: HttpRequest, c: str, s: str | None = None) -> HttpResponse:
    """Let clients get what mirrors and filters say now."""
    channel = get_channel(request, c, s, level=Level.WRITE)
    if request.method == "POST":
        done = f"{channel.path} is no longer frozen; publishing has started."
        _apply(request, channel, services.unfreeze, done=done)
        return redirect(channel_url(channel))
    return confirm(
        request,
        title=f"Unfreeze the channel {channel.path}?",
        losses=[
            "The waiting changes from mirrors and filters are published. Clients that "
            f"need today's packages can use {channel.path}.r{channel.current}."
        ],
        verb="Unfreeze channel",
        back=channel_url(channel),
        danger=False,
    )


@signed_in
def delete(request: HttpRequest, c: str, s: str | None = None) -> HttpResponse:
    """Delete a channel with its mirrors and packages."""
    channel = get_channel(request, c, s, level=Level.MANAGE)
    if channel.subchannels.filter(deleted_at=None).exists():
        raise PermissionDenied(f"The channel {channel.path} has subchannels. Delete them first.")
    if Mirror.objects.filter(channel=channel, deleted_at=None).exists():
        # Its mirrors are deleted with it, so the user must be allowed to delete mirrors.
        require_level(request, Attribute.MIRROR, Level.WRITE)
    if request.method == "POST":
        _apply(request, channel, delete_channel, done=f"Channel {channel.path} deleted.")
        parent = channel.parent
        return redirect(channel_url(parent) if parent else reverse("channels"))
    return confirm(
        request,
        title=f"Delete the channel {channel.path}?",
        losses=_losses(channel),
        verb="Delete channel",
        back=channel_url(channel),
    )


def _apply(
    request: HttpRequest, channel: Channel, service: Callable[..., object], *, done: str
) -> None:
    """Call the service, and show its outcome as a message."""
    # The state may have changed since the question was shown: then the service refuses.
    try:
        service(channel, actor=user_of(request).get_username())
    except WrongState as error:
        messages.error(request, str(error))
    else:
        messages.success(request, done)


def _quantity(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _losses(channel: Channel) -> list[str]:
    now = Revision.objects.filter(channel=channel, number=channel.current).first()
    # One more than is named says whether there are others.
    names = list(
        Mirror.objects.filter(channel=channel, deleted_at=None).values_list("name", flat=True)[:4]
    )
    losses = []
    if now:
        losses.append(
            f"It serves {_quantity(now.packages, 'package')} with {_quantity(now.files, 'file')}; "
            f"they are deleted, with all {_quantity(channel.revisions.count(), 'revision')} of it."
        )
    if names:
        losses.append(
            f"Its mirrors are deleted: {', '.join(names[:3])}"
            f"{' and others' if len(names) > 3 else ''}."
        )
    losses.append("Clients that use it get 404 immediately. This cannot be undone.")
    return losses
