"""An error of this server's own code, in words for people.

The rule: people never read a `repr`, which may hold paths, statements and secrets. They read an id
that the log has, too, with all of it.
"""

from __future__ import annotations

import logging
import secrets

from channels.errors import NoSpace
from ecosystems.errors import EcosystemError

log = logging.getLogger(__name__)

EXPLAINED = (EcosystemError, NoSpace, OSError)
"""Errors whose own text is for people: of an upstream, of its index, of the disk."""
_BEGINS = "Internal error "


def report(error: BaseException, job: str) -> str:
    """The text for people, with the error's id; written to the log once, whoever asks again.

    `job`: what the error ended, like "run 7".
    """
    notes = [note for note in getattr(error, "__notes__", ()) if note.startswith(_BEGINS)]
    if notes:
        return str(notes[0])
    text = f"{_BEGINS}{secrets.token_hex(4)}. An administrator finds it in the log of the server."
    log.error("%s ended %s", text.partition(".")[0], job, exc_info=error)
    # On the error itself: who reports it again further up gives the same id.
    error.add_note(text)
    return text
