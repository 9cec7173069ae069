"""Ends what lets a user in: browser sessions, API sessions, tokens.

The rule: what is ended here stays ended. Enabling the account again, or going back to an old
password, brings none of it back.
"""

from __future__ import annotations

from dataclasses import dataclass

from allauth.usersessions.models import UserSession
from django.db.models import F

from accounts import sessions
from accounts.models import ApiSession, Token, User


@dataclass(frozen=True)
class Ended:
    """How many of each there were."""

    sessions: int
    tokens: int = 0

    def __str__(self) -> str:
        return (
            f"{_counted(self.sessions, 'session')} ended, {_counted(self.tokens, 'token')} revoked"
        )

    def counts(self) -> dict[str, int]:
        return {"sessions_ended": self.sessions, "tokens_revoked": self.tokens}


def end_everything(user: User) -> Ended:
    """End every session of a user and revoke every token, for good.

    Raises the version that all sessions carry, so that those end too that no list knows. Call it
    before `user` is saved: that would write the old version back.
    """
    ended = sessions.end(UserSession.objects.filter(user=user))
    ended += _all(ApiSession.objects.filter(user=user))
    revoked = _all(Token.objects.filter(user=user))
    User.objects.filter(pk=user.pk).update(session_version=F("session_version") + 1)
    user.refresh_from_db(fields=["session_version"])
    return Ended(ended, revoked)


def end_others(user: User, current: str | None) -> Ended:
    """End every session of a user but the browser session with the key `current`."""
    ended = sessions.end(UserSession.objects.filter(user=user).exclude(session_key=current or ""))
    return Ended(ended + _all(ApiSession.objects.filter(user=user)))


def _all(rows: object) -> int:
    # One by one: their signals tell the web processes to forget whom they know.
    ended = 0
    for row in rows:  # type: ignore[attr-defined]
        row.delete()
        ended += 1
    return ended


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
