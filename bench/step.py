"""One measured step of the mirror bench, in a process of its own.

    python -m bench.step setup SOURCE [FILTERS [TYPE]] | run | edit SPEC | files COUNT FOLDER
    python -m bench.step import FILE | index | score THRESHOLD | advisory FILE | curate ID NAME

The last line printed is JSON: the run's counts and how many rows there are.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mirrorserver.settings")
# Before the imports below: models need Django's apps to be ready.
django.setup()

from django.core.management import call_command  # noqa: E402
from django.db.models import Sum  # noqa: E402

from accounts.first_start import ensure_admin  # noqa: E402
from accounts.models import User  # noqa: E402
from advisories import curation, importing  # noqa: E402
from bench.limit import cpu_seconds  # noqa: E402
from channels import blobs  # noqa: E402
from channels import services as channel_manage  # noqa: E402
from channels.lease import Heartbeat  # noqa: E402
from channels.models import (  # noqa: E402
    Blob,
    Channel,
    Document,
    Package,
    Publication,
    Revision,
    Shard,
)
from channels.package_rows import Listing  # noqa: E402
from channels.revision_builder import RevisionBuilder  # noqa: E402
from ecosystems import registry  # noqa: E402
from ecosystems.base import Ecosystem  # noqa: E402
from history.models import Event  # noqa: E402
from mirrors import run_control, services  # noqa: E402
from mirrors.models import Mirror  # noqa: E402
from publishing import advisory_changes, advisory_index, publish  # noqa: E402
from runs import execute as running  # noqa: E402

FURTHER_NAMES = 60_000
ANSWER: dict[str, str] = {}
"""What a step answers in addition to its cost."""


def setup(source: str, filters: str = '{"subdirs": ["linux-64"]}', kind: str = "conda") -> None:
    """A database with one channel and one passive mirror of `source`."""
    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    ensure_admin("bench bench bench")
    admin = User.objects.get(username="admin")
    channel = channel_manage.create("bench", admin, privacy="public")
    body = {
        "mirror_name": "bench",
        "mirror_type": kind,
        "source_root": source,
        "filters": json.loads(filters),
    }
    services.create(channel, body, owner=admin)


def run() -> None:
    """A whole run."""
    mirror = Mirror.objects.get()
    request = run_control.request_run(mirror, cause="manual", actor="bench")
    # In this process, so that its cost is measured and not that of a worker.
    running.execute(request.pk, interrupted=lambda: False)
    request.refresh_from_db()
    if request.state != "completed":
        raise SystemExit(f"the run {request.state}: {request.error}")


def edit(*specs: str) -> None:
    """Exclude specs, and publish the channel as the dispatcher would."""
    mirror = Mirror.objects.get()
    filters = {**mirror.filter.terms, "exclude_specs": list(specs)}
    services.edit(mirror, {"filters": filters}, actor="bench")
    _publish()


def import_file(path: str) -> None:
    """Import advisory data of any kind."""
    ANSWER["result"] = str(importing.import_file(Path(path)))


def index() -> None:
    """Note which advisories are about what the channel lists, for its pages."""
    advisory_index.update(Channel.objects.get())


def score(threshold: str) -> None:
    """Exclude files with advisories above a score: all are judged again."""
    filters = {"cve_score_threshold": float(threshold)}
    channel_manage.edit(Channel.objects.get(), {"filters": filters}, actor="bench")
    _publish()


def advisory(path: str) -> None:
    """Import a record, and publish what it changes."""
    import_file(path)
    _publish_changes()


def curate(advisory: str, name: str) -> None:
    """Clear an advisory for a package of the channel, and publish what that changes."""
    curation.curate(curation.Decision(advisory, "conda", name, "cleared"), author="bench")
    _publish_changes()


def _publish_changes() -> None:
    if not advisory_changes.request():
        raise SystemExit("no channel is to be published")
    _publish()


def _publish() -> None:
    """Publish the channel as a worker would."""
    channel = Channel.objects.get()
    while publish.wants(channel):
        publish.publish(channel, stop=lambda: None)
    channel.refresh_from_db()
    listed = Package.objects.at(channel.current).filter(channel=channel)
    ANSWER["files"] = f"{listed.aggregate(files=Sum('files'))['files']:,} files listed"


def files(count: str, plain: str) -> None:
    """A channel of `count` stored files of 50 kB; the same bytes in the folder `plain`."""
    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    ensure_admin("bench bench bench")
    admin = User.objects.get(username="admin")
    channel = channel_manage.create("bench", admin, privacy="public")
    conda = registry.get("conda")
    folder = Path(plain)
    folder.mkdir()
    listed = [_file(folder, f"pkg{number}", number, conda) for number in range(int(count))]
    channel.request_publication()
    publication = Publication.objects.create(channel=channel, state="running", requested_version=1)
    build = RevisionBuilder(publication, Heartbeat(publication), stop=lambda: None)
    build.section(conda, "noarch", listed, whole=True)
    build.documents.write(conda, "noarch", {})
    build.commit({}, reason="bench")
    _fill(channel)
    index = Document.objects.at(channel.current).get(name="repodata.json.zst")
    (folder / index.name).write_bytes(blobs.path(index.blob_id).read_bytes())
    ANSWER["etag"] = index.etag


def _fill(channel: Channel) -> None:
    """As many further names as a large channel has, which nobody asks for."""
    channel.refresh_from_db()
    template = Package.objects.filter(channel=channel, section="noarch").first()
    assert template is not None
    # They share one shard: only the names count for a miss.
    Package.objects.bulk_create(
        (
            Package(
                channel=channel, family=template.family, section=template.section,
                name=f"other{number}", shard_id=template.shard_id, files=1,
                added_in=channel.current,
            )
            for number in range(FURTHER_NAMES)
        ),
        batch_size=1000,
    )  # fmt: skip


def _file(folder: Path, name: str, seed: int, conda: Ecosystem) -> Listing:
    # Random, so that no layer gains by compression.
    content = random.Random(seed).randbytes(50_000)
    sha256 = hashlib.sha256(content).hexdigest()
    filename = f"{name}-1.0-0.conda"
    record = {"build": "0", "build_number": 0, "depends": [], "name": name, "version": "1.0"}
    record |= {"sha256": sha256, "size": len(content), "subdir": "noarch"}
    (folder / filename).write_bytes(content)
    temporary = blobs.temporary_path("bench")
    temporary.write_bytes(content)
    blobs.store(
        temporary, sha256, file=True, audiences=[blobs.Audience(0, Channel.Privacy.PUBLIC.openness)]
    )
    body = conda.build([(filename, json.dumps(record).encode())], [])
    return Listing(name, body, [filename], len(content), present=1)


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


VERBS: dict[str, Callable[..., None]] = {
    "setup": setup,
    "run": run,
    "edit": edit,
    "files": files,
    "import": import_file,
    "index": index,
    "score": score,
    "advisory": advisory,
    "curate": curate,
}


def main() -> None:
    verb, *args = sys.argv[1:]
    # Python's start and Django's setup are over: `start` has them, `cpu` does not.
    began, wall = cpu_seconds(), time.monotonic()
    VERBS[verb](*args)
    cost = {"cpu": cpu_seconds() - began, "wall": time.monotonic() - wall}
    print(json.dumps({**cost, **ANSWER, "start": began, "rows": rows()}))


if __name__ == "__main__":
    main()
