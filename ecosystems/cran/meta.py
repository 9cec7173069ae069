"""The upstream's Meta folder: sizes and times of current files, and the archive's table.

Rule: what cannot be had or read now stays as it was last read; only 404 and 410 say that
there is none. It changes without PACKAGES: an archive's table is often written hours later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import msgspec

from ecosystems.cran import contents, layout, packages
from ecosystems.cran.contents import FileFacts
from ecosystems.errors import BadIndex
from ecosystems.indexes import FetchContext
from ecosystems.pack import Pack
from ecosystems.upstream import (
    NotFound,
    NotModified,
    UpstreamError,
    open_decoded,
    optional,
)
from ecosystems.upstream.decode import encoding_of

META_CAP = 192 << 20
"""Decoded bytes; the main CRAN's archive's table has about 50 MB."""

_READERS: dict[str, Callable[[FileFacts, bytes], None]] = {
    layout.META_CURRENT: contents.add_current,
    layout.META_ARCHIVE: contents.add_archive,
}
STORED = "meta"
"""The key of a pack's meta data under which the validators stand."""


class State(StrEnum):
    """What an upstream says of one file of the folder."""

    NEW = "new"
    SAME = "same"
    NONE = "none"
    KEPT = "kept"
    """It cannot be had now."""


@dataclass(slots=True)
class Meta:
    """What came of the folder. `validators`: ETag, Last-Modified and SHA-256 of each file."""

    states: dict[str, State] = field(default_factory=dict)
    validators: dict[str, list[str]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def identity(self) -> str:
        """Equal for equal content."""
        return "".join(f"\0{name}:{tags[2]}" for name, tags in sorted(self.validators.items()))


def validators(pack: Path | None) -> dict[str, list[str]]:
    """The validators that the last pack was read with."""
    if pack is None:
        return {}
    with Pack(pack) as opened:
        return msgspec.convert(opened.meta.get(STORED, {}), dict[str, list[str]])


def fetch(
    base_url: str, context: FetchContext, *, before: dict[str, list[str]], conditional: bool
) -> Meta:
    """Fetch the folder's files; with `conditional` only those that have changed."""
    meta = Meta()
    for name in _READERS:
        tags = before.get(name, ["", "", ""])
        path = _path(context.folder, name)
        try:
            answer = optional.fetch(
                context.client,
                f"{base_url}/{name}",
                path,
                etag=tags[0] if conditional else "",
                last_modified=tags[1] if conditional else "",
                stop=context.stop,
                cap=META_CAP,
            )
        except NotFound:
            meta.states[name] = State.NONE
        except (UpstreamError, BadIndex) as error:
            meta.states[name] = State.KEPT
            meta.warnings.append(_missed(name, error, tags))
            meta.validators[name] = tags
        else:
            # Servers without validators send the same bytes again.
            same = isinstance(answer, NotModified) or (conditional and answer.sha256 == tags[2])
            meta.states[name] = State.SAME if same else State.NEW
            meta.validators[name] = tags
            if not isinstance(answer, NotModified):
                meta.validators[name] = [answer.etag, answer.last_modified, answer.sha256]
        if meta.states[name] is not State.NEW:
            path.unlink(missing_ok=True)
    return meta


def changed(meta: Meta, before: dict[str, list[str]]) -> bool:
    """Whether there is anything to be read that the last reading did not have."""
    # A file that is gone changes the sizes and times of what it described.
    gone = any(state is State.NONE and name in before for name, state in meta.states.items())
    return gone or State.NEW in meta.states.values()


def read(
    parts: dict[str, str],
    folder: Path,
    *,
    old: Pack | None,
    facts: FileFacts,
    validators: dict[str, list[str]],
) -> list[str]:
    """Fill `facts` from what was fetched, else from what the last pack had; the warnings.

    What cannot be read loses its `validators`: the next run asks for all of it again.
    """
    warnings: list[str] = []
    for name, take in _READERS.items():
        path = _path(folder, name)
        if parts.get(name) == State.KEPT:
            _recall(name, old, facts)
        if parts.get(name) != State.NEW:
            continue
        fresh = FileFacts()
        try:
            take(fresh, b"".join(open_decoded(path, encoding_of(path), cap=META_CAP)))
            facts.files.update(fresh.files)
            facts.odd += fresh.odd
        except BadIndex as error:
            recalled = _recall(name, old, facts)
            # Without tags it is asked for unconditionally; its hash stays a part of the identity.
            validators[name] = ["", "", validators[name][2]]
            stays = "; what it said before stays" if recalled else ""
            warnings.append(f"{name} of the upstream is passed over{stays}: {error}")
        finally:
            path.unlink(missing_ok=True)
    return warnings


def _recall(name: str, old: Pack | None, facts: FileFacts) -> int:
    """What the last pack knows of the archived files, or of the current ones."""
    count = 0
    for package in old.names() if old is not None else ():
        assert old is not None
        for raw in packages.entries(old.read(package)).values():
            head = packages.head(raw)
            if head.archived == (name == layout.META_ARCHIVE):
                known_facts = head.size >= 0 or head.time is not None
                if head.archived or known_facts:
                    facts.files.setdefault(head.place, (head.size, head.time))
                    count += 1
    return count


def _missed(name: str, error: UpstreamError | BadIndex, tags: list[str]) -> str:
    effect = "what it said before stays" if tags[2] else "nothing is known of what it says"
    return f"{name} of the upstream cannot be had now, so {effect}: {error}"


def _path(folder: Path, name: str) -> Path:
    return folder / name.replace("/", "-")
