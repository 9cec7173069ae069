"""Fetching feeds: conditional, only from their own host, and never losing what is here."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from advisories import feeds, lease
from advisories.models import Advisory, Curation, Feed, Mapping, Record, Source
from tests.advisories import files, records
from tests.rogue import Behaviour
from tests.upstream import FakeUpstream

pytestmark = pytest.mark.django_db

CONDITIONS = {"if-none-match", "if-modified-since"}


@pytest.fixture(autouse=True)
def addresses(settings: object, upstream: FakeUpstream) -> None:
    """OSV and the mapping at the test's own server, which nobody allowed by name."""
    settings.UPSTREAM_ALLOW = ()  # type: ignore[attr-defined]
    settings.OSV_URL = f"{upstream.url}/osv"  # type: ignore[attr-defined]
    settings.NVD_URL = None  # type: ignore[attr-defined]
    settings.CONDA_MAPPING_URL = f"{upstream.url}/map.json"  # type: ignore[attr-defined]
    upstream.set("/osv/PyPI/all.zip", files.archive(records.PYYAML))
    upstream.set("/osv/CRAN/all.zip", files.archive(records.COMMONMARK))
    upstream.set("/map.json", b'{"pytorch": ["torch"]}')


def test_feeds_are_fetched_once_and_then_asked_whether_they_changed(
    upstream: FakeUpstream,
) -> None:
    first = feeds.refresh()
    assert [(feed.source, feed.added, feed.error) for feed in first] == [
        ("osv", 1, ""),
        ("osv", 1, ""),
        ("mapping", 1, ""),
    ]
    assert Record.objects.count() == 2
    assert Mapping.objects.get().projects == ["torch"]
    upstream.forget()
    upstream.set("/osv/CRAN/all.zip", files.archive(records.COMMONMARK, records.TORCH))
    second = feeds.refresh()
    assert [feed.added for feed in second] == [1, 1, 1]
    assert Feed.objects.get(url__contains="CRAN").unchanged == 1
    assert Feed.objects.get(url__contains="PyPI").succeeded_at > first[0].succeeded_at
    conditions = [
        CONDITIONS & {name.lower() for name in request.headers} for request in upstream.requests()
    ]
    assert len(conditions) == 3
    assert all(conditions)


@pytest.mark.parametrize("status", [404, 500, 403])
def test_a_feed_that_fails_says_why_and_the_others_go_on(
    upstream: FakeUpstream, status: int, settings: object
) -> None:
    feeds.refresh()
    upstream.behave("/osv/PyPI/all.zip", Behaviour(status=status))
    failed = feeds.refresh()[0]
    assert failed.error
    assert failed.added == 1  # Of the last import that succeeded.
    assert Advisory.objects.count() == 2
    assert [feed.error for feed in Feed.objects.exclude(pk=failed.pk)] == ["", ""]


def test_a_feed_that_is_no_archive_leaves_the_old_data(upstream: FakeUpstream) -> None:
    feeds.refresh()
    upstream.set("/osv/PyPI/all.zip", b"PK but not really")
    failed = feeds.refresh()[0]
    assert "zip" in failed.error
    etag = failed.etag
    upstream.set("/osv/PyPI/all.zip", files.archive(records.PYYAML, records.TORCH))
    again = feeds.refresh()[0]
    assert (again.error, again.added) == ("", 1)
    assert again.etag != etag


def test_a_feed_is_not_taken_from_another_host(upstream: FakeUpstream) -> None:
    with FakeUpstream() as stranger:
        stranger.set("/all.zip", files.archive(records.TORCH))
        location = (("Location", f"{stranger.url}/all.zip"),)
        upstream.behave("/osv/PyPI/all.zip", Behaviour(status=302, headers=location))
        assert "redirects" in feeds.refresh()[0].error
        assert stranger.count() == 0


def test_a_feed_waits_while_somebody_else_imports() -> None:
    with lease.hold():
        assert all("being imported" in feed.error for feed in feeds.refresh())
    assert all(feed.error == "" for feed in feeds.refresh())


def test_the_years_of_nvd_are_asked_for_once_a_week(
    settings: object, upstream: FakeUpstream
) -> None:
    settings.OSV_URL = settings.CONDA_MAPPING_URL = None  # type: ignore[attr-defined]
    settings.NVD_URL = f"{upstream.url}/nvd"  # type: ignore[attr-defined]
    paths = [url.removeprefix(upstream.url) for _, url in feeds.configured()]
    assert paths[0] == "/nvd/nvdcve-2.0-2002.json.gz"
    assert paths[-1] == "/nvd/nvdcve-2.0-modified.json.gz"
    for number, path in enumerate(paths):
        upstream.set(path, records.nvd_feed(records.nvd_item(f"CVE-2002-{number}")))
    assert {feed.error for feed in feeds.refresh()} == {""}
    assert Record.objects.count() == len(paths)
    upstream.forget()
    feeds.refresh()
    assert [request.path for request in upstream.requests()] == [paths[-1]]
    old = timezone.now() - dt.timedelta(days=8)
    Feed.objects.filter(url__contains="2003").update(succeeded_at=old)
    upstream.forget()
    feeds.refresh()
    assert {request.path for request in upstream.requests()} == {paths[1], paths[-1]}


def test_an_address_of_a_file_is_taken_as_it_is(settings: object, upstream: FakeUpstream) -> None:
    settings.OSV_URL = f"{upstream.url}/mine.zip"  # type: ignore[attr-defined]
    assert next(feeds.configured()) == (Source.OSV, f"{upstream.url}/mine.zip")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command prints."""
    call_command("advisories", *arguments)
    return capsys.readouterr().out


def test_the_command_imports_exports_refreshes_and_tells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = files.written(tmp_path, files.archive(records.TORCH, b"{"), "all.zip")
    assert "1 added, 0 updated, 0 unchanged, 1 broken" in run(capsys, "import", str(path))
    vex = files.written(tmp_path, records.OPENVEX, "vex.json")
    assert "VEX: 2 added" in run(capsys, "import", str(vex))
    assert "last success" in run(capsys, "refresh")
    out = run(capsys, "status")
    assert "OSV by upload: last success 2" in out
    assert "3 advisories, 1 names mapped, 2 curations" in out
    bundle = tmp_path / "bundle.zip"
    assert "osv.ndjson" in run(capsys, "export", str(bundle))
    Curation.objects.all().delete()
    assert "bundle: 2 added" in run(capsys, "import", str(bundle))


def test_the_command_fails_with_a_sentence(tmp_path: Path, settings: object) -> None:
    path = files.written(tmp_path, json.dumps({"a": 1}).encode())
    with pytest.raises(CommandError, match="none of"):
        call_command("advisories", "import", str(path))
    with pytest.raises(CommandError, match="No such file"):
        call_command("advisories", "import", str(tmp_path / "absent"))
    with pytest.raises(CommandError, match="No such file"):
        call_command("advisories", "export", str(tmp_path / "absent" / "bundle.zip"))
    settings.OSV_URL = settings.CONDA_MAPPING_URL = None  # type: ignore[attr-defined]
    with pytest.raises(CommandError, match="OSV_URL"):
        call_command("advisories", "refresh")
