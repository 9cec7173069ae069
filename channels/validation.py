"""Checks of what people enter for a channel: its name, its description, its privacy.

Every problem is a ValidationError that names its field; `Problems` raises all of a form together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.exceptions import ValidationError

from channels import access
from channels.models import Channel
from ecosystems import registry

NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
RESERVED = frozenset(
    (
        # First parts of other addresses, which would hide a channel of that name.
        *("t", "channels", "account", "namespaces", "namespace-channels"),
        *("simple", "cran", "src", "bin", "noarch"),
        # The tabs of a channel's page: a subchannel has an address of the same form.
        *("packages", "subchannels", "mirrors", "cves", "history", "revisions", "settings"),
    )
)
LONGEST_DESCRIPTION = 10_000


class Problems:
    """Collects what is wrong with each field, so that people are told of all of it at once.

    `with problems.collected():` around the check of one field; `raise_any` when all are checked.
    """

    def __init__(self) -> None:
        self._by_field: dict[str, list[ValidationError]] = {}

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Remember the ValidationError that this block raises, and go on behind it."""
        try:
            yield
        except ValidationError as error:
            error.update_error_dict(self._by_field)

    def raise_any(self) -> None:
        """Raise one ValidationError that names every field with a problem."""
        if self._by_field:
            raise ValidationError(self._by_field)


def is_reserved(name: str) -> bool:
    """Whether no channel may have this name: a section's, a page's, a route's."""
    return name in RESERVED or name in registry.root_names()


def check_name(name: str) -> None:
    """Raise ValidationError unless a channel may be called so."""
    if not NAME.fullmatch(name):
        raise ValidationError(
            {
                "name": "A channel's name begins with a small letter and goes on with small "
                "letters, digits, - and _, at most 64 in all."
            }
        )
    if is_reserved(name):
        raise ValidationError(
            {"name": f"{name} has a meaning of its own in addresses; choose another name."}
        )


def check_parent(parent: Channel | None) -> None:
    """Raise ValidationError where a new channel cannot be a subchannel of `parent`."""
    if parent and parent.parent_id:
        raise ValidationError({"name": "A subchannel cannot have subchannels."})


def check_description(text: str) -> None:
    """Raise ValidationError for a description that is too long."""
    if len(text) > LONGEST_DESCRIPTION:
        raise ValidationError(
            {"description": f"A description has at most {LONGEST_DESCRIPTION:,} characters."}
        )


def checked_privacy(privacy: str, parent: Channel | None) -> str:
    """The privacy that a channel gets; where none is asked for, its parent's or the default.

    ValidationError for one that is none, or that is more open than the parent's.
    """
    if not privacy:
        return parent.privacy if parent else Channel.Privacy.AUTHENTICATED
    if privacy not in Channel.Privacy.values:
        raise ValidationError({"privacy": "A channel is public, authenticated or private."})
    if parent and access.is_more_open(privacy, parent.privacy):
        raise ValidationError(
            {"privacy": f"A subchannel cannot be more open than its channel ({parent.privacy})."}
        )
    return privacy
