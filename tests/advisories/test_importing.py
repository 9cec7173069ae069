"""Imports of every kind of file: what is stored, what is left out, and what changes nothing."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisories import archives, importing, lease, spool
from advisories.archives import Kind
from advisories.importing import import_file
from advisories.models import (
    Advisory,
    AffectedPackage,
    Curation,
    Identifier,
    ImportLease,
    Mapping,
    Record,
)
from advisories.spool import BadArchive
from history.models import Event
from tests.advisories import files, records

pytestmark = pytest.mark.django_db


def imported(folder: Path, *texts: bytes) -> importing.Result:
    """Import OSV records as an archive."""
    return import_file(files.written(folder, files.archive(*texts)))


def counts(result: importing.Result) -> tuple[int, int, int, int]:
    done = result.written
    return done.added, done.updated, done.unchanged, done.broken


def stored() -> dict[str, list[str]]:
    """The names of records by the name of their advisory."""
    found: dict[str, list[str]] = {}
    for record in Record.objects.select_related("advisory").order_by("name"):
        found.setdefault(record.advisory.name, []).append(record.name)
    return found


def test_aliases_join_records_into_one_advisory(tmp_path: Path) -> None:
    result = imported(tmp_path, records.PYYAML, records.PYYAML_TWIN, records.TORCH)
    assert counts(result) == (3, 0, 0, 0)
    assert result.kind is Kind.OSV_ARCHIVE
    assert stored() == {
        "CVE-2020-14343": ["GHSA-8q59-q68h-6hv4", "PYSEC-2021-142"],
        "CVE-2025-32434": ["GHSA-53q9-r3pm-6pq6"],
    }
    advisory = Advisory.objects.get(name="CVE-2020-14343")
    assert (advisory.score, advisory.score_version, advisory.severity) == (9.8, "3.1", "critical")
    assert result.written.packages == {("PyPI", "pyyaml"), ("PyPI", "torch")}
    assert Record.objects.get(name="PYSEC-2021-142").text == records.PYYAML_TWIN


def test_a_record_of_a_later_import_joins_what_stands(tmp_path: Path) -> None:
    imported(tmp_path, records.PYYAML_TWIN)
    assert Advisory.objects.get().severity == "unknown"
    result = imported(tmp_path, records.PYYAML)
    assert Advisory.objects.get().score == 9.8
    assert result.written.packages == {("PyPI", "pyyaml")}


def test_the_score_of_nvd_joins_by_the_cve(tmp_path: Path) -> None:
    imported(tmp_path, records.COMMONMARK)
    assert Advisory.objects.get().score is None
    item = records.nvd_item("CVE-2022-39209", cvssMetricV31=[records.metric(records.V31, 9.8)])
    result = import_file(files.written(tmp_path, records.nvd_feed(item)))
    assert result.kind is Kind.NVD
    assert counts(result) == (1, 0, 0, 0)
    advisory = Advisory.objects.get()
    assert (advisory.name, advisory.score) == ("CVE-2022-39209", 9.8)
    # The package's files are to be judged again, though no record of it changed.
    assert result.written.packages == {("CRAN", "commonmark")}


@pytest.mark.parametrize("backwards", [False, True])
def test_an_advisory_of_several_others_has_the_best_of_their_scores(
    tmp_path: Path, backwards: bool
) -> None:
    texts = [
        records.osv("CVE-1-1", vector=records.V31_LOW),
        records.osv("CVE-1-2", vector=records.V31),
        records.osv("RSEC-1", upstream=["CVE-1-1", "CVE-1-2"]),
    ]
    for text in reversed(texts) if backwards else texts:
        imported(tmp_path, text)
    assert Advisory.objects.count() == 3
    assert Advisory.objects.get(name="RSEC-1").score == 9.8


def test_a_record_that_connects_two_advisories_makes_them_one(tmp_path: Path) -> None:
    imported(tmp_path, records.osv("GHSA-1", aliases=["CVE-1"]), records.osv("PYSEC-1"))
    assert Advisory.objects.count() == 2
    imported(tmp_path, records.osv("MAL-1", aliases=["CVE-1", "PYSEC-1"]))
    assert stored() == {"CVE-1": ["GHSA-1", "MAL-1", "PYSEC-1"]}
    assert Advisory.objects.get().malware


def test_an_alias_that_is_taken_back_parts_them_again(tmp_path: Path) -> None:
    imported(
        tmp_path,
        records.osv("GHSA-1", aliases=["CVE-1", "CVE-2"]),
        records.osv("PYSEC-1", aliases=["CVE-1"]),
        records.osv("PYSEC-2", aliases=["CVE-2"]),
    )
    assert len(stored()) == 1
    newer = records.osv("GHSA-1", aliases=["CVE-1"], modified="2024-06-01T00:00:00Z")
    assert counts(imported(tmp_path, newer)) == (0, 1, 0, 0)
    assert stored() == {"CVE-1": ["GHSA-1", "PYSEC-1"], "CVE-2": ["PYSEC-2"]}
    assert Identifier.objects.count() == 6


def test_only_what_is_newer_is_written(tmp_path: Path) -> None:
    imported(tmp_path, records.PYYAML)
    assert counts(imported(tmp_path, records.PYYAML)) == (0, 0, 1, 0)
    older = records.osv("GHSA-8q59-q68h-6hv4", modified="2023-01-01T00:00:00Z")
    assert counts(imported(tmp_path, older)) == (0, 0, 1, 0)
    assert AffectedPackage.objects.get().name == "pyyaml"
    newer = records.osv(
        "GHSA-8q59-q68h-6hv4",
        records.affected("other", ("introduced", "0")),
        modified="2025-01-01T00:00:00Z",
    )
    result = imported(tmp_path, newer)
    assert counts(result) == (0, 1, 0, 0)
    assert AffectedPackage.objects.get().name == "other"
    assert result.written.packages == {("PyPI", "pyyaml"), ("PyPI", "other")}
    assert Advisory.objects.get().name == "GHSA-8q59-q68h-6hv4"


def test_a_withdrawn_record_affects_nothing(tmp_path: Path) -> None:
    imported(tmp_path, records.PYYAML)
    gone = json.loads(records.PYYAML)
    gone |= {"modified": "2025-01-01T00:00:00Z", "withdrawn": "2025-01-01T00:00:00Z"}
    imported(tmp_path, json.dumps(gone).encode())
    assert Advisory.objects.get().withdrawn
    assert not AffectedPackage.objects.exists()
    # Its twin still stands, and brings no score of its own.
    imported(tmp_path, records.PYYAML_TWIN)
    advisory = Advisory.objects.get()
    assert not advisory.withdrawn
    assert advisory.score is None
    assert AffectedPackage.objects.count() == 1


def test_a_broken_record_is_counted_named_and_skipped(tmp_path: Path) -> None:
    result = imported(
        tmp_path,
        *(b"{", records.osv("A-1", modified="never"), records.osv("A\0"), b"\xff" * 30),
        records.TORCH,
    )
    assert counts(result) == (1, 0, 0, 4)
    assert any(sentence.startswith("A-1: ") for sentence in result.written.broken_names)
    assert list(stored()) == ["CVE-2025-32434"]


def test_a_record_that_became_broken_leaves_the_old_one(tmp_path: Path) -> None:
    imported(tmp_path, records.PYYAML)
    bad = json.loads(records.PYYAML) | {"modified": "2025-01-01T00:00:00Z", "affected": 5}
    assert counts(imported(tmp_path, json.dumps(bad).encode())) == (0, 0, 0, 1)
    assert AffectedPackage.objects.count() == 1


def damaged_archives() -> dict[str, bytes]:
    good = files.archive(*[records.osv(f"A-{n}", summary="x" * 500) for n in range(50)])
    flipped = bytearray(good)
    flipped[len(good) // 3] ^= 0xFF
    encrypted = bytearray(files.archive(records.TORCH))
    at = encrypted.rfind(b"PK\x01\x02")
    encrypted[at + 8] |= 1
    return {
        "cut off": good[: len(good) // 2],
        "without its end": good[:-30],
        "with a changed byte": bytes(flipped),
        "encrypted": bytes(encrypted),
        "empty": files.zipped({}),
        "without records": files.zipped({"a.txt": b"", "b.txt": b""}),
        "no data": b"hello",
        "nothing": b"",
        "a page": b"<html></html>",
        "an unknown object": b'{"a": {}}',
        "a list": b"[1]",
        "a cut feed": records.nvd_feed(records.nvd_item("CVE-1-1"))[:-20],
        "cut gzip": gzip.compress(records.nvd_feed(records.nvd_item("CVE-1-1")))[:-20],
    }


@pytest.mark.parametrize("name", damaged_archives())
def test_a_broken_archive_leaves_the_old_data_whole(tmp_path: Path, name: str) -> None:
    imported(tmp_path, records.PYYAML)
    with pytest.raises(BadArchive) as caught:
        import_file(files.written(tmp_path, damaged_archives()[name]))
    assert str(caught.value).endswith(".")
    assert list(stored()) == ["CVE-2020-14343"]
    assert ImportLease.objects.get().owner == ""


def test_an_archive_bomb_is_refused_while_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "MOST_BYTES", 1 << 20)
    bomb = files.archive(*[b" " * (1 << 18) + records.osv(f"A-{n}") for n in range(10)])
    assert len(bomb) < 100_000
    with pytest.raises(BadArchive, match="more than"):
        import_file(files.written(tmp_path, bomb))
    monkeypatch.setattr(archives, "LARGEST_JSON", 1 << 20)
    with pytest.raises(BadArchive, match="more than"):
        import_file(files.written(tmp_path, gzip.compress(b" " * (2 << 20) + b"{}")))
    assert not Record.objects.exists()


def test_a_record_that_is_too_large_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (archives, spool):
        monkeypatch.setattr(module, "LARGEST_RECORD", 10_000)
    huge = records.osv("A-1", details="x" * 10_000)
    assert counts(imported(tmp_path, huge, records.TORCH)) == (1, 0, 0, 1)
    items = [records.nvd_item("CVE-1-1", description="x" * 10_000), records.nvd_item("CVE-1-2")]
    result = import_file(files.written(tmp_path, records.nvd_feed(*items)))
    assert counts(result) == (1, 0, 0, 1)


def test_a_directory_of_members_that_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "LARGEST_DIRECTORY", 200)
    with pytest.raises(BadArchive, match="lists its members"):
        imported(tmp_path, *[records.osv(f"A-{n}") for n in range(9)])
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)  # Now written in its larger form.
    with pytest.raises(BadArchive, match="lists its members"):
        imported(tmp_path, *[records.osv(f"A-{n}") for n in range(9)])
    monkeypatch.setattr(archives, "LARGEST_DIRECTORY", 1 << 20)
    assert counts(imported(tmp_path, *[records.osv(f"A-{n}") for n in range(9)]))[0] == 9


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_an_archive_with_changed_bytes_is_imported_or_refused(tmp_path: Path, data: object) -> None:
    text = bytearray(files.archive(records.PYYAML, records.TORCH))
    for _ in range(data.draw(st.integers(1, 3))):  # type: ignore[attr-defined]
        at = data.draw(st.integers(0, len(text) - 1))  # type: ignore[attr-defined]
        text[at : at + 1] = data.draw(st.binary(max_size=3))  # type: ignore[attr-defined]
    path = files.written(tmp_path, bytes(text))
    refused = False
    try:
        import_file(path)
    except BadArchive:
        refused = True
    assert refused or Record.objects.count() <= 2


def test_nvd_feeds_come_plain_in_gzip_and_in_zip(tmp_path: Path) -> None:
    for number, pack in enumerate(
        (bytes, gzip.compress, lambda text: files.zipped({"nvdcve-2.0-2024.json": text}))
    ):
        feed = records.nvd_feed(records.nvd_item(f"CVE-2024-{number}"))
        assert counts(import_file(files.written(tmp_path, pack(feed)))) == (1, 0, 0, 0)


def test_a_single_record_can_be_imported(tmp_path: Path) -> None:
    result = import_file(files.written(tmp_path, records.TORCH))
    assert result.kind is Kind.OSV_RECORD
    assert counts(result) == (1, 0, 0, 0)


def test_a_mapping_is_taken_over_and_leaves_what_was_edited_by_hand(tmp_path: Path) -> None:
    Mapping.objects.create(conda_name="yaml", by_hand=True, projects=["libyaml-wrapper"])
    first = {"pytorch": ["torch"], "zlib": None, "yaml": ["yaml"]}
    assert counts(import_file(files.written(tmp_path, first))) == (3, 0, 0, 0)
    result = import_file(files.written(tmp_path, {"pytorch": ["torch", "x"], "zlib": None, "b": 5}))
    assert result.kind is Kind.MAPPING
    assert counts(result) == (0, 1, 1, 1)
    assert result.written.packages == {("conda", "pytorch")}
    rows = Mapping.objects.order_by("conda_name", "by_hand")
    assert list(rows.values_list("conda_name", "by_hand", "projects")) == [
        ("pytorch", False, ["torch", "x"]),
        ("yaml", False, ["yaml"]),
        ("yaml", True, ["libyaml-wrapper"]),
        ("zlib", False, None),
    ]


def test_vex_documents_become_curations_with_the_document_as_author(tmp_path: Path) -> None:
    assert counts(import_file(files.written(tmp_path, records.OPENVEX))) == (2, 0, 0, 0)
    assert counts(import_file(files.written(tmp_path, records.CSAF))) == (2, 0, 0, 0)
    row = Curation.objects.get(package="pyyaml")
    assert (row.advisory, row.status, row.spec) == ("CVE-2020-14343", "cleared", "==5.3.1")
    assert row.author == "Security Team <security@example.org>"
    assert row.document == "https://example.org/vex/2024-1"
    assert set(Event.objects.values_list("type", flat=True)) == {"cve_updated"}


def test_a_newer_vex_document_takes_the_place_of_the_older(tmp_path: Path) -> None:
    import_file(files.written(tmp_path, records.OPENVEX))
    assert counts(import_file(files.written(tmp_path, records.OPENVEX))) == (0, 0, 2, 0)
    changed = dict(records.OPENVEX, statements=records.OPENVEX["statements"][:1])
    result = import_file(files.written(tmp_path, changed))
    assert Curation.objects.get().package == "pyyaml"
    assert ("conda", "pytorch") in result.written.packages


def test_two_imports_never_write_at_once(tmp_path: Path) -> None:
    with lease.hold(), pytest.raises(lease.ImportBusy):
        imported(tmp_path, records.TORCH)
    assert not Record.objects.exists()
    assert counts(imported(tmp_path, records.TORCH))[0] == 1


def test_an_import_that_lost_its_lease_writes_nothing_more(
    tmp_path: Path, settings: object
) -> None:
    settings.LEASE_SECONDS = 0  # type: ignore[attr-defined]
    with lease.hold() as slow:
        assert counts(imported(tmp_path, records.TORCH))[0] == 1
        with pytest.raises(lease.LeaseLost):
            slow.renew()


def test_what_stops_an_import_comes_through(tmp_path: Path) -> None:
    class Ended(Exception):
        pass

    def stop() -> None:
        raise Ended

    path = files.written(tmp_path, files.archive(records.TORCH))
    with pytest.raises(Ended):
        import_file(path, stop=stop)
    assert not Record.objects.exists()
    assert ImportLease.objects.filter(owner="").count() == ImportLease.objects.count()


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path, data: Path) -> None:
    imported(tmp_path, records.TORCH)
    with pytest.raises(BadArchive):
        import_file(files.written(tmp_path, io.BytesIO(b"?").getvalue()))
    assert list((data / "tmp").iterdir()) == []
