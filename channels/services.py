"""What people do with channels: create, edit, freeze, roll back, delete.

Every verb is one transaction that also writes the history event and, where the content of the
channel changes by it, asks for a publication. `expected` is the version the caller has seen.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TypedDict

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from accounts.models import User
from channels import access, filter_forms, validation
from channels.errors import Stale, WrongState
from channels.filter_forms import Terms
from channels.models import Channel, Generation, Revision
from channels.revision_builder import publish_first_revision
from channels.validation import Problems
from filters.models import Filter
from history.models import EventType, record


class Changes(TypedDict, total=False):
    """What an edit of a channel can change; what it does not name stays."""

    description: str
    privacy: str
    """"" for the parent's, or the default."""
    filters: Terms | None
    """Replaced whole; None for a filter that lets everything through."""


def create(
    name: str,
    owner: User,
    *,
    parent: Channel | None = None,
    description: str = "",
    privacy: str = "",
    filters: Terms | None = None,
) -> Channel:
    """A new channel with its first, empty revision."""
    filter_row = Filter()
    try:
        with filter_forms.parsing_once():
            chosen = _check(name, description, privacy, parent=parent, filters=filters or {})
            checked = filter_forms.validated(filters or {}, "channel")
            with transaction.atomic():
                if parent:
                    _locked(parent, None)  # It must not be deleted while it gets a subchannel.
                filter_forms.save_filter(filter_row, checked, by="channel")
                channel = Channel.objects.create(
                    name=name,
                    parent=parent,
                    owner=owner,
                    description=description,
                    privacy=chosen,
                    filter=filter_row,
                )
                publish_first_revision(channel)
                record_event(
                    EventType.CHANNEL_CREATED, channel, owner.get_username(), after=_state(channel)
                )
                Generation.rise()
    # The constraint decides: two requests can both have found the name free.
    except IntegrityError as error:
        if Channel.objects.alive().filter(name=name, parent=parent).exists():
            noun = "subchannel" if parent else "channel"
            raise WrongState(f"A {noun} of the name {name} exists.") from error
        raise
    channel.refresh_from_db()
    return channel


def _check(
    name: str,
    description: str,
    privacy: str,
    *,
    parent: Channel | None,
    filters: Terms,
) -> str:
    """The privacy of a new channel, or ValidationError that names every wrong field."""
    problems, chosen = Problems(), privacy
    with problems.collected():
        validation.check_name(name)
    with problems.collected():
        validation.check_parent(parent)
    with problems.collected():
        validation.check_description(description)
    with problems.collected():
        chosen = validation.checked_privacy(privacy, parent)
    with problems.collected():
        filter_forms.validated(filters, "channel")
    problems.raise_any()
    return chosen


def edit(channel: Channel, changes: Changes, *, actor: str, expected: int | None = None) -> bool:
    """Change any of description, privacy, filters; True if something is different now."""
    with filter_forms.parsing_once():
        # Before the transaction: a long list takes seconds to read. What is wrong with it is
        # told there, beside the other fields.
        with suppress(ValidationError):
            filter_forms.validated(changes.get("filters") or {}, "channel")
        with transaction.atomic():
            return _edit(channel, changes, actor=actor, expected=expected)


def _edit(channel: Channel, changes: Changes, *, actor: str, expected: int | None) -> bool:
    channel = _locked(channel, expected)
    before = _state(channel)
    problems, refiltered = Problems(), False
    if "description" in changes:
        with problems.collected():
            validation.check_description(changes["description"])
        channel.description = changes["description"]
    if "privacy" in changes:
        with problems.collected():
            channel.privacy = validation.checked_privacy(changes["privacy"], channel.parent)
    if "filters" in changes:
        with problems.collected():
            checked = filter_forms.validated(changes["filters"] or {}, "channel")
            refiltered = filter_forms.save_filter(channel.filter, checked, by="channel")
    problems.raise_any()
    # Only then: descriptions and privacy change nothing of what is listed.
    if refiltered:
        channel.request_publication()
    after = _state(channel)
    # A form that was saved unchanged costs no event, and web processes keep their answers.
    if after == before and not refiltered:
        return False
    channel.version += 1
    channel.save(update_fields=["description", "privacy", "version", "updated_at"])
    _close_subchannels(channel, actor)
    Generation.rise()
    record_event(EventType.CHANNEL_UPDATED, channel, actor, before=before, after=after)
    return True


@transaction.atomic
def freeze(channel: Channel, *, actor: str, expected: int | None = None) -> bool:
    """Keep clients at the current revision; False where the channel is frozen already."""
    channel = _locked(channel, expected)
    if channel.frozen_at:
        return False
    channel.frozen_at, channel.frozen_by, channel.frozen_revision = timezone.now(), actor, None
    _save_freeze(channel)
    record_event(EventType.CHANNEL_FROZEN, channel, actor, current_revision=channel.current)
    return True


@transaction.atomic
def unfreeze(channel: Channel, *, actor: str, expected: int | None = None) -> bool:
    """Let clients get today's judgement again; False where the channel is not frozen."""
    channel = _locked(channel, expected)
    if not channel.frozen_at:
        return False
    channel.frozen_at, channel.frozen_by, channel.frozen_revision = None, "", None
    channel.pending_changes = {}
    _save_freeze(channel)
    # What changed during the freeze was only counted; now it is published.
    channel.request_publication()
    record_event(EventType.CHANNEL_UNFROZEN, channel, actor, current_revision=channel.current)
    return True


@transaction.atomic
def delete(channel: Channel, *, actor: str, expected: int | None = None) -> None:
    """Mark the channel deleted; its name is free at once, its rows go with the next clean-up."""
    channel = _locked(channel, expected)
    if channel.subchannels.filter(deleted_at=None).exists():
        raise WrongState("This channel has subchannels. Delete them first.")
    channel.deleted_at = timezone.now()
    channel.version += 1
    channel.save(update_fields=["deleted_at", "version", "updated_at"])
    Generation.rise()
    record_event(EventType.CHANNEL_DELETED, channel, actor, before=_state(channel))


@transaction.atomic
def pin(channel: Channel, number: int, *, pinned: bool, actor: str) -> Revision:
    """Keep a revision for ever, or no longer."""
    row = channel.revisions.select_for_update().filter(number=number).first()
    if row is None:
        raise WrongState(f"The revision {number} of {channel.path} is not kept any more.")
    if row.pinned != pinned:
        row.pinned = pinned
        row.save(update_fields=["pinned"])
        record_event(EventType.CHANNEL_UPDATED, channel, actor, pinned={str(number): pinned})
    return row


def record_event(event: EventType, channel: Channel, actor: str, **meta: object) -> None:
    """Write one event about a channel."""
    record(
        event,
        actor=actor,
        channel_id=channel.pk,
        data={"channel": channel.path, "channel_id": channel.pk},
        meta=meta,
    )


def _locked(channel: Channel, expected: int | None) -> Channel:
    # PostgreSQL locks no rows of the nullable side of a join, which the parent is on.
    rows = Channel.objects.alive().select_for_update(of=("self",))
    row = rows.select_related("filter", "parent").filter(pk=channel.pk).first()
    if row is None:
        raise WrongState("This channel was deleted meanwhile.")
    if expected is not None and row.version != expected:
        raise Stale
    return row


def _save_freeze(channel: Channel) -> None:
    channel.version += 1
    channel.save(
        update_fields=[
            "frozen_at",
            "frozen_by",
            "frozen_revision",
            "pending_changes",
            "version",
            "updated_at",
        ]
    )
    Generation.rise()


def _close_subchannels(channel: Channel, actor: str) -> None:
    """No subchannel stays more open than its channel has become."""
    for sub in channel.subchannels.filter(deleted_at=None).select_for_update():
        if access.is_more_open(sub.privacy, channel.privacy):
            before = sub.privacy
            # The version rises as by an edit: a form that is open must not save the old privacy.
            Channel.objects.filter(pk=sub.pk).update(
                privacy=channel.privacy, version=F("version") + 1
            )
            record_event(
                EventType.CHANNEL_UPDATED,
                sub,
                actor,
                before={"privacy": before},
                after={"privacy": channel.privacy},
            )


def _state(channel: Channel) -> dict[str, object]:
    """A channel's settings as events tell them."""
    return {
        "description": channel.description,
        "privacy": str(channel.privacy),
        "filters": filter_forms.shortened(channel.filter.terms),
    }
