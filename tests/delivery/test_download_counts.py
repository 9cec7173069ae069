from __future__ import annotations

import functools
import threading
from typing import Any

import pytest
from django.db import OperationalError, connection

from accounts import tokens
from channels.models import Channel, Download
from delivery import download_counts
from delivery.responses import Item
from tests.channels import factory
from tests.wsgi import Client, application

pytestmark = pytest.mark.django_db(transaction=True)

FILE = factory.made("one-1.0-0.conda", b"1" * 1000)
PATH = f"/api/repo/tools/noarch/{FILE.filename}"


@pytest.fixture
def client() -> Client:
    download_counts.flush()
    factory.publish(factory.channel(), {"noarch": [FILE]})
    return Client(application)


def counted() -> dict[str, int]:
    download_counts.flush()
    return dict(Download.objects.values_list("user", "count"))


def test_a_download_is_one_that_begins_at_the_beginning(client: Client) -> None:
    client.get(PATH)
    client.get(PATH, range="bytes=0-9")
    client.get(PATH, range="bytes=10-")
    client.get(PATH, range="bytes=5000-")
    client.get(PATH, if_none_match=f'"{FILE.sha256}"')
    client.head(PATH)
    client.get("/api/repo/tools/noarch/repodata.json")
    client.get("/api/repo/tools/noarch/none-1-0.conda")
    assert counted() == {"": 2}


def test_downloads_are_counted_by_user_and_add_up(client: Client) -> None:
    _, secret = tokens.issue(factory.user("ann"), "test", expires=None)
    client.get(PATH)
    client.get(PATH, x_auth=secret)
    assert counted() == {"": 1, "ann": 1}
    client.get(PATH, x_auth=secret)
    assert counted() == {"": 1, "ann": 2}
    assert Channel.objects.get().download_count == 3
    row = Download.objects.get(user="ann")
    assert (row.section, row.filename, row.name) == ("noarch", FILE.filename, "one")


def test_many_files_are_counted_with_few_statements(
    client: Client, django_assert_max_num_queries: Any
) -> None:
    channel = Channel.objects.get()
    items = [Item(channel.pk, "noarch", f"f{number}-1-0.conda", "f") for number in range(250)]
    for item in (*items, *items[:50]):
        download_counts.note(item, "")
    with django_assert_max_num_queries(20):
        download_counts.flush()
    for item in items[200:]:
        download_counts.note(item, "")
    download_counts.flush()
    rows = dict(Download.objects.values_list("filename", "count"))
    assert [rows[item.filename] for item in items] == [2] * 50 + [1] * 150 + [2] * 50
    channel.refresh_from_db()
    assert channel.download_count == 350


def test_no_download_is_lost_between_threads(client: Client) -> None:
    def load() -> None:
        for _ in range(50):
            client.get(PATH)
        connection.close()

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        download_counts.flush()
        thread.join()
    assert counted() == {"": 200}


def test_counts_of_a_channel_that_is_gone_are_dropped(client: Client) -> None:
    client.get(PATH)
    channel = Channel.objects.get()
    channel.revisions.all().delete()
    channel.document_set.all().delete()
    channel.package_set.all().delete()
    channel.delete()
    assert counted() == {}


def test_what_cannot_be_written_waits_and_is_written_once(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(download_counts, "_write", away)
        client.get(PATH)
        download_counts.flush()
        client.get(PATH)
    assert counted() == {"": 2}


@pytest.mark.parametrize("error", [OperationalError("no such file"), RuntimeError("closed")])
def test_counts_that_are_lost_when_the_process_ends_are_one_line_without_a_traceback(
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    client.get(PATH)
    client.get(PATH)
    with monkeypatch.context() as patch:
        patch.setattr(download_counts, "_write", functools.partial(away, error=error))
        download_counts._last()
    lines = [line for line in caplog.records if line.name == download_counts.__name__]
    assert [line.getMessage() for line in lines] == [
        f"2 downloads were not counted, since the server ends: {error}"
    ]
    assert lines[0].exc_info is None
    assert counted() == {"": 2}


def away(_: object, error: Exception = OperationalError("gone")) -> None:  # noqa: B008
    raise error
