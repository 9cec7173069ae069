"""Records what happens to tokens, for pages and API: in the audit log, and in the history."""

from __future__ import annotations

from collections.abc import Mapping

from django.http import HttpRequest

from accounts import audit
from accounts.models import SecurityEventType, Token, User
from history.models import EventType, record


def record_token_event(
    event: EventType,
    token: Token,
    request: HttpRequest,
    *,
    actor: User | None = None,
    rotated_from: Mapping[str, object] | None = None,
) -> None:
    """A token is made, rotated or revoked; call it in the transaction of that change."""
    recorded_actor = actor or token.user
    record(
        event,
        actor=recorded_actor.get_username(),
        data={"token": token.name, "token_id": token.pk},
        meta={
            "scopes": token.scopes,
            "resources": token.resources,
            **({"rotated": True} if rotated_from else {}),
        },
    )
    settings = {
        "scopes": token.scopes,
        "resources": token.resources,
        "expires": str(token.expires),
        "prefix": token.prefix,
    }
    # A rotation changes the row in place: the audit log shows its settings before and after.
    revoked = event == EventType.TOKEN_REVOKED
    kind = SecurityEventType.TOKEN_CREATED
    if revoked or rotated_from:
        kind = SecurityEventType.TOKEN_REVOKED if revoked else SecurityEventType.TOKEN_ROTATED
    audit.record(
        kind,
        request=request,
        actor=recorded_actor,
        subject=token,
        before=settings if revoked else rotated_from,
        after=None if revoked else settings,
    )
