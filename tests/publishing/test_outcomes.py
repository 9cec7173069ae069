"""What becomes of a record: every kind of record, source, presence and neighbour, without a row."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from channels.rules import mirror_rules
from ecosystems.kinds import Family
from ecosystems.pack import Pack, PackWriter
from ecosystems.records import Invalid, Record
from filters.rules import Reason
from filters.rules.model import Rule
from publishing.outcomes import (
    PackageRecords,
    PublishedRecord,
    Source,
    SourceRecords,
    StayingRecords,
    decide,
)

LICENSE = Reason("mirror", Rule.LICENSE, "the license belongs to an excluded family")
OLDER, NEWER = 1, 2
"""Ids of mirrors; the older one is judged first."""


@dataclass(frozen=True)
class Part:
    """One mirror's part of a package. Files are named by what they hold: the name is the hash."""

    files: Sequence[Record | Invalid]
    active: bool = True
    incomplete: bool = False
    keep_legacy: bool = False
    excluded: Collection[str] = ()
    published: Collection[str] = ()
    withdrawn: Collection[str] = ()


def record(filename: str, *companions: str, archived: bool = False, md5: bool = False) -> Record:
    beside = tuple(record(companion) for companion in companions)
    hashes = {"md5": filename} if md5 else {"sha256": filename}
    return Record(filename=filename, companions=beside, archived=archived, raw=b"new", **hashes)


A, B = record("a"), record("b")
ARCHIVED = record("a", archived=True)
CONDA, LEGACY = record("p-1-0.conda"), record("p-1-0.tar.bz2")


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """A pack that nothing is read from."""
    path: Path = tmp_path_factory.mktemp("packs") / "empty"
    PackWriter(path).close()
    return Pack(path)


def decided(
    pack: Pack,
    parts: Sequence[Part],
    present: Collection[str] = (),
    *,
    family: Family = Family.CONDA,
    planning: bool = False,
) -> list[SourceRecords]:
    package = PackageRecords("p")
    staying: dict[int, StayingRecords] = {}
    for mirror_id, part in enumerate(parts, OLDER):
        rules = mirror_rules("conda", {"keep_legacy": part.keep_legacy})
        source = Source(
            mirror_id, f"m{mirror_id}", part.active, rules, pack, mirror_id, part.incomplete
        )
        reasons = [
            Reason("mirror", Rule.INVALID, file.why)
            if isinstance(file, Invalid)
            else LICENSE
            if file.filename in part.excluded
            else None
            for file in part.files
        ]
        package.sources.append(SourceRecords(source, b"new", list(part.files), reasons))
        if part.published:
            staying[mirror_id] = StayingRecords(
                {name: published(name) for name in part.published}, frozenset(part.withdrawn)
            )
    decide(package, set(present), staying, family=family, planning=planning)
    return package.sources


def published(filename: str) -> PublishedRecord:
    old = record(filename)
    old.raw = b"old"
    return PublishedRecord(old, b"old", file_source_id=OLDER)


def keys(part: SourceRecords) -> dict[str, str]:
    """What became of each file, those that only stay included."""
    upstream = {record.filename: outcome.key for record, outcome in part.decided()}
    return upstream | dict.fromkeys(part.dropped, "stays")


def listed(part: SourceRecords) -> dict[str, bytes]:
    """What clients get: by file name whether it is the new record or the old one."""
    return {record.filename: record.raw for record in part.listed()}


@pytest.mark.parametrize("active", [True, False], ids=["active", "passive"])
@pytest.mark.parametrize("incomplete", [False, True], ids=["complete", "incomplete"])
@pytest.mark.parametrize(
    ("file", "present", "in_active", "in_passive"),
    [
        (A, ["a"], "active", "active"),
        (A, [], "missing", "passive"),
        (record("a", md5=True), ["a"], "active", "active"),
        (record("a", md5=True), [], "missing", "passive"),
        (record("a", "a.metadata"), ["a", "a.metadata"], "active", "active"),
        (record("a", "a.metadata"), ["a"], "missing", "passive"),
        (record("a", "a.metadata"), ["a.metadata"], "missing", "passive"),
        (ARCHIVED, ["a"], "active", "active"),
        (ARCHIVED, [], "missing", "passive"),
        (record("excluded"), ["excluded"], "mirror.license", "mirror.license"),
        (record("excluded"), [], "mirror.license", "mirror.license"),
        (Invalid("a", "no size"), ["a"], "mirror.invalid", "mirror.invalid"),
    ],
)
def test_a_record_alone(
    pack: Pack,
    file: Record | Invalid,
    present: Sequence[str],
    in_active: str,
    in_passive: str,
    *,
    active: bool,
    incomplete: bool,
) -> None:
    part = Part([file], active=active, incomplete=incomplete, excluded=["excluded"])
    [result] = decided(pack, [part], present)
    expected = in_active if active else in_passive
    assert keys(result) == {file.filename: expected}
    assert listed(result) == ({file.filename: b"new"} if expected in ("active", "passive") else {})


NEW, OLD = b"new", b"old"


@pytest.mark.parametrize(
    ("part", "present", "becomes", "clients_get"),
    [
        # A new record under a published name.
        (Part([A], published="a"), "a", {"a": "active"}, {"a": NEW}),
        (Part([A], published="a"), "", {"a": "missing"}, {"a": OLD}),
        (Part([A], published="a", withdrawn="a"), "", {"a": "missing"}, {"a": OLD}),
        (Part([A], published="a", excluded="a"), "", {"a": "mirror.license"}, {}),
        # The upstream dropped a file: gone, unless the run is not complete or all new ones failed.
        (Part([A], published="ab"), "a", {"a": "active"}, {"a": NEW}),
        (Part([A], published="b"), "", {"a": "missing", "b": "stays"}, {"b": OLD}),
        (Part([A], published="ab"), "", {"a": "missing"}, {"a": OLD}),
        (Part([A, B], published="c"), "a", {"a": "active", "b": "missing"}, {"a": NEW}),
        (
            Part([A], incomplete=True, published="ab"),
            "a",
            {"a": "active", "b": "stays"},
            {"a": NEW, "b": OLD},
        ),
        (
            Part([A], incomplete=True, published="ab"),
            "",
            {"a": "missing", "b": "stays"},
            {"a": OLD, "b": OLD},
        ),
        # The upstream has taken a file back, or lists it in a way that nobody can read.
        (
            Part([A], incomplete=True, published="b", withdrawn="b"),
            "a",
            {"a": "active"},
            {"a": NEW},
        ),
        (Part([], incomplete=True, published="b"), "", {"b": "stays"}, {"b": OLD}),
        # A rule excludes what it dropped under another name, not what stays.
        (
            Part([A], incomplete=True, excluded="a", published="b"),
            "",
            {"a": "mirror.license", "b": "stays"},
            {"b": OLD},
        ),
        # The current version moved to the archive, and the bytes of the next one are not here.
        (
            Part([ARCHIVED, B], published="a"),
            "a",
            {"a": "active", "b": "missing"},
            {"a": OLD},
        ),
        (
            Part([ARCHIVED, B], published="a"),
            "ab",
            {"a": "active", "b": "active"},
            {"a": NEW, "b": NEW},
        ),
    ],
)
def test_an_update_takes_nothing_away_that_works(
    pack: Pack, part: Part, present: str, becomes: Mapping[str, str], clients_get: object
) -> None:
    [result] = decided(pack, [part], present)
    assert keys(result) == becomes
    assert listed(result) == clients_get


def test_a_package_that_nobody_has_any_more_is_of_no_source(pack: Pack) -> None:
    assert decided(pack, [Part([])]) == []


LEGACY_RULE = "mirror.duplicated_legacy_conda"


@pytest.mark.parametrize(
    ("part", "present", "planning", "conda", "legacy"),
    [
        (Part([CONDA, LEGACY]), [CONDA, LEGACY], False, "active", LEGACY_RULE),
        (Part([CONDA, LEGACY]), [CONDA], False, "active", LEGACY_RULE),
        (Part([CONDA, LEGACY]), [LEGACY], False, "missing", "active"),
        (Part([CONDA, LEGACY]), [], False, "missing", "missing"),
        (Part([CONDA, LEGACY]), [], True, "missing", LEGACY_RULE),
        (Part([CONDA, LEGACY]), [LEGACY], True, "missing", LEGACY_RULE),
        (Part([CONDA, LEGACY], active=False), [], False, "passive", LEGACY_RULE),
        (Part([CONDA, LEGACY], keep_legacy=True), [CONDA], False, "active", "missing"),
        (
            Part([CONDA, LEGACY], excluded=[CONDA.filename]),
            [LEGACY],
            False,
            "mirror.license",
            "active",
        ),
        (
            Part([CONDA, LEGACY], excluded=[LEGACY.filename]),
            [CONDA],
            False,
            "active",
            "mirror.license",
        ),
    ],
)
def test_the_two_forms_of_a_conda_package(
    pack: Pack, part: Part, present: Sequence[Record], planning: bool, conda: str, legacy: str
) -> None:
    [result] = decided(pack, [part], [file.filename for file in present], planning=planning)
    assert keys(result) == {CONDA.filename: conda, LEGACY.filename: legacy}


def test_a_legacy_form_is_the_fallback_of_what_is_to_be_downloaded(pack: Pack) -> None:
    [result] = decided(pack, [Part([CONDA, LEGACY])], planning=True)
    assert result.fallbacks == {CONDA.filename: LEGACY}
    [result] = decided(pack, [Part([CONDA, LEGACY])], [CONDA.filename], planning=True)
    assert result.fallbacks == {}


def test_a_legacy_form_that_stays_gives_way_too(pack: Pack) -> None:
    part = Part([CONDA], incomplete=True, published=[LEGACY.filename])
    [result] = decided(pack, [part], [CONDA.filename])
    assert keys(result) == {CONDA.filename: "active"}


def test_only_conda_has_two_forms_of_a_package(pack: Pack) -> None:
    present = [CONDA.filename, LEGACY.filename]
    [result] = decided(pack, [Part([CONDA, LEGACY])], present, family=Family.CRAN)
    assert keys(result) == {CONDA.filename: "active", LEGACY.filename: "active"}


DUPLICATE = "channel.duplicate"


@pytest.mark.parametrize(
    ("older", "newer", "present", "of_older", "of_newer"),
    [
        (Part([A]), Part([A]), "a", "active", DUPLICATE),
        (Part([A], active=False), Part([A]), "", "passive", DUPLICATE),
        # What the older one has yet to download, the newer one may list.
        (Part([A]), Part([A], active=False), "", "missing", "passive"),
        (Part([A]), Part([A]), "", "missing", "missing"),
        (Part([A], excluded="a"), Part([A]), "a", "mirror.license", "active"),
        (Part([A]), Part([A], excluded="a"), "a", "active", "mirror.license"),
        (Part([Invalid("a", "")]), Part([A]), "a", "mirror.invalid", "active"),
        # What stays of the older one keeps the name as well.
        (Part([A], published="a"), Part([A], active=False), "", "missing", DUPLICATE),
        (Part([], incomplete=True, published="a"), Part([A]), "a", "stays", DUPLICATE),
    ],
)
def test_the_older_of_two_mirrors_wins_a_file_name(
    pack: Pack, older: Part, newer: Part, present: str, of_older: str, of_newer: str
) -> None:
    first, second = decided(pack, [older, newer], present)
    assert (keys(first), keys(second)) == ({"a": of_older}, {"a": of_newer})


def test_what_stays_of_a_newer_mirror_gives_way_to_an_older_one(pack: Pack) -> None:
    newer = Part([B], incomplete=True, published="a")
    first, second = decided(pack, [Part([A]), newer], "ab")
    assert (keys(first), keys(second)) == ({"a": "active"}, {"b": "active"})
    assert "m1" in decided(pack, [Part([A]), Part([A])], "a")[1].outcomes[0].reason.detail


def test_a_legacy_form_gives_way_to_the_new_form_of_an_older_mirror(pack: Pack) -> None:
    present = [CONDA.filename, LEGACY.filename]
    _, second = decided(pack, [Part([CONDA]), Part([LEGACY])], present)
    assert keys(second) == {LEGACY.filename: LEGACY_RULE}
