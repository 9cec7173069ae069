"""What must hold whatever went wrong: I1-I8, asked of the store, the database and the answers.

    seen = invariants.served(channel)       # I8: before a fault
    ...
    invariants.check(channel)               # at the end of every fault test
    assert invariants.served(channel) == seen

Clients' answers come through the WSGI application, as the web server gets them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import zstandard
from django.apps import apps
from django.conf import settings

from accounts import jwt
from accounts.models import User
from channels import access, blobs, downloads
from channels.lease import Watch
from channels.models import Blob, Channel, Document, Package, Publication
from ecosystems.base import Record
from ecosystems.conda.ecosystem import Conda
from ecosystems.pack import Pack
from history.models import Event
from mirrors.models import Mirror, Run, Snapshot
from mirrorserver import environment
from tests.wsgi import Answer, Client, application

FORMS = ("repodata.json", "repodata.json.zst", "repodata_shards.msgpack.zst")
FINAL = ("completed", "failed", "stopped")
ENDS = ("mirror_completed", "mirror_failed", "mirror_stopped")
CONDA = Conda()


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
        indexes(one, answers, fetch=fetch)
        unpublished(one, answers)
    running()
    for run in Run.objects.select_related("mirror"):
        told(run)
    # Otherwise a thread would want to write them while no database may be asked.
    downloads.flush()
    if canary:
        secret(canary, answers, text=text)


def served(channel: Channel) -> dict[str, bytes]:
    """Every index document that clients of the channel get now, by its path (I8)."""
    channel.refresh_from_db()
    client = _client()
    found = {}
    for row in Document.objects.at(channel.current).filter(channel=channel):
        path = "/".join(part for part in (_base(channel), row.section, row.name) if part)
        answer = client.get(path)
        assert answer.status == 200, (path, answer)
        found[path] = answer.body
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


def indexes(channel: Channel, answers: list[Answer], *, fetch: bool) -> None:
    """I2 and I4: all forms say the same, and what they list can be had as they say."""
    client = _client()
    sections = set(
        Document.objects.at(channel.current)
        .filter(channel=channel)
        .exclude(section="")
        .values_list("section", flat=True)
    )
    assert "noarch" in sections, "every channel has noarch"
    for section in sorted(sections):
        base = f"{_base(channel)}/{section}"
        plain, packed, sharded = (client.get(f"{base}/{form}") for form in FORMS)
        answers += [plain, packed, sharded]
        assert (plain.status, packed.status, sharded.status) == (200, 200, 200), base
        assert zstandard.ZstdDecompressor().decompress(packed.body) == plain.body
        index = json.loads(plain.body)
        assert "base_url" not in index["info"]
        listed = {**index["packages"], **index["packages.conda"]}
        assert _from_shards(client, base, sharded.body, answers) == listed
        _fetchable(channel, section, listed, answers, fetch=fetch)


def unpublished(channel: Channel, answers: list[Answer]) -> None:
    """I3: nothing that no publication lists is served."""
    client = _client()
    shown: dict[str, set[str]] = {}
    rows = Package.objects.filter(channel=channel, shard__isnull=False)
    ahead: dict[str, set[str]] = {}
    for row in rows.select_related("shard"):
        assert row.shard is not None
        body = zstandard.ZstdDecompressor().decompress(bytes(row.shard.body))
        where = shown if row.added_in <= channel.current else ahead
        where.setdefault(row.section, set()).update(CONDA.entries(body))
    for section, name in _upstream_files(channel):
        ahead.setdefault(section, set()).add(name)
    for section, names in ahead.items():
        for name in sorted(names - shown.get(section, set())):
            answer = client.head(f"{_base(channel)}/{section}/{name}")
            answers.append(answer)
            assert answer.status == 404, f"{section}/{name} is served though nothing lists it"


def running() -> None:
    """I5: one run a mirror that is not final, and none whose owner is dead."""
    for mirror in Mirror.objects.all():
        assert mirror.runs.exclude(state__in=FINAL).count() <= 1, mirror
    watch = Watch()
    for run in Run.objects.filter(state__in=("running", "stopping")):
        assert not watch.dead(run), f"{run} has a dead owner"
    for publication in Publication.objects.filter(state="running"):
        assert not watch.dead(publication), f"{publication} has a dead owner"


def told(run: Run) -> None:
    """I6: one start, one end, and counters that add up."""
    events = Event.objects.filter(run_id=run.pk)
    starts, ends = (
        events.filter(type="mirror_started").count(),
        events.filter(type__in=ENDS).count(),
    )
    assert starts == (1 if run.started else 0), f"{run} started {starts} times"
    assert ends == (1 if run.state in FINAL else 0), f"{run} ended {ends} times"
    if run.state != "completed":
        return
    counts = run.counts
    left_out = sum(counts["mirror_filtered"].values()) + sum(counts["channel_filtered"].values())
    total = counts["active"] + counts["passive"] + counts["failed"] + left_out
    assert total == counts["listed"], f"{run}: {counts}"


def secret(canary: str, answers: list[Answer], *, text: str) -> None:
    """I7: the canary is in no answer, no row and no line."""
    assert canary not in text
    raw = canary.encode()
    for answer in answers:
        assert raw not in answer.body
        assert canary not in repr(answer.headers)
    for folder in (Path(settings.DATA), environment.load().data / "broker"):
        for path in folder.rglob("*"):
            assert not path.is_file() or raw not in path.read_bytes(), f"the canary is in {path}"
    for where, value in dump():
        found = bytes(value) if isinstance(value, bytes | memoryview) else repr(value).encode()
        assert raw not in found, f"the canary is in {where}"


def dump() -> Iterator[tuple[str, Any]]:
    """Every value in the database, with the column it is in."""
    for model in apps.get_models():
        names = [field.attname for field in model._meta.concrete_fields]
        for row in model._default_manager.values_list(*names):
            for name, value in zip(names, row, strict=True):
                yield f"{model._meta.label}.{name}", value


def _fetchable(
    channel: Channel,
    section: str,
    listed: dict[str, Any],
    answers: list[Answer],
    *,
    fetch: bool,
) -> None:
    client = _client()
    must_be_here = _of_active_mirrors(channel, section)
    for name, record in listed.items():
        path = f"{_base(channel)}/{section}/{name}"
        head = client.head(path)
        answers.append(head)
        assert head.status == 200, (path, head.status)
        assert int(head.headers["Content-Length"]) == record["size"], path
        here = blobs.present([record.get("sha256") or record["md5"]], access.audience(channel))
        assert here or name not in must_be_here, f"{path} is listed as active and not here"
        if here or fetch:
            answer = client.get(path)
            assert answer.status == 200, (path, answer.body)
            assert hashlib.sha256(answer.body).hexdigest() == record["sha256"], path
        elif not here:
            assert must_be_here is not None
            _has_origin(channel, section, name)


def _of_active_mirrors(channel: Channel, section: str) -> set[str]:
    """The listed files of which a mirror says that they are downloaded."""
    active = set(Mirror.objects.filter(channel=channel, mode="active").values_list("pk", flat=True))
    names: set[str] = set()
    rows = Package.objects.at(channel.current).filter(channel=channel, section=section)
    for row in rows.filter(shard__isnull=False).select_related("shard"):
        assert row.shard is not None
        body = zstandard.ZstdDecompressor().decompress(bytes(row.shard.body))
        everything = set(CONDA.entries(body))
        for _, mirror, files in row.origins:
            if mirror in active:
                names |= everything if files is None else set(files)
    return names


def _has_origin(channel: Channel, section: str, filename: str) -> None:
    row = (
        Package.objects.at(channel.current)
        .filter(channel=channel, section=section, name=CONDA.name_of(filename))
        .get()
    )
    assert any(files is None or filename in files for _, _, files in row.origins), filename


def _from_shards(client: Client, base: str, packed: bytes, answers: list[Answer]) -> dict[str, Any]:
    """All records of the sharded index, in the form of the plain one."""
    index = msgpack.unpackb(zstandard.ZstdDecompressor().decompress(packed))
    found: dict[str, Any] = {}
    for name, digest in index["shards"].items():
        answer = client.get(f"{base}/shards/{digest.hex()}.msgpack.zst")
        answers.append(answer)
        assert answer.status == 200, (base, name)
        assert hashlib.sha256(answer.body).digest() == digest
        shard = msgpack.unpackb(zstandard.ZstdDecompressor().decompress(answer.body))
        for kind in ("packages", "packages.conda"):
            for filename, record in shard[kind].items():
                assert record["name"] == name
                for key in ("sha256", "md5"):
                    if key in record:
                        record[key] = record[key].hex()
                found[filename] = record
    return found


def _upstream_files(channel: Channel) -> Iterator[tuple[str, str]]:
    """(section, file name) of everything that the channel's mirrors have ever been told of."""
    for snapshot in Snapshot.objects.filter(upstream__mirror__channel=channel).distinct():
        path = blobs.path(snapshot.pack_id)
        if not path.exists():
            continue
        pack = Pack(path)
        for name in pack.names():
            records = CONDA.records(pack.read(name), section=snapshot.section, name=name)
            for record in records:
                if isinstance(record, Record):
                    yield snapshot.section, record.filename


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
