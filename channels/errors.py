"""Errors that views turn into answers."""

from __future__ import annotations


class WrongState(Exception):
    """The object is not in a state in which this can be done (409)."""

    def __init__(self, message: str, *, run_id: int | None = None) -> None:
        super().__init__(message)
        self.run_id = run_id


class Interrupted(Exception):
    """The work ends here because somebody asked for it, not because it went wrong."""


class NoSpace(Exception):
    """The disk has no room for what is to be written."""
