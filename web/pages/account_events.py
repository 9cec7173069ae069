"""Records in the audit log what people change of accounts and roles on pages."""

from __future__ import annotations

from collections.abc import Mapping

from django.http import HttpRequest

from accounts import audit
from accounts.models import Role, SecurityEventType, User
from web.pages.guards import user_of


def record_change(
    event: SecurityEventType,
    request: HttpRequest,
    subject: User | Role,
    before: dict[str, str] | None = None,
    after: Mapping[str, str | int] | None = None,
) -> None:
    """A change of an account or role, by whoever sent the request, for the audit log."""
    audit.record(
        event,
        request=request,
        actor=user_of(request),
        subject=subject,
        before=before,
        after=after,
    )
