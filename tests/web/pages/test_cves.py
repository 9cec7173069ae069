"""Pages about advisories: lists, one advisory and its desk, data, marks on packages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts.models import Role, User
from advisories.models import Advisory, Curation, Mapping
from channels.models import Channel, Download
from tests import scene
from tests.advisories import files, records
from tests.condatree import FakeConda
from tests.web import advisory_scene
from tests.web.client import person

pytestmark = pytest.mark.django_db(transaction=True)

PYYAML = "CVE-2020-14343"
PAGE = f"/cves/{PYYAML}/"
DECISION = {"packages": ["conda/pyyaml"], "status": "cleared", "scope": "all", "reason": "unused"}


@pytest.fixture
def channel(settings: Any, tmp_path: Path) -> Iterator[Channel]:
    with FakeConda() as conda:
        settings.UPSTREAM_ALLOW = (conda.url,)
        yield advisory_scene.filled(conda, tmp_path)


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def text(client: Client, path: str, status: int = 200) -> str:
    answer = client.get(path)
    assert answer.status_code == status, answer.content[:2000]
    return answer.content.decode()


@pytest.fixture
def admin() -> Client:
    return signed_in(scene.admin())


def test_lists_show_severity_status_and_counts(admin: Client, channel: Channel) -> None:
    page = text(admin, "/cves/")
    for words in (PYYAML, "9.8 Critical", "Malware", "No score", "Reported"):
        assert words in page
    assert "CVE-2022-39209" not in page
    assert "<script>alert" not in page
    assert "CVE-2022-39209" in text(admin, "/cves/?show=all&ecosystem=cran")
    assert "No advisory matches" in text(admin, "/cves/?q=nothing-of-this-name")
    tab = text(admin, "/channels/main/cves/?severity=critical&sort=-packages")
    assert PYYAML in tab
    assert "GHSA-aaaa-bbbb-cccc" not in tab


def test_without_data_pages_say_that_nothing_is_known(admin: Client) -> None:
    scene.channel()
    assert "No advisory data yet" in text(admin, "/cves/")
    assert "No advisory data yet" in text(admin, "/channels/main/cves/")


def test_an_advisory_is_shown_with_its_sources_under_any_id(
    admin: Client, channel: Channel
) -> None:
    page = text(admin, "/cves/PYSEC-2021-142/")
    for words in (
        PYYAML, "GHSA-8q59-q68h-6hv4", "CVSS 3.1", "&lt; 5.4", "pyyaml-5.3.1-0.conda", "mapping",
        "https://example.org/advisory?a=1&amp;b=2",
    ):  # fmt: skip
        assert words in page
    assert "javascript:" not in page
    text(admin, "/cves/CVE-1999-0001/", status=404)
    text(admin, "/cves/CVE%00/", status=404)


def test_a_decision_is_saved_shown_and_withdrawn(admin: Client, channel: Channel) -> None:
    assert admin.post(PAGE, DECISION).status_code == 302
    page = text(admin, PAGE)
    assert "Cleared" in page
    assert "set “cleared” for pyyaml" in page
    row = Curation.objects.get()
    assert (row.author, row.reason) == ("admin", "unused")
    assert "/api/channels/main/vex" in text(admin, "/channels/main/cves/")
    address = f"{PAGE}decisions/{row.pk}/"
    assert "Withdraw" in text(admin, address)
    assert admin.post(address).status_code == 302
    assert not Curation.objects.exists()
    text(admin, address, status=404)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"packages": []}, "Select at least one package."),
        ({"reason": ""}, "Say why"),
        ({"scope": "spec"}, "Enter the versions."),
        ({"scope": "file"}, "Enter the name of the file."),
        ({"scope": "spec", "spec": ">>1"}, "This could not be saved"),
        ({"packages": ["conda/unlisted"]}, "This could not be saved"),
    ],
)
def test_a_wrong_decision_is_shown_again_with_what_is_wrong(
    admin: Client, channel: Channel, changes: dict[str, Any], sentence: str
) -> None:
    answer = admin.post(PAGE, {**DECISION, **changes})
    assert answer.status_code == 422
    assert sentence in answer.content.decode()
    assert not Curation.objects.exists()


def test_several_advisories_are_decided_about_at_once(admin: Client, channel: Channel) -> None:
    address = "/channels/main/cves/?severity=critical"
    body = {"advisory": [PYYAML, "CVE-2022-42969"], "status": "active", "reason": "checked"}
    assert admin.post(address, body).status_code == 302
    assert set(Curation.objects.values_list("package", "status")) == {
        ("pyyaml", "active"),
        ("py", "active"),
    }
    answer = admin.post(address, {**body, "advisory": []})
    assert answer.status_code == 422
    assert "Select at least one advisory." in answer.content.decode()


def test_who_may_only_read_sees_no_desk(channel: Channel) -> None:
    reader = signed_in(person("reader", "reader"))
    assert "Save decision" not in text(reader, PAGE)
    assert reader.post(PAGE, DECISION).status_code == 403
    assert reader.post("/cves/data/import/").status_code == 403
    role = Role.objects.create(name="blind", attributes={"channel": "read"})
    blind = User.objects.create_user("blind", password="a long password", role=role)
    text(signed_in(blind), "/cves/", status=403)


def test_a_private_channel_is_not_named(channel: Channel) -> None:
    Channel.objects.filter(pk=channel.pk).update(privacy="private")
    page = text(signed_in(person("reader", "reader")), PAGE)
    assert "/channels/main" not in page
    assert "No channel that you can see" in page


def test_downloads_are_shown_to_who_manages_the_channel(admin: Client, channel: Channel) -> None:
    Download.objects.create(
        day="2026-11-20", channel=channel, section="linux-64", name="pyyaml", user="carol",
        filename="pyyaml-5.3.1-0.conda", count=3,
    )  # fmt: skip
    assert "carol" in text(admin, f"{PAGE}downloads/")
    assert "carol" not in text(signed_in(person("reader", "reader")), f"{PAGE}downloads/")


def test_packages_and_files_are_marked(admin: Client, channel: Channel) -> None:
    page = text(admin, "/channels/main/packages/")
    assert "9.8 Critical" in page
    assert "No advisory data" in page, "zlib"
    page = text(admin, "/channels/main/packages/conda/pyyaml/")
    assert page.count("9.8 Critical") == 2
    assert "None known" in page, "6.0 is not affected"


def test_a_file_is_uploaded(admin: Client) -> None:
    upload = SimpleUploadedFile("all.zip", files.archive(records.PYYAML, b"{}"))
    answer = admin.post("/cves/data/import/", {"file": upload}, follow=True)
    page = answer.content.decode()
    assert "1 added" in page
    assert "by upload" in page
    assert Advisory.objects.get().name == PYYAML
    answer = admin.post("/cves/data/import/", {"file": SimpleUploadedFile("x", b"no")})
    assert answer.status_code == 422
    assert admin.post("/cves/data/import/").status_code == 422


def test_the_bundle_is_downloaded(admin: Client, channel: Channel) -> None:
    answer = admin.get("/cves/data/advisories.zip")
    assert b"".join(answer.streaming_content).startswith(b"PK")  # type: ignore[arg-type]


def test_the_mapping_is_edited_by_hand(admin: Client, channel: Channel) -> None:
    body = {"conda_name": "pyyaml", "projects": ""}
    assert admin.post("/cves/data/mapping/", body).status_code == 302
    assert Mapping.objects.get(by_hand=True).projects is None
    assert "not a Python package" in text(admin, "/cves/data/?q=pyyaml")
    assert admin.post("/cves/data/mapping/", {"conda_name": "NO NAME"}).status_code == 422
    assert admin.post("/cves/data/mapping/pyyaml/").status_code == 302
    assert not Mapping.objects.filter(by_hand=True).exists()
