"""Downloads of long lists as CSV or JSON, sent row by row while they are read."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence

from django.http import Http404, StreamingHttpResponse

# CSV injection, as OWASP calls it: an export holds names that strangers chose.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet would take a cell for a formula by."""
CONTENT_TYPES = {"csv": "text/csv; charset=utf-8", "json": "application/json; charset=utf-8"}


class _Echo:
    """A file whose writes are given back, so that rows are sent as they are made."""

    def write(self, text: str) -> str:
        return text


def check_format(name: str) -> None:
    """404 for a format that nothing is exported in."""
    if name not in CONTENT_TYPES:
        raise Http404("Lists can be exported as csv or json.")


def download(chunks: Iterable[str], file_format: str, filename: str) -> StreamingHttpResponse:
    """The response of an export; `filename` is without its ending."""
    response = StreamingHttpResponse(chunks, content_type=CONTENT_TYPES[file_format])
    response["Content-Disposition"] = f'attachment; filename="{filename}.{file_format}"'
    # An export holds what only its user may see.
    response["Cache-Control"] = "no-store"
    return response


def csv_lines(columns: Sequence[str], rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """A table with its head (RFC 4180); no cell is a formula."""
    writer = csv.writer(_Echo())
    yield writer.writerow(columns)
    for row in rows:
        # Numbers stay numbers: a negative one begins with “-” and is no formula.
        yield writer.writerow([value if isinstance(value, int) else cell(value) for value in row])


def json_lines(items: Iterable[object], *, ascii_only: bool = False) -> Iterator[str]:
    """One array with an item on each line, for people and `grep`.

    `ascii_only` is for texts of upstreams: they may hold half a surrogate pair, which UTF-8 lacks.
    """
    separator = "[\n"
    for item in items:
        yield separator + json.dumps(item, ensure_ascii=ascii_only)
        separator = ",\n"
    yield "[]\n" if separator == "[\n" else "\n]\n"


def cell(value: object) -> str:
    """A text that no spreadsheet takes for a formula."""
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA) else text
