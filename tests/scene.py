"""A stage for tests of mirrors: a user, a channel, mirrors of a fake upstream, workers by hand."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import zstandard

from accounts.first_start import ensure_admin
from accounts.models import User
from channels import blobs
from channels import services as channel_manage
from channels.models import Blob, Channel, Document
from mirrors import run_control, services
from mirrors.models import Mirror, Run
from publishing import publish as rebuild
from runs import execute


def admin() -> User:
    """The administrator, made at the first call."""
    ensure_admin("correct horse battery")
    return User.objects.get(username="admin")


def channel(name: str = "main", **fields: Any) -> Channel:
    """A public channel of the administrator's."""
    return channel_manage.create(name, admin(), privacy="public", **fields)


def mirror(channel: Channel, source: str, name: str = "", **body: Any) -> Mirror:
    """A saved mirror of `source`; `body` as in the API."""
    count = Mirror.objects.count()
    return services.create(
        channel,
        {"mirror_name": name or f"mirror-{channel.name}-{count}", "source_root": source, **body},
        owner=admin(),
    )


def run_now(mirror: Mirror, *, cause: str = "manual") -> Run:
    """A whole run, in this process."""
    request = run_control.request_run(mirror, cause=cause, actor="admin")
    execute.execute(request.pk, interrupted=lambda: False)
    request.refresh_from_db()
    return request


def publish(channel: Channel) -> None:
    """What the dispatcher would have a worker do."""
    while rebuild.wants(channel):
        assert rebuild.publish(channel, stop=lambda: None)
    channel.refresh_from_db()


def document(channel: Channel, section: str, name: str) -> bytes:
    """An index file of the current revision, as clients get it."""
    channel.refresh_from_db()
    row = Document.objects.at(channel.current).get(channel=channel, section=section, name=name)
    stored = blobs.path(row.blob_id).read_bytes()
    return zstandard.decompress(stored) if row.packed else stored


def stored(content: bytes) -> Blob:
    """`content` as a blob that nothing needs."""
    temp = blobs.temporary_path("test")
    temp.write_bytes(content)
    return blobs.store(temp, hashlib.sha256(content).hexdigest())


def listed(channel: Channel, section: str = "noarch") -> dict[str, Any]:
    """The records of a section as the channel's repodata.json lists them."""
    index = json.loads(document(channel, section, "repodata.json"))
    return {**index["packages"], **index["packages.conda"]}


def filtered(counts: dict[str, Any]) -> int:
    """How many files were left out, for whatever reason."""
    return sum(counts["mirror_filtered"].values()) + sum(counts["channel_filtered"].values())
