"""Django's sessions in the database, which tell a busy database from a session that is gone."""

from __future__ import annotations

from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.db import OperationalError


class SessionStore(DatabaseStore):
    """Django's own answers 400 ("deleted") where the database was only locked."""

    def save(self, must_create: bool = False) -> None:
        """Write it; `OperationalError` where the database does not take it now."""
        try:
            super().save(must_create)
        except UpdateError as error:
            if isinstance(error.__context__, OperationalError):
                raise error.__context__ from None
            raise
