"""Who may read a channel of this server as the source of a mirror, and who gets what it brings.

The rule: whoever acts (with the limits of their token) and the mirror's owner must both be
allowed to read the source; and what comes from it has no more readers than the source has,
unless somebody who manages the source says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from accounts.caller import Caller
from accounts.models import User
from accounts.permissions import Level
from channels import access
from channels.models import Channel, Generation, SourceLink
from channels.services import record_event
from history.models import EventType

FIELD = "publish_to_more_readers"


def may_mirror(source: Channel, *, owner: User | None, actor: Caller | None) -> bool:
    """Whether a mirror of `owner` may read `source`, as `actor` wants now.

    `actor` is None where nobody acts: a schedule, a worker, a client's download.
    """
    if not access.may_read(owner, None, source):
        return False
    return actor is None or access.may_read(actor.user, actor.token, source)


def may_grant(actor: Caller, source: Channel) -> bool:
    """Whether `actor` may let a mirror publish `source` to more readers than it has."""
    token = actor.token
    return access.can(actor.user, source, Level.MANAGE) and (
        token is None or access.token_reaches(token, source, Level.MANAGE)
    )


def may_pass_on(channel: Channel, source: Channel) -> bool:
    """Whether files of `source` that are not here yet may still come for `channel`."""
    if access.effective_privacy(source) == Channel.Privacy.PUBLIC:
        return True
    links = SourceLink.objects.filter(channel=channel, source=source).select_related("owner__role")
    # One mirror is enough: whichever brings a file, the channel lists the same one.
    return any(may_mirror(source, owner=link.owner, actor=None) for link in links)


@dataclass(frozen=True, slots=True)
class SourceUse:
    """What is to be linked: a mirror of `owner` in `channel` reads `source`."""

    channel: Channel
    source: Channel
    mirror: int
    owner: User | None


def link(use: SourceUse, *, more_readers: bool | None, actor: Caller | None) -> None:
    """Note that a mirror reads a channel; call it in the transaction that saves the mirror.

    `more_readers`: what the form says, None for nothing. ValidationError where the channel has
    more readers than the source, and nobody allows that.
    """
    # Locked, so that of a grant and its withdrawal at once the second sees the first.
    link, new = SourceLink.objects.select_for_update(of=("self",)).get_or_create(
        mirror=use.mirror,
        source=use.source,
        defaults={"channel": use.channel, "owner": use.owner},
    )
    if more_readers and not link.more_readers:
        if actor is None or not may_grant(actor, use.source):
            raise ValidationError({FIELD: _no_grant(use)})
        _set(link, more_readers=True, actor=actor.name)
    # Whoever may save the mirror may withdraw it: that only takes readers away.
    elif more_readers is False and link.more_readers:
        _set(link, more_readers=False, actor=actor.name if actor else "")
    # Not for a link that is there: until somebody decides, it keeps the readers away by itself.
    elif new and not more_readers and _opens(use):
        raise ValidationError({FIELD: _too_open(use)})
    update_restricted(use.channel)


def revoke(link: SourceLink, *, actor: str) -> None:
    """Let the channel have no more readers than the source from now on."""
    with transaction.atomic():
        _set(link, more_readers=False, actor=actor)
        update_restricted(link.channel)


def update_restricted(channel: Channel) -> None:
    """Note whether any link limits the channel's readers."""
    # Copied onto the channel, so that most requests need no look at the links.
    restricted = SourceLink.objects.filter(channel=channel, more_readers=False).exists()
    Channel.objects.filter(pk=channel.pk).update(restricted=restricted)
    channel.restricted = restricted
    # Web processes hold answers for readers who may have lost their right to them.
    Generation.rise()


def links_to(source: Channel) -> list[SourceLink]:
    """The links by which other channels list what `source` has, for who manages it."""
    rows = SourceLink.objects.filter(source=source).exclude(channel__deleted_at__isnull=False)
    return list(rows.select_related("channel__parent", "source__parent").order_by("pk"))


def publishing_to_more_readers(mirrors: Iterable[int]) -> set[int]:
    """Which of these mirrors publish a source of this server to more readers than it has."""
    rows = SourceLink.objects.filter(mirror__in=list(mirrors), more_readers=True)
    return set(rows.values_list("mirror", flat=True))


def warnings(source_uses: Iterable[SourceUse]) -> dict[int, str]:
    """What readers of each mirror should know about its source, "" for nothing; by mirror."""
    uses = list(source_uses)
    rows = SourceLink.objects.filter(mirror__in=[use.mirror for use in uses], more_readers=True)
    links = rows.values_list("mirror", "source_id", "granted_by") if uses else ()
    granted = {(mirror, source): by for mirror, source, by in links}
    kinds: dict[int, str] = {}
    texts: dict[int, str] = {}
    for use in uses:
        source = use.source
        # Once for each source: its privacy may depend on further sources, each of which is a query.
        if source.pk not in kinds:
            kinds[source.pk] = access.effective_privacy(source)
        by = granted.get((use.mirror, source.pk))
        texts[use.mirror] = _warning(use, kinds[source.pk], by)
    return texts


def _warning(use: SourceUse, kind: str, granted_by: str | None) -> str:
    """`kind`: the privacy of the source; `granted_by`: who allows more readers, None = nobody."""
    if not access.is_more_open(access.declared_privacy(use.channel), kind):
        return ""
    if granted_by is not None:
        return (
            f"The source {use.source.path} is {kind}; {granted_by} allows "
            f"{use.channel.path} to publish it to more readers."
        )
    return (
        f"The source {use.source.path} is {kind}, so only those who may read it get the channel "
        f"{use.channel.path}."
    )


def _opens(use: SourceUse) -> bool:
    """Whether the channel, by its own setting, has more readers than the source."""
    return access.is_more_open(
        access.declared_privacy(use.channel), access.effective_privacy(use.source)
    )


def _set(link: SourceLink, *, more_readers: bool, actor: str) -> None:
    link.more_readers = more_readers
    link.granted_by = actor if more_readers else ""
    link.granted_at = timezone.now() if more_readers else None
    link.save(update_fields=["more_readers", "granted_by", "granted_at"])
    meta = {FIELD: more_readers, "mirrored_by": link.channel.path}
    assert link.source is not None
    # In both histories: it concerns those who manage the source and those who manage the channel.
    for channel in (link.source, link.channel):
        record_event(EventType.CHANNEL_UPDATED, channel, actor, source=link.source.path, **meta)


def _too_open(use: SourceUse) -> str:
    source, channel = use.source, use.channel
    return (
        f"The channel {source.path} is {access.effective_privacy(source)} and {channel.path} is "
        f"{access.declared_privacy(channel)}, so this mirror would show it to more readers. Make "
        f"{channel.path} as strict, or let somebody who manages {source.path} tick “Publish to "
        f"more readers” ({FIELD})."
    )


def _no_grant(use: SourceUse) -> str:
    return (
        f"Only who manages the channel {use.source.path} may publish it to more readers than it "
        "has."
    )
