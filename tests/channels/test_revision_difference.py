"""Differences of revisions: right in every part, and never more work than one call may do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
import zstandard
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from channels import revision_difference
from channels.models import Channel, Package, Revision, Shard
from channels.revision_difference import KINDS, Cursor, Difference, difference
from ecosystems import registry
from tests.channels import factory
from tests.channels.factory import CONDA, made
from tests.web.client import Api, person
from web.pages import revisions as views

pytestmark = pytest.mark.django_db

Listed = Mapping[str, Mapping[str, bytes]]
"""By section and file name: the content."""

STATES: Sequence[Listed] = (
    {"noarch": {"six-1-0.conda": b"1", "six-2-0.conda": b"2", "gone-1-0.conda": b"g"}},
    {
        "noarch": {"six-1-0.conda": b"1", "six-2-0.conda": b"new", "six-3-0.conda": b"3"},
        "linux-64": {"zlib-1-0.conda": b"z"},
    },
    {"noarch": {"six-3-0.conda": b"3", "flash-1-0.conda": b"f"}, "linux-64": {}},
    {
        "noarch": {"six-1-0.conda": b"1", "six-2-0.conda": b"2", "gone-1-0.conda": b"g"},
        "linux-64": {"zlib-1-0.conda": b"z", "zlib-2-0.conda": b"z2"},
    },
)


@pytest.fixture
def channel() -> Channel:
    """A channel whose revision n lists the state n - 1."""
    channel = factory.channel()
    for state in STATES:
        sections = {
            section: [made(file, content) for file, content in files.items()]
            for section, files in state.items()
        }
        factory.publish(channel, sections, here=False)
    return channel


def expected(a: int, b: int) -> dict[str, list[str]]:
    """The difference by the states themselves."""
    old, new = (
        {
            f"{section}/{file}": text
            for section, some in state.items()
            for file, text in some.items()
        }
        for state in (STATES[a - 1], STATES[b - 1])
    )
    return {
        "added": sorted(new.keys() - old.keys()),
        "replaced": sorted(file for file in old.keys() & new.keys() if old[file] != new[file]),
        "removed": sorted(old.keys() - new.keys()),
    }


def parts(channel: Channel, a: int, b: int, *, limit: int) -> Iterator[Difference]:
    """The difference, part by part."""
    part = difference(channel, a, b, limit=limit)
    yield part
    while part.following:
        part = difference(channel, a, b, limit=limit, after=part.following)
        yield part


@pytest.fixture(params=["at once", "row by row"])
def _steps(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a call reads as much as it may, or ends after each row and record."""
    if request.param == "row by row":
        for name in ("ROWS", "ROWS_AT_ONCE", "RECORDS", "RECORDS_AT_ONCE"):
            monkeypatch.setattr(revision_difference, name, 1)


@pytest.mark.usefixtures("_steps")
def test_the_parts_are_the_whole_difference_whatever_their_size(channel: Channel) -> None:
    numbers = range(1, len(STATES) + 1)
    for a, b, limit in ((a, b, limit) for a in numbers for b in numbers for limit in (1, 2, 100)):
        found: dict[str, list[str]] = {kind: [] for kind in KINDS}
        for part in parts(channel, a, b, limit=limit):
            assert sum(len(getattr(part, kind)) for kind in KINDS) <= limit
            for kind in KINDS:
                found[kind] += getattr(part, kind)
        wanted = expected(a, b)
        assert {kind: sorted(files) for kind, files in found.items()} == wanted, (a, b, limit)
        assert part.exact
        assert part.counts == {kind: len(files) for kind, files in wanted.items()}


@pytest.mark.usefixtures("_steps")
def test_a_count_is_never_more_than_there_is(channel: Channel) -> None:
    for part in parts(channel, 1, 4, limit=1):
        wanted = expected(1, 4)
        assert all(part.counts[kind] <= len(wanted[kind]) for kind in KINDS)
        assert part.exact or part.following


def test_what_two_neighbours_differ_in_is_counted_by_the_publication(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revision_difference, "ROWS", 1)
    monkeypatch.setattr(revision_difference, "ROWS_AT_ONCE", 1)
    for a, b in ((1, 2), (2, 1)):
        part = difference(channel, a, b, limit=1)
        assert part.exact
        assert part.following
        assert part.counts == {kind: len(files) for kind, files in expected(a, b).items()}
    # Pages of a Python index that were asked for later are in a revision, and in no count of it.
    simple = {"section": "simple", "family": "python"}
    Package.objects.create(channel=channel, name="late", added_in=2, removed_in=3, **simple)
    assert not difference(channel, 1, 2, limit=1).exact


class Reads:
    """Counts the records that are taken out of shards, and the rows that the database gives."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.records = self.rows = 0
        conda = registry.get("conda")
        entries = conda.entries
        read = revision_difference._Comparison._read

        def counted(body: bytes) -> dict[str, bytes]:
            found = entries(body)
            self.records += len(found)
            return found

        def rows(walk: Any, *args: Any) -> list[Any]:
            found = read(walk, *args)
            self.rows += len(found)
            return found

        monkeypatch.setattr(type(conda), "entries", lambda _, body: counted(body))
        monkeypatch.setattr(revision_difference._Comparison, "_read", rows)


PACKAGES, BUILDS = 2_500, 10


@pytest.fixture
def large() -> Channel:
    """Two revisions of 25,000 records each; all of the second are others than in the first."""
    channel = factory.channel()
    shards = []
    for number in (1, 2):
        record = b'{"name":"p","version":"%d"}' % number
        body = CONDA.build([(f"p-{build}-0.conda", record) for build in range(BUILDS)], [])
        shards.append(Shard(sha256=f"{number:064}", body=zstandard.compress(body)))
        Revision.objects.create(channel=channel, number=number)
    Shard.objects.bulk_create(shards)
    for number, removed in ((1, 2), (2, 2**31 - 1)):
        Package.objects.bulk_create(
            [
                Package(
                    channel=channel, family="conda", section="noarch", name=f"p{name:05}",
                    shard_id=f"{number:064}", files=BUILDS, added_in=number, removed_in=removed,
                )
                for name in range(PACKAGES)
            ],
            batch_size=500,
        )  # fmt: skip
    channel.current = 2
    channel.save()
    return channel


def test_a_hundred_lines_of_a_large_difference_cost_a_bounded_part_of_it(
    large: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not neighbours, so that nothing is counted but by reading.
    Revision.objects.filter(number=2).update(number=3)
    Package.objects.filter(added_in=2).update(added_in=3)
    Package.objects.filter(removed_in=2).update(removed_in=3)
    reads = Reads(monkeypatch)
    with CaptureQueriesContext(connection) as queries:
        part = difference(large, 1, 3, limit=100)
    assert len(part.replaced) == 100
    assert part.following
    assert not part.exact
    assert 100 < part.counts["replaced"] <= revision_difference.RECORDS
    assert reads.records <= revision_difference.RECORDS + revision_difference.RECORDS_AT_ONCE
    assert reads.rows <= revision_difference.ROWS + revision_difference.ROWS_AT_ONCE
    assert len(queries) < 40


def test_the_last_part_costs_no_more_than_the_first(
    large: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = Package.objects.filter(added_in=2).order_by("-pk")[1].pk
    reads = Reads(monkeypatch)
    part = difference(large, 1, 2, limit=100, after=str(Cursor(0, 2, last, replaced=24_990)))
    assert len(part.replaced) == BUILDS
    assert part.counts["replaced"] == PACKAGES * BUILDS
    assert (part.exact, part.following) == (True, "")
    assert reads.records == 2 * BUILDS
    assert reads.rows == 1 + PACKAGES  # The one that came, and those that went for others.


def test_what_one_revision_lists_alone_is_counted_without_its_records(
    large: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    Package.objects.filter(removed_in=2).update(section="linux-64")
    reads = Reads(monkeypatch)
    part = difference(large, 1, 2, limit=5)
    assert part.counts == {"added": 25_000, "replaced": 0, "removed": 25_000}
    assert part.exact
    assert reads.records <= revision_difference.RECORDS_AT_ONCE


@pytest.mark.parametrize("column", ["added_in", "removed_in"])
def test_rows_between_revisions_are_found_by_an_index_in_its_order(
    large: Channel, column: str
) -> None:
    rows = Package.objects.filter(channel=large).order_by(column, "pk")
    same = rows.filter(**{column: 2, "pk__gt": 7})[:10]
    later = rows.filter(**{f"{column}__gt": 1, f"{column}__lte": 2})[:10]
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # Of so few rows it would read all.
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_bitmapscan = off")
        for query in (same, later):
            plan = query.explain()
            assert "Sort" not in plan, plan
            assert "TEMP B-TREE" not in plan, plan
            assert "channel_980f58" in plan if column == "removed_in" else "channel_b46888" in plan


@pytest.mark.parametrize(
    "after",
    ["x", "0.1", "2.1.0.0.0.0.0", "0.9.0.0.0.0.0", "0.1.0.0.0.0.-1", "٠.1.0.0.0.0.0", "0" * 190],
)
def test_a_cursor_that_no_answer_gave_is_refused(channel: Channel, after: str) -> None:
    with pytest.raises(ValueError, match=r"not the .next.|another comparison"):
        difference(channel, 1, 2, after=after)
    status, answer = Api(person("admin")).get(f"/channels/tools/revisions/1..2?after={after}")
    assert status == 422, answer
    assert "after" in answer["error"]["fields"]


def test_the_page_shows_a_part_and_leads_to_the_next(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "MAX_FILES", 1)
    monkeypatch.setattr(revision_difference, "ROWS", 1)
    monkeypatch.setattr(revision_difference, "ROWS_AT_ONCE", 1)
    client, path, seen = Client(), "/channels/tools/revisions/1..4/", ""
    client.force_login(person("admin"))
    first = client.get(path).content.decode()
    assert "at least" in first
    link: str | None = path
    while link:
        page = client.get(link).content.decode()
        seen += page
        found = re.search(r'href="(\?after=[^"]+)"', page)
        link = path + found[1] if found else None
    assert "This is the last part" in page
    assert "at least" not in page
    for file in expected(1, 4)["added"]:
        assert seen.count(f"<li>{file}</li>") == 1
    assert client.get(f"{path}?after=nowhere").status_code == 404
