"""Fetches a subdir's index in the first of its forms that can be had.

Rule: a form that is denied, broken or a web page is no reason to do without another; only what
all of them say is the upstream's word. Where the compressed form is older, the newest counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

from ecosystems.conda.channel import INDEX_NAMES, section_url
from ecosystems.errors import BadIndex
from ecosystems.indexes import FetchContext, FetchedIndex, IndexNotModified, PreviousIndex
from ecosystems.progress import no_progress
from ecosystems.upstream import NotFound, NotModified, UpstreamError, open_decoded
from ecosystems.upstream.decode import Encoding

PLAIN = "repodata.json"
PACKED = "repodata.json.zst"
LAG = timedelta(minutes=10)
"""The forms of one index are not written in one moment."""

ENCODINGS: dict[str, Encoding] = dict(INDEX_NAMES)


def fetch(
    base_url: str, section: str, context: FetchContext
) -> FetchedIndex | IndexNotModified | None:
    """The index as it came; None where the upstream has none.

    Raises what the plain form says where no form can be had.
    """
    errors: dict[str, UpstreamError | BadIndex] = {}
    for name in ENCODINGS:
        url = section_url(base_url, section, name)
        try:
            index = _fetch_form(url, context.folder / f"{section}-{name}", context)
        except (UpstreamError, BadIndex) as error:
            # What may not be fetched, a refused certificate: no form would do better.
            if isinstance(error, UpstreamError) and error.permanent and not error.status:
                raise
            errors[name] = error
        else:
            return _newest_form(url, section, index, context) if name == PACKED else index
    _raise_failure(errors, context.previous)
    return None


def _raise_failure(
    errors: dict[str, UpstreamError | BadIndex], previous: PreviousIndex | None
) -> None:
    """Raise why no form can be had, unless the upstream says that it has none."""
    plain = errors[PLAIN]
    if not isinstance(plain, NotFound):
        raise plain
    # An upstream that never had the plain form says 404 for it; the form that it had decides.
    last_name = _file_name(previous.address) if previous is not None else PLAIN
    last_error = errors.get(last_name, plain)
    if not isinstance(last_error, NotFound):
        raise last_error


def other_forms(
    fetched: FetchedIndex, section: str, context: FetchContext
) -> Iterator[FetchedIndex]:
    """The further forms of an index that turned out to be broken, as far as they can be had."""
    # Unconditionally: an unchanged form that was not read last is no help.
    context = replace(context, previous=None, progress=no_progress)
    folder, _, used = fetched.address.rpartition("/")
    for name in ENCODINGS:
        if name != used:
            with suppress(UpstreamError, BadIndex):
                path = context.folder / f"{section}-other-{name}"
                form = _fetch_form(f"{folder}/{name}", path, context)
                if isinstance(form, FetchedIndex):
                    yield form


def _fetch_form(url: str, path: Path, context: FetchContext) -> FetchedIndex | IndexNotModified:
    previous = _previous(url, context)
    try:
        answer = context.client.fetch_index(
            url,
            path,
            etag=previous.etag if previous else None,
            last_modified=previous.last_modified if previous else None,
            stop=context.stop,
            progress=context.progress,
        )
        if isinstance(answer, NotModified):
            path.unlink(missing_ok=True)
            return IndexNotModified()
        _check_beginning(path, encoding(url), cap=context.client.limits.index_cap)
    except (UpstreamError, BadIndex):
        path.unlink(missing_ok=True)
        raise
    return FetchedIndex(url, path, answer.sha256, answer.etag, answer.last_modified)


def _previous(url: str, context: FetchContext) -> PreviousIndex | None:
    """What was read last, if it was this form: validators belong to one address."""
    previous = context.previous
    return previous if previous is not None and previous.address == url else None


def encoding(address: str) -> Encoding:
    """How a form is encoded, by the last part of its address."""
    return ENCODINGS.get(_file_name(address), "identity")


def _file_name(address: str) -> str:
    return address.rpartition("/")[2]


def _check_beginning(path: Path, file_encoding: Encoding, *, cap: int) -> None:
    """Raise BadIndex for a compressed form whose frame is broken or holds something else."""
    if file_encoding != "identity":
        for block in open_decoded(path, file_encoding, cap=cap):
            if block.strip():
                if not block.lstrip().startswith(b"{"):
                    raise BadIndex("What was received is not an index: it does not begin with `{`.")
                return


def _newest_form(
    url: str, section: str, packed: FetchedIndex | IndexNotModified, context: FetchContext
) -> FetchedIndex | IndexNotModified:
    """The packed form at `url`, or the plain one where that is newer and can be had."""
    reason = _stale(url, packed, context)
    if not reason:
        return packed
    with suppress(UpstreamError, BadIndex):
        path = context.folder / f"{section}-{PLAIN}"
        plain = _fetch_form(url.removesuffix(".zst"), path, context)
        (context.folder / f"{section}-{PACKED}").unlink(missing_ok=True)
        if isinstance(plain, FetchedIndex):
            plain.notes.append(reason)
        return plain
    return packed


def _stale(url: str, packed: FetchedIndex | IndexNotModified, context: FetchContext) -> str:
    """Whether the plain form is newer than the packed one, as a sentence; "" if not."""
    if isinstance(packed, FetchedIndex):
        packed_modified = packed.last_modified
    else:
        previous = _previous(url, context)
        packed_modified = previous.last_modified if previous else ""
    return older_than_plain(url, packed_modified, context)


def older_than_plain(url: str, modified: str, context: FetchContext) -> str:
    """Whether a form of the date `modified` is much older than the plain one, as a sentence."""
    time = parsed_date(modified)
    if time is None:
        return ""
    folder, _, name = url.rpartition("/")
    try:
        # One byte: only the date is of interest.
        peek = context.client.peek(f"{folder}/{PLAIN}", most=1, stop=context.stop)
    except UpstreamError:
        return ""
    plain_time = parsed_date(peek.last_modified)
    if plain_time is None or plain_time - time <= LAG:
        return ""
    return (
        f"{name} of the upstream is from {modified} and {PLAIN} from {peek.last_modified}: "
        f"{PLAIN} is used."
    )


def parsed_date(text: str) -> datetime | None:
    """An HTTP date; None for what is none."""
    try:
        return parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
