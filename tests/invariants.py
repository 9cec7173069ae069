"""What must hold whatever went wrong: I1-I8, asked of the store, the database and the answers.

    seen = invariants.served(channel)       # I8: before a fault
    ...
    invariants.check(channel)               # at the end of every fault test
    assert invariants.served(channel) == seen

Clients' answers come through the WSGI application, as the web server gets them.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
import zstandard
from django.apps import apps
from django.conf import settings

from accounts import jwt
from accounts.models import User
from channels import access, blobs
from channels.lease import LivenessMonitor
from channels.listed_from import entry_of
from channels.models import Blob, Channel, Document, Package, Publication
from delivery import download_counts
from ecosystems import registry
from ecosystems.pack import Pack
from ecosystems.records import Record
from history.models import Event
from mirrors.models import Mirror, Run, Snapshot
from mirrorserver import environment
from publishing import judge
from tests import indexes
from tests.indexes import Listed
from tests.wsgi import Answer, Client, application

FINAL = ("completed", "failed", "stopped")
ENDS = ("mirror_completed", "mirror_failed", "mirror_stopped")
ZSTD = b"\x28\xb5\x2f\xfd"


def check(
    channel: Channel | None = None,
    *,
    canary: str = "",
    text: str = "",
    fetch: bool = False,
) -> None:
    """Assert every invariant of `channel`, or of all channels.

    `canary`: a secret that must be nowhere, also not in `text` (logs, output). `fetch`: the
    upstream is up, so what is listed and not here is fetched too.
    """
    channels = [channel] if channel else list(Channel.objects.alive())
    answers: list[Answer] = []
    stored()
    for one in channels:
        one.refresh_from_db()
        listed(one, answers, fetch=fetch)
        unpublished(one, answers)
    running()
    for run in Run.objects.select_related("mirror"):
        told(run)
    # Otherwise a thread would want to write them while no database may be asked.
    download_counts.flush()
    if canary:
        secret(canary, answers, text=text)


def served(channel: Channel) -> dict[str, bytes]:
    """Every index document and page that clients of the channel get now, by its address (I8)."""
    channel.refresh_from_db()
    client = _client()
    found = {}
    for section in _sections(channel):
        family, names = registry.of_section(section).family, set(_named(channel, section))
        for path, headers in indexes.documents(family, section, names):
            answer = client.get(f"{_base(channel)}/{path}", **headers)
            missing = answer.status == 404 and "/Meta/" in path
            assert missing or answer.status == 200, (path, answer)
            if not missing:
                found[" ".join([path, *headers.values()])] = answer.body
    return found


def stored() -> None:
    """I1: every blob has the bytes its name and row promise; bytes without a row are whole."""
    for blob in Blob.objects.filter(deleting=False):
        path = blobs.path(blob.sha256)
        assert path.stat().st_size == blob.size, blob
        assert _sha256(path) == blob.sha256
    root = Path(settings.DATA) / "blobs"
    for path in root.rglob("*"):
        if path.is_file():
            assert _sha256(path) == path.name, f"{path} is not whole"


def listed(channel: Channel, answers: list[Answer], *, fetch: bool) -> None:
    """I2 and I4: all forms say the same, and what they list can be had as they say."""
    sections = _sections(channel)
    assert "noarch" in sections, "every channel has noarch"
    client = _client()

    def ask(path: str, **headers: str) -> Answer:
        answers.append(client.get(f"{_base(channel)}/{path}", **headers))
        return answers[-1]

    for section in sections:
        family, rows = registry.of_section(section).family, _named(channel, section)
        files = indexes.read(family, ask, section, set(rows))
        promised = {name: states for row in rows.values() for name, states in row.items()}
        plain = {name for name in files if not name.endswith(".metadata")}
        assert plain == set(promised), f"the forms of {section} list other files than its packages"
        for name, file in files.items():
            state = promised[name.removesuffix(".metadata")]
            _fetchable(client, f"{_base(channel)}/{file.path}", file, state, answers, fetch=fetch)


def unpublished(channel: Channel, answers: list[Answer]) -> None:
    """I3: nothing that no publication lists is served."""
    client = _client()
    shown: set[str] = set()
    ahead: set[str] = set()
    rows = Package.objects.filter(channel=channel, shard__isnull=False).select_related("shard")
    for row in rows:
        where = shown if row.added_in <= channel.current else ahead
        where.update(_paths(row))
    ahead.update(_upstream_files(channel))
    for path in sorted(ahead - shown):
        answer = client.head(f"{_base(channel)}/{path}")
        answers.append(answer)
        assert answer.status == 404, f"{path} is served though nothing lists it"


def running() -> None:
    """I5: one run a mirror that is not final, and none whose owner is dead."""
    for mirror in Mirror.objects.all():
        assert mirror.runs.exclude(state__in=FINAL).count() <= 1, mirror
    watch = LivenessMonitor()
    for run in Run.objects.filter(state__in=("running", "stopping")):
        assert not watch.is_dead(run), f"{run} has a dead owner"
    for publication in Publication.objects.filter(state="running"):
        assert not watch.is_dead(publication), f"{publication} has a dead owner"


def told(run: Run) -> None:
    """I6: one start, one end, and counters that add up."""
    events = Event.objects.filter(run_id=run.pk)
    starts, ends = (
        events.filter(type="mirror_started").count(),
        events.filter(type__in=ENDS).count(),
    )
    assert starts == (1 if run.started_at else 0), f"{run} started {starts} times"
    assert ends == (1 if run.state in FINAL else 0), f"{run} ended {ends} times"
    if run.state != "completed":
        return
    counts = run.counts
    left_out = sum(counts["mirror_filtered"].values()) + sum(counts["channel_filtered"].values())
    total = counts["active"] + counts["passive"] + counts["failed"] + left_out
    assert total == counts["listed"], f"{run}: {counts}"


def secret(canary: str, answers: list[Answer], *, text: str) -> None:
    """I7: the canary is in no answer, row, line, file, Redis key, message or command line."""
    assert not leaks(canary, text.encode()), "the canary is in the output"
    for answer in answers:
        assert not leaks(canary, answer.body)
        assert not leaks(canary, repr(answer.headers).encode())
    for folder in (Path(settings.DATA), environment.load().data / "broker"):
        for path in folder.rglob("*"):
            assert not path.is_file() or not leaks(canary, path.read_bytes()), path
    for places in (dump(), redis_dump(), processes(by_environment=canary in os.environ.values())):
        for where, value in places:
            assert not leaks(canary, _bytes(value)), f"the canary is in {where}"


def leaks(canary: str, data: bytes) -> bool:
    """Whether the canary stands in `data`: as it is, in base64 (messages, logins), or packed."""
    if data.startswith(ZSTD):
        with suppress(zstandard.ZstdError):
            data += zstandard.ZstdDecompressor().stream_reader(data).readall()
    return any(form in data for form in _forms(canary))


@functools.cache
def _forms(canary: str) -> tuple[bytes, ...]:
    """The canary, and what base64 makes of it at each of the three places it can begin at."""
    raw = canary.encode()
    found = [raw]
    for shift in range(3):
        # The first and last characters depend on the neighbors: they are cut off.
        packed = base64.b64encode(b"\0" * shift + raw).rstrip(b"=")
        found.append(packed[(shift * 8 + 5) // 6 : -1])
    return tuple(found)


def redis_dump() -> Iterator[tuple[str, Any]]:
    """Every key and value in Redis: cache, messages and results."""
    url = environment.load().redis_url
    if url is None:
        return
    with redis.Redis.from_url(url) as server:
        read: dict[bytes, Callable[[bytes], Any]] = {
            b"string": server.get,
            b"list": lambda key: server.lrange(key, 0, -1),
            b"set": server.smembers,
            b"hash": server.hgetall,
            b"zset": lambda key: server.zrange(key, 0, -1, withscores=True),
            b"none": lambda _: None,  # It has expired since.
        }
        for key in server.scan_iter(count=1000):
            yield "the name of a Redis key", key
            yield f"the Redis key {key!r}", read[server.type(key)](key)


def processes(*, by_environment: bool = False) -> Iterator[tuple[str, bytes]]:
    """Command line and environment of this process and all it has started.

    `by_environment`: the secret came in this process's own environment, which only its owner may
    read; then the environments are left out.
    """
    kinds = ("cmdline",) if by_environment else ("cmdline", "environ")
    for pid in _family():
        for kind in kinds:
            with suppress(OSError):
                yield f"the {kind} of process {pid}", Path(f"/proc/{pid}/{kind}").read_bytes()


def _family() -> set[int]:
    """This process and its descendants."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # "pid (name) state parent": a name can hold anything, brackets too.
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def _bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else repr(value).encode()


def dump() -> Iterator[tuple[str, Any]]:
    """Every value in the database, with the column it is in."""
    for model in apps.get_models():
        names = [field.attname for field in model._meta.concrete_fields]
        for row in model._default_manager.values_list(*names):
            for name, value in zip(names, row, strict=True):
                yield f"{model._meta.label}.{name}", value


@dataclass(frozen=True)
class State:
    """What the rows say of a listed file."""

    here: bool
    active: bool
    """A mirror that downloads what it lists brought it."""


def _fetchable(
    client: Client,
    path: str,
    file: Listed,
    state: State,
    answers: list[Answer],
    *,
    fetch: bool,
) -> None:
    head = client.head(path)
    answers.append(head)
    assert head.status == 200, (path, head.status)
    if file.size >= 0:
        assert int(head.headers["Content-Length"]) == file.size, path
    assert state.here or not state.active, f"{path} is listed as active and not here"
    if state.here or fetch:
        answer = client.get(path)
        assert answer.status == 200, (path, answer.body)
        assert file.promised(answer.body), f"{path} has other bytes than its index says"


def _sections(channel: Channel) -> list[str]:
    rows = Document.objects.at(channel.current).filter(channel=channel).exclude(section="")
    return sorted(set(rows.values_list("section", flat=True)))


def _named(channel: Channel, section: str) -> dict[str, dict[str, State]]:
    """The files that the rows of the current revision list, by package."""
    active = set(Mirror.objects.filter(channel=channel, mode="active").values_list("pk", flat=True))
    audience = access.audience(channel)
    rows = Package.objects.at(channel.current).filter(channel=channel, section=section)
    found: dict[str, dict[str, State]] = {}
    for row in rows.filter(shard__isnull=False).select_related("shard"):
        states = found[row.name] = {}
        for record in _records(row):
            entry = entry_of(row.sources, record.filename)
            assert entry is not None, f"{row} does not say where {record.filename} comes from"
            here = judge.present_digests([(entry.file_source_id, record)], audience)
            complete = judge.is_present(record, here)
            states[record.filename] = State(complete, entry.mirror_id in active)
    return found


def _records(row: Package) -> list[Record]:
    assert row.shard is not None
    body = zstandard.decompress(bytes(row.shard.body))
    found = registry.of_section(row.section).records(body, section=row.section, name=row.name)
    return [one for one in found if isinstance(one, Record)]


def _paths(row: Package) -> Iterator[str]:
    """Where clients would ask for a row's files."""
    ecosystem = registry.of_section(row.section)
    for record in _records(row):
        yield ecosystem.file_path(row.section, row.name, record.filename)


def _upstream_files(channel: Channel) -> Iterator[str]:
    """Where clients would ask for all that the channel's mirrors have ever been told of."""
    for snapshot in Snapshot.objects.filter(upstream__mirror__channel=channel).distinct():
        stored = blobs.path(snapshot.pack_id)
        if not stored.exists():
            continue
        ecosystem = registry.of_section(snapshot.section)
        pack = Pack(stored)
        for name in pack.names():
            for record in ecosystem.records(pack.read(name), section=snapshot.section, name=name):
                if isinstance(record, Record):
                    yield ecosystem.file_path(snapshot.section, name, record.filename)


def _client() -> Client:
    admin = User.objects.filter(username="admin").first()
    if admin is None:
        return Client(application)
    return Client(application, {"authorization": f"Bearer {jwt.issue(admin)[0]}"})


def _base(channel: Channel) -> str:
    return f"/api/repo/{channel.path}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
