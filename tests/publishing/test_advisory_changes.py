"""From an advisory to what clients get: at once, in every form, and without the upstream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings

from advisories import change_log, curation
from advisories.curation import Decision
from advisories.importing import import_file
from channels import rollback
from channels import services as channel_services
from channels.models import Channel
from history.models import Event
from mirrors.models import Mirror
from publishing import advisory_changes, advisory_index, advisory_listings, explain, judge
from tests import invariants, scene
from tests.advisories import files, records
from tests.condatree import FakeConda
from tests.crantree import FakeCran
from tests.invariants import served
from tests.simpletree import FakeSimple
from tests.upstream import FakeUpstream
from tests.wsgi import Client, packages

pytestmark = pytest.mark.django_db(transaction=True)

COMMONMARK = records.osv(
    "RSEC-2023-6",
    records.affected("commonmark", ("introduced", "0.2"), ("fixed", "1.8.1"), ecosystem="CRAN"),
    upstream=["CVE-2022-39209"],
    vector=records.V31,
)
DATA = files.archive(records.PYYAML, records.PYYAML_TWIN, records.ULTRALYTICS, COMMONMARK)


@dataclass
class Stage:
    """A channel with an affected file and one that is not, of one type."""

    channel: Channel
    mirror: Mirror
    upstream: FakeUpstream
    family: str
    package: str
    affected: str
    """The path of the affected file."""
    advisory: str

    def get(self, path: str = "") -> Any:
        return Client(packages).get(f"/api/repo/{self.channel.path}/{path or self.affected}")

    def lists(self) -> bool:
        """Whether any form lists the affected file; they all agree."""
        self.channel.refresh_from_db()
        invariants.check(self.channel)
        name = self.affected.rpartition("/")[2]
        stem = name.removesuffix(".tar.gz").replace("_", " ").encode()
        return any(
            name.encode() in body or (self.family == "cran" and _has_stanza(body, stem))
            for body in served(self.channel).values()
        )


def _has_stanza(body: bytes, stem: bytes) -> bool:
    package, _, version = stem.partition(b" ")
    return b"Package: %s\nVersion: %s\n" % (package, version) in body


def conda(stack: ExitStack, settings: LazySettings) -> tuple[FakeConda, tuple[str, ...]]:
    server = stack.enter_context(FakeConda())
    server.add("noarch", "pyyaml", "5.3.1")
    server.add("noarch", "pyyaml", "6.0")
    server.add("linux-64", "zlib", "1.3")
    server.publish()
    settings.UPSTREAM_ALLOW = (server.url,)
    return server, ("conda", server.channel, "pyyaml", "noarch/pyyaml-5.3.1-0.conda")


def python(stack: ExitStack, settings: LazySettings) -> tuple[FakeSimple, tuple[str, ...]]:
    server = stack.enter_context(FakeSimple())
    server.add_wheel("pyyaml", "5.3.1")
    server.add_wheel("pyyaml", "6.0")
    server.publish()
    settings.UPSTREAM_ALLOW = (server.url,)
    name = "pyyaml-5.3.1-py3-none-any.whl"
    return server, ("python_simple", server.index, "pyyaml", f"simple/pyyaml/{name}")


def cran(stack: ExitStack, settings: LazySettings) -> tuple[FakeCran, tuple[str, ...]]:
    server = stack.enter_context(FakeCran())
    server.add("commonmark", "1.8.0")
    server.add("other", "1.0")
    server.publish()
    settings.UPSTREAM_ALLOW = (server.url,)
    path = "cran/src/contrib/commonmark_1.8.0.tar.gz"
    return server, ("CRAN", server.repository, "commonmark", path)


@pytest.fixture(params=[conda, python, cran], ids=lambda make: str(make.__name__))
def stage(request: pytest.FixtureRequest, settings: LazySettings) -> Iterator[Stage]:
    with ExitStack() as stack:
        server, (kind, source, package, path) = request.param(stack, settings)
        channel = scene.channel()
        mirror = scene.mirror(channel, source, mirror_type=kind, filters=_projects(kind))
        scene.run_now(mirror)
        server.forget()
        family = request.param.__name__
        advisory = "CVE-2022-39209" if kind == "CRAN" else "CVE-2020-14343"
        yield Stage(channel, mirror, server, family, package, path, advisory)


def _projects(kind: str) -> dict[str, Any]:
    return {"only_specs": ["pyyaml", "ultralytics"]} if kind == "python_simple" else {}


def imported(folder: Path, content: bytes = DATA) -> list[Channel]:
    """Import advisories and the mapping, and have published what they change."""
    import_file(files.written(folder, {"pyyaml": ["pyyaml"], "zlib": None}))
    import_file(files.written(folder, content))
    return published()


def published() -> list[Channel]:
    channels = advisory_changes.request()
    for channel in channels:
        scene.publish(channel)
    return channels


def filtered(channel: Channel, **filters: Any) -> None:
    channel_services.edit(channel, {"filters": filters}, actor="admin")
    scene.publish(channel)


def decide(stage: Stage, status: str, **scope: str) -> list[Channel]:
    decision = Decision(stage.advisory, stage.family, stage.package, status, "looked at", **scope)
    curation.curate(decision, author="ann")
    return published()


def test_an_affected_file_leaves_every_form_and_its_address_says_why(
    stage: Stage, tmp_path: Path
) -> None:
    filtered(stage.channel, cve_score_threshold=7)
    assert stage.lists()
    assert [channel.pk for channel in imported(tmp_path)] == [stage.channel.pk]
    assert not stage.lists()
    answer = stage.get()
    assert answer.status == 404
    assert f"{stage.advisory} (score 9.8, CVSS 3.1) is above 7, status reported" in answer.detail
    assert "the channel's filter" in answer.detail
    stage.mirror.refresh_from_db()
    assert stage.mirror.counts["channel_filtered"] == {"cve": 1}
    name = stage.affected.rpartition("/")[2]
    [item] = [item for item in explain.why(stage.channel, stage.package).items
              if item["filename"] == name]  # fmt: skip
    assert (item["kept"], item["by"], item["rule"]) == (False, "channel", "cve")
    event = Event.objects.filter(type="cve_updated", channel_id=stage.channel.pk).latest("pk")
    assert event.data["packages"] == len(event.meta["names"])
    assert stage.package in event.meta["names"]
    assert decide(stage, "cleared") == [stage.channel]
    assert stage.lists()
    assert stage.upstream.count() == 0
    invariants.check(stage.channel)


def test_an_advisory_without_a_score_is_unknown_kept_and_said_so(
    stage: Stage, tmp_path: Path
) -> None:
    filtered(stage.channel, cve_score_threshold=0)
    ecosystem = "CRAN" if stage.family == "cran" else "PyPI"
    zero = ("introduced", "0")
    entry = records.affected(stage.package, zero, ecosystem=ecosystem)
    imported(tmp_path, files.archive(records.osv("PYSEC-2099-7", entry)))
    assert stage.lists()
    # The dispatcher does it after the publication.
    advisory_index.update(stage.channel)
    [mark] = advisory_listings.package_marks(stage.channel, [stage.package]).values()
    assert (mark.count, mark.score, mark.unknown) == (1, None, True)
    filtered(stage.channel, cve_score_threshold=0, cve_unknown="exclude")
    assert not stage.lists()
    assert "PYSEC-2099-7" in stage.get().detail
    assert stage.upstream.count() == 0


def test_malware_is_refused_by_every_channel_that_does_not_say_otherwise(
    stage: Stage, tmp_path: Path
) -> None:
    ecosystem = "CRAN" if stage.family == "cran" else "PyPI"
    report = records.osv("MAL-2024-1", records.affected(stage.package, ecosystem=ecosystem))
    assert [channel.pk for channel in imported(tmp_path, files.archive(report))]
    assert not stage.lists()
    answer = stage.get()
    assert answer.status == 404
    assert "MAL-2024-1 reports it as malware, status reported" in answer.detail
    stage.mirror.refresh_from_db()
    assert list(stage.mirror.counts["mirror_filtered"]) == ["malware"]
    assert stage.upstream.count() == 0


def test_without_a_rule_on_scores_only_malware_asks_for_a_publication(
    stage: Stage, tmp_path: Path
) -> None:
    import_file(files.written(tmp_path, {"pyyaml": ["pyyaml"]}))
    published()
    assert imported(tmp_path) == []
    assert stage.lists()


def test_only_the_packages_concerned_are_judged_again(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filtered(stage.channel, cve_score_threshold=7)
    asked: list[str] = []
    real = judge.apply_rules

    def noting(section: judge.SectionInputs, names: list[str]) -> list[judge.PackageRecords]:
        asked.extend(names)
        return real(section, names)

    monkeypatch.setattr(judge, "apply_rules", noting)
    import_file(files.written(tmp_path, DATA))
    import_file(files.written(tmp_path, {"pyyaml": ["pyyaml"]}))
    published()
    assert set(asked) == {stage.package}


@pytest.mark.parametrize(
    ("status", "filters", "kept"),
    [
        ("mitigated", {"cve_score_threshold": 7}, True),
        ("disputed", {"cve_score_threshold": 7}, False),
        ("active", {"exclude_non_curated_cve": True}, True),
        ("active", {"cve_statuses_excluded": ["active"]}, False),
    ],
)
def test_statuses_act(
    stage: Stage, tmp_path: Path, status: str, filters: dict[str, Any], kept: bool
) -> None:
    imported(tmp_path)
    filtered(stage.channel, **filters)
    decide(stage, status)
    assert stage.lists() is kept


def test_a_status_of_one_file_or_version_is_no_status_of_others(
    stage: Stage, tmp_path: Path
) -> None:
    imported(tmp_path)
    filtered(stage.channel, cve_score_threshold=7)
    decide(stage, "cleared", filename="another-5.3.1.whl")
    assert not stage.lists()
    decide(stage, "cleared", filename=stage.affected.rpartition("/")[2])
    assert stage.lists()
    advisory = curation.find(stage.advisory)
    assert advisory is not None
    for row in curation.of_advisory(advisory):
        curation.withdraw([row], actor="ann")
    published()
    assert not stage.lists()
    told = Event.objects.filter(type="cve_updated", actor="ann", channel_id=None)
    assert [event.meta["status"] for event in told.order_by("pk")] == [
        "cleared", "cleared", "reported", "reported",
    ]  # fmt: skip


def test_a_change_between_import_and_publication_is_not_lost(stage: Stage, tmp_path: Path) -> None:
    filtered(stage.channel, cve_score_threshold=7)
    import_file(files.written(tmp_path, {"pyyaml": ["pyyaml"]}))
    import_file(files.written(tmp_path, DATA))
    # Nobody asked: the process ended. A publication for whatever reason judges it all the same.
    stage.channel.request_publication()
    scene.publish(stage.channel)
    assert not stage.lists()


def test_a_rollback_brings_back_the_files_and_the_judgement_that_is_due(
    stage: Stage, tmp_path: Path
) -> None:
    filtered(stage.channel, cve_score_threshold=7)
    before = stage.channel.current
    imported(tmp_path)
    rollback.roll_back(stage.channel, before, actor="admin")
    assert stage.lists(), "freeze wins"
    scene.publish(stage.channel)
    assert stage.channel.pending_changes["removed"] == 1
    channel_services.unfreeze(stage.channel, actor="admin")
    scene.publish(stage.channel)
    assert not stage.lists()


def test_a_hand_edit_of_the_mapping_acts_both_ways(tmp_path: Path, small: FakeConda) -> None:
    channel = scene.channel(filters={"cve_score_threshold": 7})
    small.add("noarch", "yaml-bundle", "5.3.1")
    small.publish()
    scene.run_now(scene.mirror(channel, small.channel))
    imported(tmp_path)
    assert "yaml-bundle-5.3.1-0.conda" in scene.listed(channel)
    row = curation.map_name("yaml-bundle", ["PyYAML"], author="ann")
    assert published() == [channel]
    assert "yaml-bundle-5.3.1-0.conda" not in scene.listed(channel)
    curation.unmap_name(row, actor="ann")
    published()
    assert "yaml-bundle-5.3.1-0.conda" in scene.listed(channel)


def test_a_project_that_nobody_has_asked_for_yet_is_refused_with_the_reason(
    settings: LazySettings, tmp_path: Path
) -> None:
    with FakeSimple() as server:
        settings.UPSTREAM_ALLOW = (server.url,)
        for version in ("1.0", "2.0"):
            server.add_wheel("evil", version)
        server.add_wheel("good", "1.0")
        server.publish()
        channel = scene.channel()
        scene.run_now(scene.mirror(channel, server.index, mirror_type="python_simple"))
        report = records.osv("MAL-2", records.affected("evil", ("introduced", "0")))
        imported(tmp_path, files.archive(report))
        client = Client(packages)
        page = client.get("/api/repo/main/simple/evil/", accept="text/html")
        html = page.body.decode()
        assert page.status == 200
        assert '<meta name="pypi:project-status" content="quarantined">' in html
        assert "MAL-2 reports it as malware, status reported" in html
        assert "<a " not in html
        wheel = client.get("/api/repo/main/simple/evil/evil-1.0-py3-none-any.whl")
        assert wheel.status == 404
        assert "MAL-2 reports it as malware" in wheel.detail
        assert client.get("/api/repo/main/simple/good/", accept="text/html").status == 200
        invariants.check(channel)


def test_a_record_with_purls_is_judged_by_what_they_name(small: FakeConda, tmp_path: Path) -> None:
    small.add("noarch", "bundle", "1.0")
    small.change("noarch", "bundle-1.0-0.conda", purls=["pkg:pypi/pyyaml@5.3.1"])
    small.publish()
    channel = scene.channel(filters={"cve_score_threshold": 7})
    scene.run_now(scene.mirror(channel, small.channel))
    assert "bundle-1.0-0.conda" in scene.listed(channel)
    import_file(files.written(tmp_path, DATA))
    assert published() == [channel]
    assert "bundle-1.0-0.conda" not in scene.listed(channel)
    curation.curate(Decision("CVE-2020-14343", "conda", "bundle", "cleared"), author="ann")
    published()
    assert "bundle-1.0-0.conda" in scene.listed(channel)


def test_numbers_of_changes_rise_and_keep_the_last_of_each_package(tmp_path: Path) -> None:
    assert change_log.last_number() == 0
    import_file(files.written(tmp_path, files.archive(records.PYYAML, records.ULTRALYTICS)))
    first = change_log.last_number()
    assert change_log.names_since(0) == {"python": {"pyyaml", "ultralytics"}}
    assert "ultralytics" in change_log.names_since(0, malware_only=True)["python"]
    import_file(files.written(tmp_path, {"torchlib": ["torch"], "py-yaml": ["pyyaml"]}))
    assert change_log.names_since(first) == {"conda": {"torchlib", "py-yaml"}}
    import_file(files.written(tmp_path, files.archive(records.PYYAML_TWIN)))
    assert change_log.names_since(first + 1) == {"python": {"pyyaml"}, "conda": {"py-yaml"}}
    assert advisory_changes.request() == []
