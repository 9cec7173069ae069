"""Fetches a subdir's index in the first of its forms that can be had.

Rule: a form that is denied, broken or a web page is no reason to do without another; only what
all of them say is the upstream's word. Where the compressed form is older, the newest counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

from ecosystems.base import BadIndex, Progress, Raw, Seen, Stop, Unchanged
from ecosystems.conda.channel import INDEX_NAMES, section_url
from ecosystems.upstream import Client, NotFound, NotModified, UpstreamError, open_decoded
from ecosystems.upstream.decode import Encoding

PLAIN = "repodata.json"
PACKED = "repodata.json.zst"
LAG = timedelta(minutes=10)
"""The forms of one index are not written in one moment."""

ENCODINGS: dict[str, Encoding] = dict(INDEX_NAMES)


def fetch(
    client: Client,
    base_url: str,
    section: str,
    *,
    seen: Seen | None,
    work: Path,
    stop: Stop,
    progress: Progress,
) -> Raw | Unchanged | None:
    """The index as it came; None where the upstream has none.

    Raises what the plain form says where no form can be had.
    """
    errors: dict[str, UpstreamError | BadIndex] = {}
    for name in ENCODINGS:
        url = section_url(base_url, section, name)
        known = seen if seen is not None and seen.address == url else None
        try:
            found = _one(client, url, work / f"{section}-{name}", known, stop, progress)
        except (UpstreamError, BadIndex) as error:
            # What may not be fetched, a refused certificate: no form would do better.
            if isinstance(error, UpstreamError) and error.permanent and not error.status:
                raise
            errors[name] = error
        else:
            why = _stale(client, url, found, known, stop) if name == PACKED else ""
            newer = _newer(client, url, section, seen, work, stop, progress) if why else None
            if isinstance(newer, Raw):
                newer.notes.append(why)
            return newer or found
    plain = errors[PLAIN]
    last = seen.address.rpartition("/")[2] if seen is not None else PLAIN
    if isinstance(plain, NotFound) and not isinstance(errors.get(last, plain), NotFound):
        raise errors[last]
    if isinstance(plain, NotFound):
        return None
    raise plain


def others(client: Client, raw: Raw, section: str, work: Path, stop: Stop) -> Iterator[Raw]:
    """The further forms of an index that turned out to be broken, as far as they can be had."""
    folder, _, used = raw.address.rpartition("/")
    for name in ENCODINGS:
        if name != used:
            with suppress(UpstreamError, BadIndex):
                path = work / f"{section}-other-{name}"
                found = _one(client, f"{folder}/{name}", path, None, stop, lambda _d, _t: None)
                assert isinstance(found, Raw)
                yield found


def _one(
    client: Client, url: str, path: Path, known: Seen | None, stop: Stop, progress: Progress
) -> Raw | Unchanged:
    try:
        answer = client.fetch_index(
            url,
            path,
            etag=known.etag if known else None,
            last_modified=known.last_modified if known else None,
            stop=stop,
            progress=progress,
        )
        if isinstance(answer, NotModified):
            path.unlink(missing_ok=True)
            return Unchanged()
        _look(path, encoding(url), cap=client.limits.index_cap)
    except (UpstreamError, BadIndex):
        path.unlink(missing_ok=True)
        raise
    return Raw(url, path, answer.sha256, answer.etag, answer.last_modified)


def encoding(address: str) -> Encoding:
    """How a form is encoded, by the last part of its address."""
    return ENCODINGS.get(address.rpartition("/")[2], "identity")


def _look(path: Path, how: Encoding, *, cap: int) -> None:
    """Raise BadIndex for a compressed form whose frame is broken or holds something else."""
    if how != "identity":
        for block in open_decoded(path, how, cap=cap):
            if block.strip():
                if not block.lstrip().startswith(b"{"):
                    raise BadIndex("What was received is not an index: it does not begin with `{`.")
                return


def _stale(client: Client, url: str, found: Raw | Unchanged, known: Seen | None, stop: Stop) -> str:
    """Whether the plain form is newer than the packed one, as a sentence; "" if not."""
    packed = found.last_modified if isinstance(found, Raw) else known.last_modified if known else ""
    before = _moment(packed)
    if before is None:
        return ""
    try:
        plain = client.peek(url.removesuffix(".zst"), most=1, stop=stop).last_modified
    except UpstreamError:
        return ""
    after = _moment(plain)
    if after is None or after - before <= LAG:
        return ""
    return f"{PACKED} of the upstream is from {packed} and {PLAIN} from {plain}: {PLAIN} is used."


def _newer(
    client: Client,
    url: str,
    section: str,
    seen: Seen | None,
    work: Path,
    stop: Stop,
    progress: Progress,
) -> Raw | Unchanged | None:
    """The plain form in place of an older packed one; None where it cannot be had."""
    plain = url.removesuffix(".zst")
    known = seen if seen is not None and seen.address == plain else None
    with suppress(UpstreamError, BadIndex):
        found = _one(client, plain, work / f"{section}-{PLAIN}", known, stop, progress)
        (work / f"{section}-{PACKED}").unlink(missing_ok=True)
        return found
    return None


def _moment(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
