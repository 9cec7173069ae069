"""One measured step of the mirror bench, in a process of its own.

    python -m bench.step setup SOURCE [FILTERS] | run | edit SPEC

The last line printed is JSON: the run's counts and how many rows there are.
"""

from __future__ import annotations

import json
import os
import sys
import time

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mirrorserver.settings")
django.setup()

from django.core.management import call_command  # noqa: E402

from accounts.firststart import ensure_admin  # noqa: E402
from accounts.models import User  # noqa: E402
from bench.limit import cpu_seconds  # noqa: E402
from channels import manage as channel_manage  # noqa: E402
from channels.models import Blob, Document, Package, Revision, Shard  # noqa: E402
from history.models import Event  # noqa: E402
from mirrors import control, manage, rebuild  # noqa: E402
from mirrors import run as running  # noqa: E402
from mirrors.models import Mirror  # noqa: E402


def setup(source: str, filters: str = '{"subdirs": ["linux-64"]}') -> None:
    """A database with one channel and one passive mirror of `source`."""
    call_command("migrate", verbosity=0)
    ensure_admin("bench bench bench")
    admin = User.objects.get(username="admin")
    channel = channel_manage.create("bench", admin, privacy="public")
    body = {"mirror_name": "bench", "source_root": source, "filters": json.loads(filters)}
    manage.create(channel, body, owner=admin)


def run() -> None:
    """A whole run."""
    mirror = Mirror.objects.get()
    request = control.request_run(mirror, cause="manual", actor="bench")
    running.execute(request.pk, interrupted=lambda: False)
    request.refresh_from_db()
    if request.state != "completed":
        raise SystemExit(f"the run {request.state}: {request.error}")


def edit(*specs: str) -> None:
    """Exclude specs, and publish the channel as the dispatcher would."""
    mirror = Mirror.objects.get()
    filters = {"subdirs": ["linux-64"], "exclude_specs": list(specs)}
    manage.edit(mirror, {"filters": filters}, actor="bench")
    while rebuild.wants(mirror.channel):
        rebuild.publish(mirror.channel, stop=lambda: None)


def rows() -> dict[str, int]:
    """How many rows of each kind there are."""
    artifacts = Event.objects.filter(type__startswith="artifact")
    return {
        "shards": Shard.objects.count(),
        "packages": Package.objects.count(),
        "revisions": Revision.objects.count(),
        "documents": Document.objects.count(),
        "blobs": Blob.objects.count(),
        "artifact_events": artifacts.count(),
    }


def main() -> None:
    verb, *args = sys.argv[1:]
    began, wall = cpu_seconds(), time.monotonic()
    {"setup": setup, "run": run, "edit": edit}[verb](*args)
    cost = {"cpu": cpu_seconds() - began, "wall": time.monotonic() - wall}
    print(json.dumps({**cost, "start": began, "rows": rows()}))


if __name__ == "__main__":
    main()
