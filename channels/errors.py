"""Errors that views turn into answers."""

from __future__ import annotations


class WrongState(Exception):
    """The object is not in a state in which this can be done (409)."""

    def __init__(self, message: str, *, run_id: int | None = None) -> None:
        super().__init__(message)
        self.run_id = run_id


class Stale(Exception):
    """The object was changed since the caller read it (412)."""

    def __init__(self) -> None:
        super().__init__(
            "Someone else changed this since you read it. Read it again, then repeat your change."
        )


class Missing(Exception):
    """There is no such thing; `str()` is the sentence for the client.

    `lasting`: false where time alone may change it.
    """

    def __init__(self, detail: str, *, lasting: bool = True, status: int = 404) -> None:
        super().__init__(detail)
        self.lasting = lasting
        self.status = status


class Refused(Missing):
    """Rules refuse every file of a package; `reason` says which one and why."""

    def __init__(self, detail: str, *, reason: str) -> None:
        super().__init__(detail, lasting=False)
        self.reason = reason


class Interrupted(Exception):
    """The work ends here because somebody asked for it, not because it went wrong."""


class NoSpace(Exception):
    """The disk has no room for what is to be written."""
