"""Upstream files that go with a subdir's index and have its shape, opened to be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ecosystems.conda.index import Index
from ecosystems.conda.repodata import read
from ecosystems.errors import BadIndex
from ecosystems.progress import Stop, never_stop
from ecosystems.upstream.decode import Encoding, open_decoded

EXTRA_CAP = 2 << 30

_MAGICS: tuple[tuple[bytes, Encoding], ...] = ((b"\x28\xb5\x2f\xfd", "zst"), (b"BZh", "bz2"))


@contextmanager
def opened(section: str, sources: Sequence[Path], folder: Path) -> Iterator[list[Index]]:
    """The sources in their order; one that cannot be read is passed over."""
    with ExitStack() as stack:
        indexes: list[Index] = []
        for path in sources:
            # They are optional: what one source has wrong must not end a publication.
            with suppress(BadIndex):
                index = reading(path, section, folder, stop=never_stop)
                indexes.append(stack.enter_context(index))
        yield indexes


def reading(path: Path, section: str, work: Path, *, stop: Stop) -> Index:
    """One file as an index, to be closed; raises BadIndex."""
    blocks = open_decoded(path, encoding(path), cap=EXTRA_CAP)
    return read(blocks, subdir=section, work=work, stop=stop)


def encoding(path: Path) -> Encoding:
    """How a file is encoded, by its first bytes."""
    # Not by its name: the file may be stored under the name of another form.
    with path.open("rb") as file:
        head = file.read(4)
    return next((name for magic, name in _MAGICS if head.startswith(magic)), "identity")
