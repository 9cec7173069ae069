"""One file with everything: what goes in comes out, and a damaged one changes nothing."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisories import bundle, lease
from advisories.archives import Kind
from advisories.importing import import_file
from advisories.models import Advisory, AffectedPackage, Curation, Identifier, Mapping, Record
from advisories.spool import BadArchive
from tests.advisories import files, records

pytestmark = pytest.mark.django_db

MODELS = (AffectedPackage, Identifier, Record, Advisory, Mapping, Curation)


def content() -> list[object]:
    """Everything that a bundle carries, without the numbers of rows."""
    return [
        sorted(Record.objects.values_list("source", "name", "advisory__name", "modified")),
        sorted(Identifier.objects.values_list("record__name", "text", "upstream")),
        sorted(AffectedPackage.objects.values_list("record__name", "ecosystem", "name")),
        sorted(Advisory.objects.values_list("name", "score", "severity"), key=str),
        sorted(Mapping.objects.values_list("conda_name", "by_hand", "projects"), key=str),
        sorted(Curation.objects.values_list("advisory", "spec", "status", "author", "created_at")),
    ]


def exported(folder: Path) -> Path:
    path = folder / "bundle.zip"
    with lease.hold() as held:
        bundle.write(path, held)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A bundle of everything there is."""
    spread = json.dumps(json.loads(records.TORCH), indent=2).encode()
    import_file(files.written(tmp_path, files.archive(records.PYYAML, records.PYYAML_TWIN, spread)))
    item = records.nvd_item("CVE-2020-14343", cvssMetricV31=[records.metric(records.V31, 9.8)])
    import_file(files.written(tmp_path, records.nvd_feed(item)))
    import_file(files.written(tmp_path, {"pytorch": ["torch"], "zlib": None}))
    import_file(files.written(tmp_path, records.OPENVEX))
    Mapping.objects.create(conda_name="yaml", by_hand=True, projects=None)
    return exported(tmp_path)


def forget() -> None:
    for model in MODELS:
        model.objects.all().delete()


def test_everything_that_is_exported_can_be_imported(path: Path) -> None:
    before = content()
    forget()
    result = import_file(path)
    assert result.kind is Kind.BUNDLE
    assert result.written.broken == 0
    assert content() == before
    again = import_file(path)
    assert (again.written.added, again.written.updated) == (0, 0)
    assert content() == before


def test_the_members_are_neutral_and_the_manifest_has_their_hashes(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        for member in manifest["members"]:
            text = archive.read(member["name"])
            assert len(text) == member["size"]
            assert hashlib.sha256(text).hexdigest() == member["sha256"]
        lines = archive.read("osv.ndjson").splitlines()
    assert [json.loads(line)["id"] for line in lines] == [
        "GHSA-8q59-q68h-6hv4",
        "PYSEC-2021-142",
        "GHSA-53q9-r3pm-6pq6",
    ]


def rewritten(path: Path, **members: bytes | None) -> bytes:
    """The bundle with other members; None takes one away."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            key = name.partition(".")[0]
            text = members[key] if key in members else old.read(name)
            if text is not None:
                new.writestr(name, text)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "members",
    [
        {"osv": b"{}\n"},
        {"curations": None},
        {"manifest": b"{}"},
        {"manifest": b"no"},
        {"manifest": b'{"format":"x","version":1,"created":"2024-01-01T00:00:00Z","members":[]}'},
        {
            "manifest": b'{"format":"advisory-bundle","version":1,"created":"2024-01-01T00:00:00Z",'
            b'"members":[{"name":"../x","size":0,"sha256":""}]}'
        },
    ],
)
def test_a_bundle_that_is_not_what_its_manifest_says_changes_nothing(
    path: Path, tmp_path: Path, members: dict[str, bytes | None]
) -> None:
    text = rewritten(path, **members)
    forget()
    with pytest.raises(BadArchive):
        import_file(files.written(tmp_path, text))
    assert not Record.objects.exists()
    assert not Curation.objects.exists()


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_a_bundle_with_changed_bytes_is_imported_or_refused(
    path: Path, data: st.DataObject
) -> None:
    text = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + 1] = data.draw(st.binary(max_size=3))
    before = content()
    changed = path.with_name("changed.zip")
    changed.write_bytes(bytes(text))
    with suppress(BadArchive):
        import_file(changed)
    # What it held is here already: whether it was read or refused, nothing is another.
    assert content() == before


def test_a_broken_line_costs_no_other(path: Path, tmp_path: Path) -> None:
    good = b'"family":"python","status":"cleared","author":"me","created_at":"2024-01-01T00:00:00Z"'
    lines = [
        b'{"advisory":"CVE-1","package":"a",' + good + b"}",
        b'{"advisory":"CVE-1","package":"a","spec":"??",' + good + b"}",
        b'{"advisory":"CVE-1","package":"a","spec":"==1","filename":"b",' + good + b"}",
        b'{"advisory":"CVE-1","package":"\\u0000",' + good + b"}",
        b'{"advisory":"CVE-1","package":"a","status":"fine"}',
        b"[",
    ]
    text = b"\n".join(lines)
    digest = hashlib.sha256(text).hexdigest()
    manifest = {
        "format": "advisory-bundle",
        "version": 1,
        "created": "2024-01-01T00:00:00Z",
        "members": [{"name": "curations.ndjson", "size": len(text), "sha256": digest}],
    }
    forget()
    upload = rewritten(path, curations=text, manifest=json.dumps(manifest).encode())
    result = import_file(files.written(tmp_path, upload))
    assert (result.written.added, result.written.broken) == (1, 5)
    assert Curation.objects.get().package == "a"


def test_nothing_is_imported_while_everything_is_exported(path: Path) -> None:
    with lease.hold(), pytest.raises(lease.ImportBusy):
        import_file(path)
