"""The forms of an index of R: fetched one after the other until one can be read."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path

from ecosystems.cran import layout, rds
from ecosystems.errors import BadIndex
from ecosystems.indexes import FetchContext, FetchedIndex, IndexNotModified
from ecosystems.upstream import NotFound, NotModified, UpstreamError, open_decoded
from ecosystems.upstream.decode import encoding_of

FORMS = (f"{layout.INDEX}.gz", layout.INDEX, f"{layout.INDEX}.rds")
"""What to ask an upstream for, in this order: R takes any of them."""
RDS = ".rds"

INDEX_CAP = 256 << 20
"""Decoded bytes; the main CRAN's index has 15 MB."""


def fetch(
    folder_url: str, context: FetchContext, *, only: Collection[str] = ()
) -> FetchedIndex | IndexNotModified | None:
    """The first form that can be had and read; None where there is none of any.

    Raises what the first of the others was refused with. `only`: ask for these forms alone.
    """
    refusal: UpstreamError | BadIndex | None = None
    for name in [form for form in FORMS if not only or form in only]:
        is_source = folder_url.endswith(layout.SOURCE)
        if name.endswith(RDS) and not (refusal or only or is_source):
            # Most of the folders with binaries that are looked for do not exist.
            break
        try:
            return _fetch_form(folder_url, name, context)
        except NotFound:
            continue
        except (UpstreamError, BadIndex) as error:
            if _is_silent(error):
                raise
            refusal = refusal or error
    if refusal is not None:
        raise refusal
    return None


def _is_silent(error: UpstreamError | BadIndex) -> bool:
    """A server that does not answer at all has no other form either."""
    return isinstance(error, UpstreamError) and not error.status and not error.permanent


def _fetch_form(
    folder_url: str, name: str, context: FetchContext
) -> FetchedIndex | IndexNotModified:
    url = f"{folder_url}/{name}"
    # Validators belong to one address.
    previous = context.previous
    previous = previous if previous is not None and previous.address == url else None
    # The file of every folder has this name, and all come into one folder here.
    folder_digest = hashlib.sha256(folder_url.encode()).hexdigest()[:16]
    path = context.folder / f"{folder_digest}-{name}"
    try:
        answer = context.client.fetch_index(
            url,
            path,
            etag=previous.etag if previous else None,
            last_modified=previous.last_modified if previous else None,
            stop=context.stop,
            progress=context.progress,
            cap=INDEX_CAP,
        )
        if isinstance(answer, NotModified):
            path.unlink(missing_ok=True)
            return IndexNotModified()
        _check(path, name)
    except (UpstreamError, BadIndex):
        path.unlink(missing_ok=True)
        raise
    return FetchedIndex(url, path, answer.sha256, answer.etag, answer.last_modified)


def blocks(index: FetchedIndex) -> Iterator[bytes]:
    """The index as text, whatever form it came in."""
    encoding = encoding_of(index.path)
    if not index.address.endswith(RDS):
        return open_decoded(index.path, encoding, cap=INDEX_CAP)
    # A table in columns: no row is whole before the last column is read.
    data = b"".join(open_decoded(index.path, encoding, cap=INDEX_CAP))
    return stanzas(rds.read(data))


def stanzas(matrix: object) -> Iterator[bytes]:
    """The rows of the table in PACKAGES.rds, as PACKAGES has them."""
    columns, values = _columns(matrix)
    rows = len(values) // len(columns) if columns else 0
    if rows * len(columns) != len(values):
        raise BadIndex("PACKAGES.rds is not a table of packages.")
    for row in range(rows):
        lines = []
        # R stores a matrix column by column.
        for number, column in enumerate(columns):
            value = values[number * rows + row]
            if isinstance(value, bytes):
                # The lines of a value that go on begin with white space, as in PACKAGES.
                lines.append(column + b": " + value.replace(b"\n", b"\n  ") + b"\n")
        yield b"".join([*lines, b"\n"])


def _columns(matrix: object) -> tuple[list[bytes], list[object]]:
    if isinstance(matrix, rds.Vector):
        names = matrix.attributes.get(b"dimnames")
        if isinstance(names, rds.Vector) and len(names.values) == 2:
            columns = names.values[1]
            if isinstance(columns, rds.Vector):
                texts = [name for name in columns.values if isinstance(name, bytes)]
                if len(texts) == len(columns.values):
                    return texts, matrix.values
    raise BadIndex("PACKAGES.rds is not a table of packages.")


def _check(path: Path, name: str) -> None:
    """Read the whole form once, so that one that is damaged gives way to the next."""
    for _ in open_decoded(path, encoding_of(path), cap=INDEX_CAP):
        pass
    if name.endswith(RDS):
        data = b"".join(open_decoded(path, encoding_of(path), cap=INDEX_CAP))
        _columns(rds.read(data))
