"""REST: advisories and what channels list of them, curations, data, VEX, marks on packages."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from accounts.models import Role, User
from advisories.models import Curation, Feed
from channels import notify
from channels.models import Channel
from history.models import Event, EventType
from tests import scene
from tests.advisories import files, records
from tests.condatree import FakeConda
from tests.web import advisory_scene
from tests.web.client import Api, message, person

pytestmark = pytest.mark.django_db(transaction=True)

PYYAML = "CVE-2020-14343"


@pytest.fixture
def api() -> Api:
    return Api(person("admin"))


@pytest.fixture
def channel(settings: Any, tmp_path: Path) -> Iterator[Channel]:
    with FakeConda() as conda:
        settings.UPSTREAM_ALLOW = (conda.url,)
        yield advisory_scene.filled(conda, tmp_path)


def curator(level: str = "write") -> User:
    """A user whose role may decide about advisories."""
    scene.admin()
    attributes = {"channel": "read", "artifact": "read", "cve": level}
    role = Role.objects.create(name=f"cve {level}", attributes=attributes)
    return User.objects.create_user(f"cve-{level}", password="a long password", role=role)


def ids(answer: tuple[int, Any]) -> list[str]:
    status, body = answer
    assert status == 200, body
    return [item["id"] for item in body["items"]]


def upload(api: Api, content: bytes, **fields: str) -> tuple[int, Any]:
    """A file sent as a browser's form sends it."""
    body = {"file": SimpleUploadedFile("upload", content), **fields}
    answer = api.client.post("/api/advisories/import", body, headers=api.headers)
    return answer.status_code, answer.json()


class TestLists:
    def test_every_advisory_is_listed_or_those_about_what_channels_list(
        self, api: Api, channel: Channel
    ) -> None:
        every = ids(api.get("/cves"))
        assert "CVE-2022-39209" in every, "of a package that no channel lists"
        listed = ids(api.get("/cves?listed=true"))
        assert listed[0] == "PYSEC-2024-154", "malware comes first"
        assert set(listed) == {
            "PYSEC-2024-154", PYYAML, "CVE-2022-42969", "GHSA-aaaa-bbbb-cccc",
        }  # fmt: skip
        assert ids(api.get("/channels/main/cves")) == listed
        assert ids(api.get("/channels/main/artifacts/conda/PyYAML/cves")) == [PYYAML]

    def test_an_item_has_the_shape_of_the_vendors_clients(self, api: Api, channel: Channel) -> None:
        item = api.get(f"/cves?q={PYYAML}")[1]["items"][0]
        assert item["cvssv3_score"] == 9.8
        assert item["cvssv2_score"] is None
        assert item["cvssv3"]["cvssV3"]["attackVector"] == "NETWORK"
        assert item["cvssv3"]["cvssV3"]["baseSeverity"] == "CRITICAL"
        assert set(item["cvssv2"]["cvssV2"].values()) == {None}
        assert item["packages_count"] == 1
        assert item["files_count"] == 2
        assert [(row["subdir"], row["name"]) for row in item["packages"]] == [
            ("linux-64", "pyyaml"),
            ("win-64", "pyyaml"),
        ]
        assert (item["status"], item["curated"]) == ("reported", False)
        assert item["published_at"].startswith("2021-03-25")

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("q=pysec-2021-142", [PYYAML]),
            ("q=Py_YAML", []),
            ("q=pyyaml", [PYYAML]),
            ("q=code%20execution", [PYYAML]),
            ("severity=malware", ["PYSEC-2024-154"]),
            ("severity=unknown", ["GHSA-aaaa-bbbb-cccc"]),
            ("severity=high", ["CVE-2022-42969"]),
            ("ecosystem=cran", []),
            ("ecosystem=conda&sort=id&limit=1", ["CVE-2020-14343"]),
            ("status=active", []),
            ("sort=-packages&limit=0", []),
        ],
    )
    def test_lists_are_searched_filtered_and_paged(
        self, api: Api, channel: Channel, query: str, expected: list[str]
    ) -> None:
        assert ids(api.get(f"/cves?listed=true&{query}")) == expected

    def test_all_advisories_are_filtered_by_ecosystem_and_status(
        self, api: Api, channel: Channel
    ) -> None:
        assert ids(api.get("/cves?ecosystem=cran")) == ["CVE-2022-39209"]
        body = {"package": "commonmark", "family": "cran", "status": "disputed"}
        assert api.post("/cves/RSEC-2023-6/curations", body)[0] == 201
        assert ids(api.get("/cves?status=disputed")) == ["CVE-2022-39209"]
        assert "CVE-2022-39209" not in ids(api.get("/cves?status=reported"))

    @pytest.mark.parametrize("query", ["sort=name", "severity=bad", "offset=-1", "status=open"])
    def test_a_wrong_question_is_refused_with_the_field(self, api: Api, query: str) -> None:
        status, sentence = message(api.get(f"/cves?{query}"))
        assert status == 422
        assert query.partition("=")[0] in sentence


class TestOneAdvisory:
    @pytest.mark.parametrize("id", [PYYAML, "ghsa-8Q59-q68h-6hv4", "PYSEC-2021-142"])
    def test_any_alias_leads_to_it(self, api: Api, channel: Channel, id: str) -> None:
        body = api.get(f"/cves/{id}")[1]
        assert body["id"] == PYYAML
        assert set(body["aliases"]) == {"GHSA-8q59-q68h-6hv4", "PYSEC-2021-142"}
        assert body["references"] == ["https://example.org/advisory?a=1&b=2"]
        assert body["channels"] == [{"channel": "main", "packages": 1, "files": 2}]
        assert {package["version"] for package in body["packages"]} == {"5.3.1"}
        assert body["scores"][0]["version"] == "3.1"
        assert {"< 5.4"} == {text for entry in body["affected"] for text in entry["ranges"]}

    def test_its_files_are_listed_in_pages(self, api: Api, channel: Channel) -> None:
        body = api.get(f"/cves/{PYYAML}/files?limit=1&offset=1")[1]
        assert body["total_count"] == 2
        (file,) = body["items"]
        assert file["ckey"] == "win-64/pyyaml-5.3.1-0.conda"
        assert (file["channel_name"], file["parent_channel_name"]) == ("main", "")
        assert (file["cve_status"], file["matched_by"]) == ("reported", "mapping")

    def test_one_that_does_not_exist_is_404(self, api: Api) -> None:
        assert message(api.get("/cves/CVE-1999-0001"))[0] == 404

    def test_what_a_caller_may_not_see_does_not_exist(self, api: Api, channel: Channel) -> None:
        api.put("/channels/main", {"privacy": "private"})
        stranger = Api(person("stranger", "reader"))
        assert ids(stranger.get("/cves?listed=true")) == []
        body = stranger.get(f"/cves/{PYYAML}")[1]
        assert (body["packages"], body["channels"], body["packages_count"]) == ([], [], 0)
        assert stranger.get(f"/cves/{PYYAML}/files")[1]["total_count"] == 0
        assert stranger.get("/channels/main/cves")[0] == 404
        assert stranger.get("/channels/main/vex")[0] == 404

    def test_a_role_without_the_attribute_sees_nothing(self) -> None:
        assert message(Api(curator("none")).get("/cves"))[0] == 403


class TestMarks:
    def test_packages_and_files_have_their_score_and_status(
        self, api: Api, channel: Channel
    ) -> None:
        packages = {item["name"]: item for item in api.get("/channels/main/artifacts")[1]["items"]}
        pyyaml = packages["pyyaml"]
        assert (pyyaml["cve_count"], pyyaml["cve_score"], pyyaml["cve_status"]) == (
            1, 9.8, "reported",
        )  # fmt: skip
        assert packages["ultralytics"]["malware"]
        assert packages["numpy"]["cve_severity"] == "unknown"
        zlib = packages["zlib"]
        assert (zlib["cve_count"], zlib["advisory_data"]) == (0, False)
        listed = api.get("/channels/main/artifacts/conda/pyyaml/files")[1]["items"]
        scores = {(file["ckey"], file["cve_score"], file["cve_status"]) for file in listed}
        assert scores == {
            ("linux-64/pyyaml-5.3.1-0.conda", 9.8, "reported"),
            ("win-64/pyyaml-5.3.1-0.conda", 9.8, "reported"),
            ("linux-64/pyyaml-6.0-0.conda", None, None),
        }


class TestCurations:
    def test_a_decision_takes_effect_and_can_be_taken_back(
        self, api: Api, channel: Channel
    ) -> None:
        body = {"package": "PyYAML", "family": "conda", "status": "cleared", "reason": "not used"}
        status, row = api.post("/cves/PYSEC-2021-142/curations", body)
        assert status == 201
        assert (row["package"], row["author"], row["cve"]) == ("pyyaml", "admin", PYYAML)
        assert ids(api.get("/channels/main/cves?status=cleared")) == [PYYAML]
        listed = api.get("/channels/main/artifacts/conda/pyyaml")[1]
        assert (listed["cve_count"], listed["cve_score"], listed["cve_status"]) == (
            0, None, "cleared",
        )  # fmt: skip
        assert api.get(f"/cves/{PYYAML}")[1]["curated"]
        assert Event.objects.filter(type=EventType.CVE_UPDATED).count() == 1
        assert api.get(f"/cves/{PYYAML}/curations")[1]["items"] == [row]
        assert api.delete(f"/cves/{PYYAML}/curations/{row['id']}")[0] == 204
        assert api.delete(f"/cves/{PYYAML}/curations/{row['id']}")[0] == 404
        assert ids(api.get("/channels/main/cves?status=cleared")) == []

    def test_one_file_and_a_version_spec_can_be_decided_about(
        self, api: Api, channel: Channel
    ) -> None:
        body = {"package": "pyyaml", "family": "conda", "status": "mitigated"}
        name = "pyyaml-5.3.1-0.conda"
        assert api.post(f"/cves/{PYYAML}/curations", {**body, "filename": name})[0] == 201
        listed = api.get(f"/cves/{PYYAML}/files")[1]["items"]
        assert {file["cve_status"] for file in listed} == {"mitigated"}
        both = {**body, "filename": name, "spec": ">=5"}
        status, sentence = message(api.post(f"/cves/{PYYAML}/curations", both))
        assert (status, "filename" in sentence) == (422, True)
        bad = api.post(f"/cves/{PYYAML}/curations", {**body, "spec": ">>5"})
        assert (bad[0], list(bad[1]["error"]["fields"])) == (422, ["spec"])

    def test_many_are_saved_together_or_not_at_all(self, api: Api, channel: Channel) -> None:
        good = {"cve": PYYAML, "package": "pyyaml", "family": "conda", "status": "active"}
        bad = {**good, "cve": "CVE-1999-0001", "family": "cobol"}
        status, body = api.post("/cves/curations", {"curations": [good, bad]})
        assert status == 422
        assert set(body["error"]["fields"]) == {"1.advisory", "1.family"}
        assert not Curation.objects.exists()
        assert api.post("/cves/curations", {"curations": [good, good]})[0] == 201
        answer = api.get("/cves/curations?q=yaml&limit=1")[1]
        assert (answer["total_count"], len(answer["items"])) == (2, 1)

    def test_only_who_may_write_decides(self, channel: Channel) -> None:
        body = {"package": "pyyaml", "family": "conda", "status": "active"}
        assert message(Api(curator("read")).post(f"/cves/{PYYAML}/curations", body))[0] == 403
        assert Api(curator("write")).post(f"/cves/{PYYAML}/curations", body)[0] == 201

    def test_a_token_for_some_channels_does_not_decide_for_all(
        self, api: Api, channel: Channel
    ) -> None:
        resources = [{"channel": "main", "level": "manage"}]
        body = {"name": "t", "expires_at": "2027-01-01", "resources": resources}
        token = api.post("/account/tokens", body)[1]["token"]
        limited = Api(None, X_Auth=token)
        answer = {"package": "pyyaml", "family": "conda", "status": "active"}
        assert message(limited.post(f"/cves/{PYYAML}/curations", answer))[0] == 403


class TestData:
    def test_an_upload_is_recognised_and_counted(self, api: Api) -> None:
        status, body = upload(api, files.archive(records.PYYAML, b"{}"))
        assert status == 200, body
        assert (body["format"], body["added"], body["broken"]) == ("osv_archive", 1, 1)
        assert len(body["broken_names"]) == 1
        status = api.get("/advisories/status")[1]
        assert (status["advisories"], status["stale"], status["configured"]) == (1, False, False)
        (feed,) = status["feeds"]
        assert (feed["source"], feed["url"], feed["added"], feed["broken"]) == ("osv", "", 1, 1)
        assert feed["age_seconds"] >= 0

    def test_what_is_none_of_the_formats_is_refused_and_changes_nothing(self, api: Api) -> None:
        for content, fields in (
            (b"not advisories", {}),
            (files.archive(records.PYYAML), {"format": "nvd"}),
            (files.archive(records.PYYAML), {"format": "xml"}),
        ):
            status, body = upload(api, content, **fields)
            assert status == 422, body
            assert set(body["error"]["fields"]) <= {"file", "format"}
        assert not Feed.objects.exists()
        assert api.post("/advisories/import")[0] == 422

    def test_a_form_without_a_boundary_is_refused_in_a_sentence(self, api: Api) -> None:
        answer = api.client.generic(
            "POST", "/api/advisories/import", b"x",
            content_type="multipart/form-data", headers=api.headers,
        )  # fmt: skip
        assert answer.status_code == 400
        assert "no multipart form" in answer.json()["message"]

    def test_the_bundle_brings_everything_to_another_server(
        self, api: Api, channel: Channel
    ) -> None:
        body = {"package": "pyyaml", "family": "conda", "status": "active"}
        api.post(f"/cves/{PYYAML}/curations", body)
        answer = api.client.get("/api/advisories/bundle", headers=api.headers)
        content = b"".join(answer.streaming_content)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            assert b'"active"' in archive.read("curations.ndjson")
        Curation.objects.all().delete()
        assert upload(api, content)[1]["format"] == "bundle"
        assert Curation.objects.get().status == "active"
        status = Api(curator("read")).get("/advisories/bundle")[0]
        assert status == 403

    def test_a_refresh_is_asked_of_a_worker(
        self, api: Api, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert message(api.post("/advisories/refresh"))[0] == 409
        settings.OSV_URL = "https://osv.example.org"
        sent: list[str] = []
        monkeypatch.setattr(notify, "_send", lambda task: sent.append(task) or True)
        assert api.post("/advisories/refresh") == (202, {"requested": True})
        assert sent == ["refresh_advisories"]
        monkeypatch.setattr(notify, "_send", lambda task: False)
        assert message(api.post("/advisories/refresh"))[0] == 503

    def test_the_name_mapping_is_edited_by_hand(self, api: Api, channel: Channel) -> None:
        assert api.put("/advisories/mappings/pyyaml", {"projects": None})[0] == 200
        assert ids(api.get("/channels/main/artifacts/conda/pyyaml/cves")) == []
        rows = api.get("/advisories/mappings?q=pyyaml")[1]["items"]
        assert [(row["by_hand"], row["projects"]) for row in rows] == [
            (True, None),
            (False, ["pyyaml"]),
        ]
        assert api.delete("/advisories/mappings/pyyaml")[0] == 204
        assert message(api.delete("/advisories/mappings/pyyaml"))[0] == 404
        assert ids(api.get("/channels/main/artifacts/conda/pyyaml/cves")) == [PYYAML]
        assert message(api.put("/advisories/mappings/UPPER CASE", {"projects": ["x"]}))[0] == 422


class TestVex:
    def test_decisions_leave_and_come_back_as_openvex(self, api: Api, channel: Channel) -> None:
        assert api.get("/channels/main/vex")[1]["statements"] == []
        body = {"package": "pyyaml", "family": "conda", "status": "cleared", "reason": "not used"}
        api.post(f"/cves/{PYYAML}/curations", body)
        document = api.get("/channels/main/vex")[1]
        (statement,) = document["statements"]
        assert statement["vulnerability"]["name"] == PYYAML
        assert (statement["status"], statement["impact_statement"]) == ("not_affected", "not used")
        assert [product["@id"] for product in statement["products"]] == ["pkg:conda/pyyaml"]
        Curation.objects.all().delete()
        assert upload(api, json.dumps(document).encode())[0] == 200
        rows = {(row.status, row.filename, row.document) for row in Curation.objects.all()}
        assert rows == {("cleared", "", document["@id"])}
