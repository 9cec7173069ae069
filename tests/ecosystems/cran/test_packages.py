"""Stanzas as R reads them, and as they are published."""

from __future__ import annotations

import math

import pytest

from ecosystems.cran.contents import Contents, FileFacts, add_table, read
from ecosystems.cran.packages import (
    BadStanza,
    build,
    entries,
    fields,
    paragraphs,
    records,
    stanza,
    without_fields,
)
from ecosystems.cran.rds import Vector
from ecosystems.errors import BadIndex
from ecosystems.records import Invalid, Record

SOURCE = "src/contrib"
STANZA = b"""Package: aa
Version: 1.0-2
Depends: R (>= 3.5),
        methods
License: GPL (>= 2)
MD5sum: 0123456789abcdef0123456789ABCDEF"""


def contents(text: bytes, section: str = SOURCE, facts: FileFacts | None = None) -> Contents:
    return read([text], section=section, facts=facts or FileFacts(), stop=lambda: None)


def found(text: bytes, section: str = SOURCE, name: str = "aa") -> list[Record | Invalid]:
    body = {n: b for n, b, _ in contents(text, section).bodies()}[name]
    return records(body, section=section, name=name)


def only(text: bytes, section: str = SOURCE) -> Record | Invalid:
    (one,) = found(text, section)
    return one


def test_fields_are_what_r_makes_of_them() -> None:
    text = b"A:  two  words \nB:\n first\n .\n\tsecond  \nC:\nD:: x"
    assert fields(text) == {"A": "two  words", "B": "first\n\nsecond", "C": "", "D": ": x"}


@pytest.mark.parametrize(
    "text",
    [
        b"A: 1\nA: 2",
        b" starts in the middle",
        b"A: 1\nno field",
        b"A: 1\rB: 2",
        b"A: \x00",
        b"A: \xff",
        "A: caf\xe9".encode("latin-1"),
    ],
)
def test_what_r_would_read_otherwise_is_refused(text: bytes) -> None:
    with pytest.raises(BadStanza):
        fields(text)


def test_stanzas_are_told_apart_wherever_the_blocks_are_cut() -> None:
    text = b"\xef\xbb\xbf\nA: 1\r\nB: 2\r\n\r\n \t\nC: 3\n\n\n\nD: 4\n E"
    whole = list(paragraphs([text]))
    assert whole == [b"A: 1\r\nB: 2", b"C: 3", b"D: 4\n E"]
    for size in (1, 2, 3, 7):
        blocks = [text[at : at + size] for at in range(0, len(text), size)]
        blocks[0:4] = [b"".join(blocks[0:4])]
        assert list(paragraphs(blocks)) == whole


def test_a_stanza_is_kept_byte_for_byte() -> None:
    record = only(STANZA + b"\n\n")
    assert isinstance(record, Record)
    assert stanza(record.raw) == STANZA
    assert record.filename == "aa_1.0-2.tar.gz"
    assert (record.name, record.version, record.license) == ("aa", "1.0-2", "GPL (>= 2)")
    assert record.md5 == "0123456789abcdef0123456789abcdef"
    assert (record.size, record.timestamp, record.sha256, record.address) == (-1, None, "", "")


@pytest.mark.parametrize(
    ("section", "filename"),
    [
        ("bin/windows/contrib/4.4", "aa_1.0-2.zip"),
        ("bin/macosx/big-sur-arm64/contrib/4.4", "aa_1.0-2.tgz"),
    ],
)
def test_binaries_end_as_their_platform_wants(section: str, filename: str) -> None:
    assert only(STANZA, section).filename == filename


def test_a_path_is_followed_and_not_passed_on() -> None:
    record = only(b"Path: 4.4.0/Recommended\n" + STANZA + b"\nDownloadURL: https://a.example/x")
    assert isinstance(record, Record)
    assert record.address == "4.4.0/Recommended/aa_1.0-2.tar.gz"
    assert stanza(record.raw) == STANZA


@pytest.mark.parametrize(
    "line",
    [
        b"Path: ../../other",
        b"Path: a/../../b",
        b"File: https://a.example/x.tar.gz",
        b"File: ..",
        b"Path: a\\b",
        b"Path: %2e%2e",
        b"File: " + b"x" * 600,
    ],
)
def test_a_path_that_leads_out_of_the_repository_is_refused(line: bytes) -> None:
    bad = only(STANZA + b"\n" + line)
    assert isinstance(bad, Invalid)
    assert "leads out" in bad.why


@pytest.mark.parametrize(
    "bad",
    [
        STANZA.replace(b"Version: 1.0-2", b"Version: 1"),
        STANZA.replace(b"Version: 1.0-2\n", b""),
        STANZA.replace(b"0123456789abcdef", b"0123"),
        STANZA + b"\nVersion: 2.0",
        STANZA + b"\nTitle: \xe9",
        STANZA.replace(b"1.0-2", b"1." + b"9" * 300),
    ],
)
def test_a_bad_entry_is_refused_with_words_and_costs_no_other(bad: bytes) -> None:
    good = b"Package: aa\nVersion: 2.0"
    results = found(bad + b"\n\n" + good)
    assert [type(one) for one in results].count(Invalid) == 1
    assert [one.version for one in results if isinstance(one, Record)] == ["2.0"]


@pytest.mark.parametrize(
    "name", ["../x", "/abs", "C:x", "a", "x.", "1a", "a b", "a\u202eb", "CON\x00", "a" * 300, "é"]
)
def test_an_entry_whose_name_is_none_is_counted_and_in_no_shard(name: str) -> None:
    result = contents(f"Package: {name}\nVersion: 1.0\n\n".encode() + STANZA)
    assert list(result.packages) == ["aa"]
    assert len(result.invalid) == 1


def test_names_that_differ_in_case_are_two_packages() -> None:
    result = contents(b"Package: RODBC\nVersion: 1.0\n\nPackage: rodbc\nVersion: 1.0\n")
    assert sorted(result.packages) == ["RODBC", "rodbc"]


def test_the_same_version_twice_is_one_file_at_its_own_place() -> None:
    other = b"Path: 4.4.0/Recommended\n" + STANZA
    for text in (other + b"\n\n" + STANZA, STANZA + b"\n\n" + other):
        record = only(text)
        assert isinstance(record, Record)
        assert record.address == ""


@pytest.mark.parametrize(
    "text", [b'{"packages": {}}', b"Name: x\nVersion: 1.0\n", "Package: aa".encode("utf-16")]
)
def test_what_does_not_look_like_packages_fails_the_index(text: bytes) -> None:
    with pytest.raises(BadIndex, match="does not look like PACKAGES"):
        contents(text)


def test_an_empty_index_is_an_index() -> None:
    assert contents(b"\n").count == 0


def test_archived_versions_belong_to_the_package() -> None:
    facts = FileFacts(
        {
            "aa_1.0-2.tar.gz": (100, 1_700_000_000_000),
            "Archive/aa/aa_0.9.tar.gz": (90, 1_600_000_000_000),
            "Archive/aa/aa_1.0-2.tar.gz": (1, 1),
            "Archive/gone/gone_0.1.tar.gz": (-1, None),
        }
    )
    result = contents(STANZA, facts=facts)
    assert result.count == 3
    bodies = {name: body for name, body, _ in result.bodies()}
    old, new = records(bodies["aa"], section=SOURCE, name="aa")
    assert isinstance(old, Record)
    assert isinstance(new, Record)
    assert (old.filename, old.size, old.timestamp) == ("aa_0.9.tar.gz", 90, 1_600_000_000_000)
    assert (old.address, old.license) == ("Archive/aa/aa_0.9.tar.gz", "GPL (>= 2)")
    assert (new.size, new.timestamp, new.address) == (100, 1_700_000_000_000, "")
    (gone,) = records(bodies["gone"], section=SOURCE, name="gone")
    assert isinstance(gone, Record)
    assert (gone.license, gone.md5, gone.size) == ("", "", -1)
    assert result.newest == 1_700_000_000_000


def test_a_body_is_canonical() -> None:
    result = contents(b"Package: aa\nVersion: 2.0\n\n" + STANZA)
    ((_, body, count),) = result.bodies()
    assert count == 2
    found_ = entries(body)
    assert build(reversed(found_.items())) == body
    assert build([]) == b""
    assert entries(b"") == {}


def test_fields_are_cut_out_with_their_continuations() -> None:
    text = b"Path: a,\n  b\nPackage: aa\nPathology: x\nFile:\n y\nVersion: 1.0"
    assert without_fields(text, ("Path", "File")) == b"Package: aa\nPathology: x\nVersion: 1.0"


@pytest.mark.parametrize(
    ("line", "time"),
    [
        ("Date/Publication: 2023-11-14 22:13:20 UTC", 1_700_000_000_000),
        ("Published: 2023-11-14", 1_699_920_000_000),
        ("Published: 2023-13-41", None),
        ("Published: yesterday", None),
        ("Date: 2023-11-14", None),
    ],
)
def test_a_date_that_only_the_entry_tells_is_taken(line: str, time: int | None) -> None:
    record = only(STANZA + b"\n" + line.encode())
    assert isinstance(record, Record)
    assert record.timestamp == time


@pytest.mark.parametrize(
    ("size", "time"),
    [(-1.0, -1.0), (math.nan, math.nan), (math.inf, 1e300), (None, None), (b"12", b"12")],
)
def test_M10_impossible_sizes_and_times_are_missing(size: object, time: object) -> None:
    table = Vector(
        [Vector([size]), Vector([time])],
        {
            b"names": Vector([b"size", b"mtime"]),
            b"row.names": Vector([b"aa_1.0-2.tar.gz"]),
        },
    )
    facts = FileFacts()
    add_table(facts, table, None)
    assert facts.files == {"aa_1.0-2.tar.gz": (-1, None)}


@pytest.mark.parametrize(
    "place",
    [
        b"bb/aa_0.9.tar.gz",
        b"aa/../aa_0.9.tar.gz",
        b"/aa/aa_0.9.tar.gz",
        b"aa/aa_0.9.zip",
        b"aa/README",
        b"aa_0.9.tar.gz",
    ],
)
def test_odd_files_of_an_archive_are_passed_over(place: bytes) -> None:
    table = Vector([], {b"names": Vector([]), b"row.names": Vector([place])})
    facts = FileFacts()
    add_table(facts, table, "aa")
    assert (facts.files, facts.odd) == ({}, 1)
