"""Every page of a large server, in this process: `python -m bench.views` (from bench.pages).

Prints a line a page: the median time at the server and the number of queries.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mirrorserver.settings")
# Before the imports below: models need Django's apps to be ready.
django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402
from django.utils import timezone  # noqa: E402

from accounts.first_start import ensure_admin  # noqa: E402
from accounts.models import User  # noqa: E402
from bench import goals  # noqa: E402
from channels import services as channel_manage  # noqa: E402
from channels.lease import Heartbeat  # noqa: E402
from channels.models import Channel, Publication  # noqa: E402
from channels.package_rows import Listing  # noqa: E402
from channels.revision_builder import RevisionBuilder  # noqa: E402
from ecosystems import registry  # noqa: E402
from filters.models import Filter  # noqa: E402
from filters.rules import normalized  # noqa: E402
from history.models import Event, EventType  # noqa: E402
from mirrors.models import Mirror, Run, Upstream  # noqa: E402

MIRRORS, CHANNELS, PACKAGES, EVENTS, RUNS = 1_000, 50, 50_000, 1_000_000, 10
TIMES = 7
GOAL = 200


def fill() -> Channel:
    """The large server; the channel with everything in it."""
    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    Path(settings.STATIC_ROOT).mkdir()
    ensure_admin("bench bench bench")
    admin = User.objects.get(username="admin")
    channels = [channel_manage.create(f"channel-{n:03}", admin) for n in range(CHANNELS)]
    _packages(channels[0])
    _mirrors(channels, admin)
    _events(channels)
    channels[0].refresh_from_db()
    return channels[0]


def _packages(channel: Channel) -> None:
    conda = registry.get("conda")
    channel.request_publication()
    publication = Publication.objects.create(channel=channel, state="running", requested_version=1)
    build = RevisionBuilder(publication, Heartbeat(publication), stop=lambda: None)

    def listings() -> Iterator[Listing]:
        for number in range(PACKAGES):
            name = f"package-{number:05}"
            filename = f"{name}-1.{number % 9}-0.conda"
            record = (
                f'{{"build":"0","build_number":0,"depends":[],"license":"MIT","name":"{name}",'
                f'"sha256":"{number:064x}","size":{1000 + number},"subdir":"noarch",'
                f'"timestamp":1700000000000,"version":"1.{number % 9}"}}'
            )
            body = conda.build([(filename, record.encode())], [])
            yield Listing(name, body, [filename], 1000 + number)

    build.section(conda, "noarch", listings(), whole=True)
    build.documents.write(conda, "noarch", {})
    build.commit({}, reason="bench")


def _mirrors(channels: list[Channel], owner: User) -> None:
    terms = normalized({})
    now = timezone.now()
    with transaction.atomic():
        for number in range(MIRRORS):
            upstream = Upstream.objects.create(
                kind="conda", url=f"https://upstream.test/{number}", key=f"{number:064x}"
            )
            mirror = Mirror.objects.create(
                # One channel has half of all: its pages are the slowest.
                channel=channels[0 if number < MIRRORS // 2 else number % CHANNELS],
                name=f"mirror-{number:04}",
                upstream=upstream,
                owner=owner,
                filter=Filter.objects.create(terms=terms),
                cron_timezone="UTC",
                last_run_at=now,
                last_success_at=now,
                next_run_at=now + timedelta(days=1),
            )
            Run.objects.bulk_create(
                Run(
                    mirror=mirror,
                    number=run + 1,
                    state="completed",
                    started_at=now,
                    ended_at=now,
                    step=8,
                    percent=100,
                    filters=terms,
                    counts={"active": 0, "passive": 10, "failed": 0, "removed": 0, "listed": 10},
                )
                for run in range(RUNS)
            )


def _events(channels: list[Channel]) -> None:
    types = list(EventType)

    def events() -> Iterator[Event]:
        for number in range(EVENTS):
            kind = types[number % len(types)]
            yield Event(
                type=kind,
                actor="admin" if number % 3 else "schedule",
                family="conda" if kind.startswith("artifact") else "",
                channel_id=channels[0 if number % 2 else number % CHANNELS].pk,
                data={"mirror": "mirror-0000", "name": f"package-{number % PACKAGES:05}"},
                meta={"files": []},
            )

    rows = events()
    # A million rows at once would fill the memory.
    while batch := list(islice(rows, 20_000)):
        Event.objects.bulk_create(batch, batch_size=2_000)


def pages(channel: Channel) -> list[str]:
    """The addresses that are measured."""
    root = f"/channels/{channel.name}/"
    mirror = Mirror.objects.filter(channel=channel).first()
    assert mirror is not None
    event = Event.objects.filter(channel_id=channel.pk).order_by("pk")[1000]
    return [
        "/",
        "/channels/",
        root,
        f"{root}packages/",
        f"{root}packages/?q=package-04&page=3",
        f"{root}packages/conda/package-00042/",
        f"{root}packages/why/?q=package-00042",
        f"{root}mirrors/",
        f"{root}mirrors/?sort=-last_success_at&page=2",
        f"{root}mirrors/create/",
        f"{root}mirrors/{mirror.pk}/edit/",
        f"{root}mirrors/{mirror.pk}/",
        f"{root}mirrors/{mirror.pk}/runs/",
        f"{root}history/",
        f"{root}history/?order=desc&page=100",
        f"{root}history/?type=mirror_held",
        f"{root}history/?actor=schedule",
        f"{root}history/?actor=nobody",
        f"{root}history/?family=conda",
        f"{root}history/{event.pk}/",
        f"{root}revisions/",
        f"{root}settings/",
        "/mirrors/",
        "/mirrors/?q=mirror-09&sort=-name",
        "/mirrors/?page=20",
        "/profile/",
        "/users/",
        "/roles/",
    ]


def measure(client: Client, address: str) -> tuple[float, int, int]:
    """Median milliseconds, queries, status."""
    # Apart from the measured requests, because counting costs time; it also warms the caches.
    with CaptureQueriesContext(connection) as queries:
        status = client.get(address).status_code
    count = len(queries)
    took = []
    for _ in range(TIMES):
        began = time.perf_counter()
        client.get(address)
        took.append(time.perf_counter() - began)
    # The median, because a garbage collection makes one of a few requests slow.
    return statistics.median(took) * 1000, count, status


def main() -> None:
    settings.ALLOWED_HOSTS = ["*"]
    began = time.monotonic()
    channel = fill()
    client = Client()
    client.force_login(User.objects.get(username="admin"))
    print(
        f"{MIRRORS:,} mirrors, {PACKAGES:,} packages in a channel, {EVENTS:,} events"
        f" (made in {time.monotonic() - began:.0f} s)"
    )
    print(f"{'page':58}{'ms':>7}{'queries':>9}")
    slowest = 0.0
    for address in pages(channel):
        took, queries, status = measure(client, address)
        mark = "" if status == 200 and took <= GOAL else f"  <-- status {status}"
        slowest = max(slowest, took)
        print(f"{address:58}{took:7.0f}{queries:9}{mark}")
    print(f"slowest page: {slowest:.0f} ms; {goals.at_most(slowest, GOAL, ' ms')}")
    print()


if __name__ == "__main__":
    main()
