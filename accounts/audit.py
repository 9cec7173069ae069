"""The audit log: who did what to which account, role, token or session, from where, when.

The rule: it names, it never holds a secret; and its growth is bounded, by the retention time and
because what strangers can cause is counted once a minute, not once a request.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone

from accounts import client_ip, limits
from accounts.limits import Rate
from accounts.models import ApiSession, Role, SecurityEvent, SecurityEventType, Token, User

MAX_NAME = 200
MAX_DETAIL = 300
REFUSAL_RATE = Rate(1, 60)
"""Of one person at one address of the server; the rest of that minute says nothing new."""

Subject = User | Role | Token | ApiSession


def record(
    event: SecurityEventType,
    *,
    request: HttpRequest | None = None,
    actor: User | str = "",
    subject: Subject | None = None,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
    detail: str = "",
) -> SecurityEvent:
    """Write one line; inside the transaction of the change where there is one.

    Only what differs between `before` and `after` is kept of both.
    """
    old, new = dict(before or {}), dict(after or {})
    unchanged = {key for key in old if key in new and old[key] == new[key]}
    actor_name = actor.get_username() if isinstance(actor, User) else actor
    object_type, object_id, object_name = _describe(subject)
    return SecurityEvent.objects.create(
        type=event,
        actor=_one_line(actor_name, MAX_NAME),
        actor_id=actor.pk if isinstance(actor, User) else None,
        address=client_ip.of_client(request)[:64] if request is not None else "",
        object_type=object_type,
        object_id=object_id,
        object_name=_one_line(object_name, MAX_NAME),
        before={key: value for key, value in old.items() if key not in unchanged},
        after={key: value for key, value in new.items() if key not in unchanged},
        detail=_one_line(detail, MAX_DETAIL),
    )


def record_refusal(request: HttpRequest, actor: User | None, detail: str) -> None:
    """Somebody was signed in and not allowed; the route is named without its values."""
    if actor is None:
        return
    match = request.resolver_match
    # With the values, every address would be a line of its own: a scanner could fill the log.
    route = f"{request.method} /{match.route}" if match else f"{request.method}"
    key = f"{actor.pk} {client_ip.of_client(request)} {route}"
    if not limits.hit("refused-noted", key, REFUSAL_RATE).over:
        record(SecurityEventType.REFUSED, request=request, actor=actor, detail=f"{route}: {detail}")


def signed_in_before(user: User, address: str) -> bool:
    """Whether this account has signed in from this address within the last 30 days."""
    since = timezone.now() - timedelta(days=30)
    rows = SecurityEvent.objects.filter(
        actor_id=user.pk, type=SecurityEventType.SIGNED_IN, address=address
    )
    return rows.filter(created_at__gte=since).exists()


def retire() -> int:
    """Delete what is older than the retention time or beyond the largest number of rows."""
    oldest = timezone.now() - timedelta(days=settings.AUDIT_DAYS)
    deleted = SecurityEvent.objects.filter(created_at__lt=oldest).retire()
    newest = SecurityEvent.objects.order_by("-pk").values_list("pk", flat=True)
    # By number, not by time: a clock that was set back would keep the wrong ones.
    last_kept = newest[settings.AUDIT_ROWS - 1 : settings.AUDIT_ROWS].first()
    if last_kept is not None:
        deleted += SecurityEvent.objects.filter(pk__lt=last_kept).retire()
    return deleted


def _describe(subject: Subject | None) -> tuple[str, int | None, str]:
    if subject is None:
        return "", None, ""
    kinds = {User: "user", Role: "role", Token: "token", ApiSession: "session"}
    kind = next(word for model, word in kinds.items() if isinstance(subject, model))
    return kind, subject.pk, subject.name if isinstance(subject, Token) else str(subject)


def _one_line(text: str, longest: int) -> str:
    """A text that every database takes, in one line."""
    # PostgreSQL takes no NUL, UTF-8 no lone surrogates, and a line break could fake another line.
    clean = "".join(
        " " if char < " " else "�" if "\ud800" <= char <= "\udfff" else char for char in text
    )
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"
