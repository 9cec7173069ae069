"""Family M for Python and R as for conda: entries of an index that lead astray or make no sense."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from channels.models import Blob
from mirrors.models import Mirror
from publishing.file_lists import files
from tests import invariants, scene
from tests.condatree import FakeConda
from tests.crantree import FakeCran
from tests.faults.clients import listed
from tests.simpletree import FakeSimple
from tests.sources import FILES, Source

pytestmark = pytest.mark.django_db(transaction=True)

ASTRAY = {
    "python_simple": (
        "../../../etc/six-1.tar.gz", "/abs/six-1.tar.gz", "..\\six-1.tar.gz", "C:six-1.tar.gz",
        "CON", "six-\x00.tar.gz", "six-1\n.tar.gz", "six-\u202e1.tar.gz", "%2e%2e%2fsix-1.tar.gz",
        f"six-{'1' * 300}.tar.gz", ".six-1.tar.gz", "six-1.txt",
    ),
    "CRAN": (
        "../x", "/abs", "..\\x", "C:x", "con/x", "nul\x00", "right\u202eleft", "%2e%2e%2fx",
        "a" * 300, ".hidden", "1six", "",
    ),
}  # fmt: skip
"""File names that no Python package has, and names that no R package has."""


@pytest.fixture
def active(source: Source) -> Mirror:
    """An active mirror that has not run."""
    return source.mirror(scene.channel(), mirror_mode="active")


def add(source: Source, **odd: Any) -> None:
    """List `fresh` 1.0, with what its entry says beside or instead."""
    server = source.server
    if isinstance(server, FakeConda):
        name = server.add("noarch", "fresh", "1.0")
        server.change("noarch", name, **odd)
    elif isinstance(server, FakeSimple):
        server.add_wheel("fresh", "1.0", **odd)
    else:
        assert isinstance(server, FakeCran)
        extra = "".join(f"{key}: {value}\n" for key, value in odd.items())
        server.add("fresh", "1.0", extra=extra)
    source.publish()


def name_astray(source: Source) -> int:
    """List files under names that lead elsewhere; how many."""
    server, names = source.server, ASTRAY[source.kind]
    if isinstance(server, FakeSimple):
        for name in names:
            server.add_raw("six", name, b"evil", url=f"../..{server.path('evil')}")
    else:
        assert isinstance(server, FakeCran)
        current = server._current["src/contrib"]
        good = current["numpy_2.0.tar.gz"]
        for number, name in enumerate(names):
            stanza = good.stanza.replace("Package: numpy", f"Package: {name}")
            made = type(good)(name, f"{number}", good.body, stanza, good.time)
            current[f"zzz{number}"] = made
    source.publish()
    return len(names)


def test_M01_a_name_that_leads_elsewhere_is_refused_counted_and_named(
    source: Source, active: Mirror, data: Path
) -> None:
    if source.kind == "conda":
        # tests.faults.test_content has more names, one by one.
        number = 1
        record = source.server.record("noarch", source.filename)  # type: ignore[attr-defined]
        source.server._records["noarch"]["../x-1-0.conda"] = record  # type: ignore[attr-defined]
        source.publish()
    else:
        number = name_astray(source)
    done = scene.run_now(active)
    assert (done.state, done.counts["active"]) == ("completed", FILES), done.error
    named = {line.filename for line in files(done, "mirror.invalid")}
    assert done.counts["mirror_filtered"] == {"invalid": number}, named
    assert len(named) == number
    inside = {path for path in data.parent.rglob("*") if path.is_file()}
    assert all(path.is_relative_to(data) for path in inside)
    stored = {path.name for path in (data / "blobs").rglob("*") if path.is_file()}
    assert stored == set(Blob.objects.values_list("pk", flat=True))
    invariants.check(active.channel)


ELSEWHERE = "http://elsewhere.invalid"
POINTERS: dict[str, dict[str, Any]] = {
    "conda": {"url": f"{ELSEWHERE}/x.conda", "channel": ELSEWHERE, "fn": "x"},
    "python_simple": {
        "provenance": f"{ELSEWHERE}/p", "gpg-sig": True, "data-dist-info-metadata": ELSEWHERE,
    },
    "CRAN": {"DownloadURL": f"{ELSEWHERE}/x.tar.gz"},
}  # fmt: skip


def test_M03_no_entry_leads_clients_to_another_server(source: Source, active: Mirror) -> None:
    add(source, **POINTERS[source.kind])
    done = scene.run_now(active)
    assert (done.state, done.counts["active"]) == ("completed", FILES + 1), done.failures.all()
    for path, body in invariants.served(active.channel).items():
        assert b"elsewhere.invalid" not in body, path
        assert source.server.url.encode() not in body, path
    invariants.check(active.channel)


def test_M04_a_file_without_a_hash_is_refused_or_pinned_by_its_first_bytes(
    source: Source, active: Mirror
) -> None:
    server = source.server
    if isinstance(server, FakeCran):
        # R's indexes often have none: what came first over the wire stays.
        server.add("fresh", "1.0", md5=False)
        source.publish()
    else:
        none: dict[str, Any] = {"sha256": None, "md5": None}
        add(source, **(none if source.kind == "conda" else {"hashes": {}}))
    done = scene.run_now(active)
    assert done.state == "completed"
    pinned = source.kind == "CRAN"
    # A Python index without hashes can be trusted, where the mirror says so: a rule of its own.
    reasons = {"CRAN": {}, "conda": {"invalid": 1}, "python_simple": {"unhashed": 1}}
    assert done.counts["mirror_filtered"] == reasons[source.kind]
    assert ("fresh_1.0.tar.gz" in listed(active.channel)) == pinned
    assert len(listed(active.channel)) == FILES + pinned
    invariants.check(active.channel)


STAMPS = (0, -1, -(10**15), 10**18, True, "12", [], 1.5e300)
TIMES = (
    "1970-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "-1",
    "",
    12,
    True,
    [],
    "2023-13-45T99:00Z",
)
DATES = ("1970-01-01", "9999-12-31", "0000-00-00", "-1", "12", "true", "")


def test_M10_impossible_dates_cost_no_file(source: Source, active: Mirror) -> None:
    """They are missing: the file is listed, and rules about dates take it as undated."""
    server = source.server
    odd: tuple[Any, ...]
    if isinstance(server, FakeConda):
        odd = STAMPS
        for number, stamp in enumerate(odd):
            server.add("noarch", "odd", str(number), timestamp=stamp)
    elif isinstance(server, FakeSimple):
        odd = TIMES
        for number, text in enumerate(odd):
            server.add_wheel("fresh", str(number), **{"upload-time": text})
    else:
        assert isinstance(server, FakeCran)
        odd = DATES
        for number, text in enumerate(odd):
            server.add(f"odd{number}", "1.0", extra=f"Published: {text}\n")
    source.publish()
    done = scene.run_now(active)
    assert (done.state, done.error) == ("completed", "")
    assert done.counts["active"] == FILES + len(odd)
    invariants.check(active.channel)


SIZES = {
    "conda": ({"size": -1}, {"size": True}),
    "python_simple": ({"size": "12"}, {"size": True}),
    "CRAN": ({"Size": "-1"}, {"Size": "true"}),
}


def test_M10_an_impossible_size_is_no_reason_to_trust_or_to_fail(
    source: Source, active: Mirror
) -> None:
    """conda's clients check the size: such a record is invalid. Elsewhere it is missing."""
    for odd in SIZES[source.kind]:
        add(source, **odd)
        done = scene.run_now(active)
        assert (done.state, done.error, done.counts["failed"]) == ("completed", "", 0), odd
        left_out = 1 if source.kind == "conda" else 0
        assert scene.filtered(done.counts) == left_out, odd
        assert done.counts["active"] == FILES + 1 - left_out
    invariants.check(active.channel)


LISTS: dict[str, dict[str, Any]] = {
    "conda": {"license": ["MIT"], "license_family": {}, "track_features": [1], "arch": []},
    "python_simple": {"requires-python": [">=3"], "yanked": [], "dist-info-metadata": [1]},
    "CRAN": {"Depends": "R (>= 3.5), , ,", "OS_type": "any, of, them"},
}


def test_M10_lists_in_place_of_texts_cost_no_index(source: Source, active: Mirror) -> None:
    add(source, **LISTS[source.kind])
    done = scene.run_now(active)
    assert (done.state, done.error, done.counts["failed"]) == ("completed", "", 0)
    assert done.counts["active"] == FILES + 1
    invariants.check(active.channel)
