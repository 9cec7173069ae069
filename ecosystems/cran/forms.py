"""The forms of an index of R: fetched one after the other until one can be read."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path

from ecosystems.base import BadIndex, Progress, Raw, Seen, Stop, Unchanged
from ecosystems.cran import layout, rds
from ecosystems.upstream import Client, NotFound, NotModified, UpstreamError, open_decoded
from ecosystems.upstream.decode import encoding_of

FORMS = (f"{layout.INDEX}.gz", layout.INDEX, f"{layout.INDEX}.rds")
"""What to ask an upstream for, in this order: R takes any of them."""
RDS = ".rds"

INDEX_CAP = 256 << 20
"""Decoded bytes; the main CRAN's index has 15 MB."""


def fetch(
    client: Client,
    folder: str,
    work: Path,
    *,
    seen: Seen | None,
    stop: Stop,
    progress: Progress,
    only: Collection[str] = (),
) -> Raw | Unchanged | None:
    """The first form that can be had and read; None where there is none of any.

    Raises what the first of the others was refused with. `only`: ask for these forms alone.
    """
    refused: UpstreamError | BadIndex | None = None
    for name in [form for form in FORMS if not only or form in only]:
        if name.endswith(RDS) and not (refused or only or folder.endswith(layout.SOURCE)):
            # Most of the folders with binaries that are looked for do not exist.
            break
        url = f"{folder}/{name}"
        known = seen if seen is not None and seen.address == url else None
        path = work / f"{hashlib.sha256(folder.encode()).hexdigest()[:16]}-{name}"
        try:
            answer = client.fetch_index(
                url,
                path,
                etag=known.etag if known else None,
                last_modified=known.last_modified if known else None,
                stop=stop,
                progress=progress,
                cap=INDEX_CAP,
            )
            if isinstance(answer, NotModified):
                path.unlink(missing_ok=True)
                return Unchanged()
            _check(path, name)
        except NotFound:
            path.unlink(missing_ok=True)
        except (UpstreamError, BadIndex) as error:
            path.unlink(missing_ok=True)
            # Whoever does not answer at all has no other form either.
            if isinstance(error, UpstreamError) and not error.status and not error.permanent:
                raise
            refused = refused or error
        else:
            return Raw(url, path, answer.sha256, answer.etag, answer.last_modified)
    if refused is not None:
        raise refused
    return None


def blocks(raw: Raw) -> Iterator[bytes]:
    """The index as text, whatever form it came in."""
    encoding = encoding_of(raw.path)
    if not raw.address.endswith(RDS):
        return open_decoded(raw.path, encoding, cap=INDEX_CAP)
    data = b"".join(open_decoded(raw.path, encoding, cap=INDEX_CAP))
    return stanzas(rds.read(data))


def stanzas(matrix: object) -> Iterator[bytes]:
    """The rows of the table in PACKAGES.rds, as PACKAGES has them."""
    columns, values = _columns(matrix)
    rows = len(values) // len(columns) if columns else 0
    if rows * len(columns) != len(values):
        raise BadIndex("PACKAGES.rds is not a table of packages.")
    for row in range(rows):
        lines = []
        for number, column in enumerate(columns):
            value = values[number * rows + row]
            if isinstance(value, bytes):
                lines.append(column + b": " + value.replace(b"\n", b"\n  ") + b"\n")
        yield b"".join([*lines, b"\n"])


def _columns(matrix: object) -> tuple[list[bytes], list[object]]:
    if isinstance(matrix, rds.Vector):
        names = matrix.attributes.get(b"dimnames")
        if isinstance(names, rds.Vector) and len(names.values) == 2:
            columns = names.values[1]
            if isinstance(columns, rds.Vector):
                found = [one for one in columns.values if isinstance(one, bytes)]
                if len(found) == len(columns.values):
                    return found, matrix.values
    raise BadIndex("PACKAGES.rds is not a table of packages.")


def _check(path: Path, name: str) -> None:
    """Read the whole form once, so that one that is damaged gives way to the next."""
    for _ in open_decoded(path, encoding_of(path), cap=INDEX_CAP):
        pass
    if name.endswith(RDS):
        data = b"".join(open_decoded(path, encoding_of(path), cap=INDEX_CAP))
        _columns(rds.read(data))
