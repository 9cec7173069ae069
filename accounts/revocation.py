"""Ends what lets a user in: browser sessions, API sessions, tokens.

The rule: what is ended here stays ended. Enabling the account again, or going back to an old
password, brings none of it back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from allauth.usersessions.models import UserSession
from django.db.models import F

from accounts import sessions
from accounts.models import ApiSession, Token, User


@dataclass(frozen=True)
class Revocation:
    """How many of each there were."""

    sessions: int
    tokens: int = 0

    def __str__(self) -> str:
        sessions_ended = f"{_quantity(self.sessions, 'session')} ended"
        return f"{sessions_ended}, {_quantity(self.tokens, 'token')} revoked"

    def counts(self) -> dict[str, int]:
        """The same for the audit log."""
        return {"sessions_ended": self.sessions, "tokens_revoked": self.tokens}


def end_everything(user: User) -> Revocation:
    """End every session of a user and revoke every token, for good.

    Raises the version that all sessions carry, so that those end too that no list knows. Call it
    before `user` is saved: that would write the old version back.
    """
    ended = sessions.end(UserSession.objects.filter(user=user))
    ended += _delete_each(ApiSession.objects.filter(user=user))
    revoked = _delete_each(Token.objects.filter(user=user))
    User.objects.filter(pk=user.pk).update(session_version=F("session_version") + 1)
    user.refresh_from_db(fields=["session_version"])
    return Revocation(ended, revoked)


def end_others(user: User, current: str | None) -> Revocation:
    """End every session of a user but the browser session with the key `current`."""
    ended = sessions.end(UserSession.objects.filter(user=user).exclude(session_key=current or ""))
    return Revocation(ended + _delete_each(ApiSession.objects.filter(user=user)))


def _delete_each(rows: Iterable[ApiSession | Token]) -> int:
    # Not `_raw_delete`: the signal of each row tells the web processes to forget whom they know.
    ended = 0
    for row in rows:
        row.delete()
        ended += 1
    return ended


def _quantity(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
