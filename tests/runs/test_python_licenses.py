"""License rules on an index that states no metadata: wheels that are here are read."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from ecosystems.python import wheels
from ecosystems.python.collect import THREADS
from ecosystems.python.license_reader import MOST_SILENT
from ecosystems.upstream import optional
from mirrors import warnings
from mirrors.models import Mirror
from tests import scene
from tests.rogue import Behaviour
from tests.runs.test_python import ask, files, mirror
from tests.simpletree import FakeSimple

FREE = "free-1.0-py3-none-any.whl"
VIRAL = "viral-1.0-py3-none-any.whl"
RULES = {"projects": ["free", "viral"], "exclude_licenses": ["GPL"]}


@pytest.fixture
def bare(settings: Any) -> Any:
    with FakeSimple() as server:
        settings.UPSTREAM_ALLOW = (server.url,)
        server.add_wheel("free", "1.0", license="MIT", metadata=False)
        server.add_wheel("viral", "1.0", license="GPL-3.0-only", metadata=False)
        server.publish()
        yield server


@pytest.mark.django_db(transaction=True)
class TestRules:
    def test_an_active_run_leaves_out_what_its_own_download_shows(self, bare: FakeSimple) -> None:
        channel = scene.channel()
        what = mirror(channel, bare, mirror_mode="active", filters=RULES)
        run = scene.run_now(what)
        assert (run.state, run.error) == ("completed", "")
        assert run.counts["mirror_filtered"] == {"license": 1}
        assert (run.counts["active"], run.counts["listed"]) == (1, 2)
        assert run.counts["license_unknown"] == 0
        assert files(channel, "viral") == []
        assert files(channel, "free") == [FREE]
        again = scene.run_now(what)
        assert again.counts["mirror_filtered"] == {"license": 1}
        assert not [r for r in bare.requests() if r.path.endswith(VIRAL)][1:]

    def test_what_cannot_be_known_is_counted_and_told(self, bare: FakeSimple) -> None:
        channel = scene.channel()
        what = mirror(channel, bare, filters=RULES)
        run = scene.run_now(what)
        assert run.counts["license_unknown"] == run.counts["passive"] == 2
        (text,) = warnings.of(what)
        assert "2 files" in text
        assert "unknown" in text
        assert "viral" in text

    def test_a_passive_mirror_learns_from_what_clients_have_fetched(self, bare: FakeSimple) -> None:
        channel = scene.channel()
        what = mirror(channel, bare, filters=RULES)
        scene.run_now(what)
        assert ask(channel, f"/viral/{VIRAL}").status == 200
        run = scene.run_now(what)
        assert run.counts["mirror_filtered"] == {"license": 1}
        assert run.counts["license_unknown"] == 1
        assert ask(channel, f"/viral/{VIRAL}").status == 404

    def test_without_license_rules_nothing_is_counted(self, bare: FakeSimple) -> None:
        what = mirror(scene.channel(), bare, filters={"projects": ["free"]})
        assert scene.run_now(what).counts["license_unknown"] == 0
        assert warnings.of(what) == []


@pytest.mark.django_db(transaction=True)
class TestMetadata:
    """A license rule, and `.metadata` that the index states and cannot be had."""

    @pytest.fixture
    def stated(self, settings: Any) -> Any:
        with FakeSimple() as server:
            settings.UPSTREAM_ALLOW = (server.url,)
            server.add_wheel("free", "1.0", license="MIT")
            server.add_wheel("viral", "1.0", license="MIT")
            server.publish()
            yield server

    @pytest.mark.parametrize("status", [500, 503, 403])
    def test_what_cannot_be_had_now_keeps_the_page_and_is_asked_for_once(
        self, stated: FakeSimple, status: int
    ) -> None:
        channel = scene.channel()
        what = mirror(channel, stated, filters=RULES)
        scene.run_now(what)
        later = stated.add_wheel("viral", "2.0", license="GPL-3.0-only")
        stated.publish()
        path = stated.path(f"{later}.metadata")
        again = Behaviour(status=status, headers=(("Retry-After", "100"),))
        stated.behave(path, again)
        run = scene.run_now(what)
        assert run.state == "completed"
        assert files(channel, "viral") == [VIRAL]
        assert any(str(status) in text for text in warnings.of(what))
        assert stated.count(path) == 1
        stated.behave(path)
        run = scene.run_now(what)
        assert run.counts["mirror_filtered"] == {"license": 1}

    def test_files_that_hang_delay_a_run_by_seconds_however_many_there_are(
        self, stated: FakeSimple, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        channel = scene.channel()
        rules = {"projects": ["free", *(f"p{n}" for n in range(30))], "exclude_licenses": ["GPL"]}
        monkeypatch.setattr(optional, "PATIENCE", 0.5)
        silent = []
        for name in rules["projects"][1:]:
            path = stated.path(f"{stated.add_wheel(name, '1.0')}.metadata")
            silent.append((path, Behaviour(hold_headers=True)))
            stated.behave(*silent[-1])
        stated.publish()
        try:
            run = scene.run_now(mirror(channel, stated, filters=rules))
            assert not any(one.released.is_set() for _, one in silent)
        finally:
            for _, one in silent:
                one.release()
        assert (run.state, run.error) == ("completed", "")
        assert files(channel, "free") == [FREE]
        assert sum(stated.count(path) for path, _ in silent) <= MOST_SILENT + THREADS
        (first, *_) = warnings.of(Mirror.objects.get())
        assert "in time" in first or "kept silent" in first

    @pytest.mark.parametrize("mode", ["active", "passive"])
    def test_what_has_another_hash_is_told_and_asked_for_again(
        self, stated: FakeSimple, mode: str
    ) -> None:
        channel = scene.channel()
        filters = RULES if mode == "passive" else {"exclude_licenses": ["GPL"]}
        what = mirror(channel, stated, mirror_mode=mode, filters=filters)
        later = stated.add_wheel("viral", "2.0", license="GPL-3.0-only")
        stated.behave(stated.path(later), Behaviour(status=404))
        path = stated.path(f"{later}.metadata")
        stated.behave(path, Behaviour(body=b"Metadata-Version: 2.1\nName: viral\n"))
        # Serials that are trusted and a list that is what it was must not hide it.
        for serial in (2, 3, 3, 3):
            stated.serials = {"free": 1, "viral": serial}
            stated.publish()
            run = scene.run_now(what)
            assert run.counts["license_unknown"] == 1
            assert any(f"{later}.metadata cannot be had now" in text for text in warnings.of(what))
        stated.behave(path)
        run = scene.run_now(what)
        assert run.counts["mirror_filtered"] == {"license": 1}
        assert warnings.of(what) == []

    def test_what_is_not_there_costs_no_page(self, stated: FakeSimple) -> None:
        later = stated.add_wheel("viral", "2.0", license="GPL-3.0-only")
        stated.publish()
        stated.remove(stated.path(f"{later}.metadata"))
        channel = scene.channel()
        run = scene.run_now(mirror(channel, stated, filters=RULES))
        assert run.counts["license_unknown"] == 1
        assert files(channel, "viral") == [VIRAL, later]


def packed(path: Path, *, method: int = zipfile.ZIP_DEFLATED, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", method) as wheel:
        for name, body in members.items():
            wheel.writestr(name.replace("__", "-1.0.dist-info/"), body)
    return path


class TestReading:
    """M05: a wheel is a stranger's archive."""

    def test_metadata_is_read_without_unpacking(self, tmp_path: Path) -> None:
        wheel = packed(tmp_path / "a", six__METADATA=b"License: MIT\n\n", six__RECORD=b"")
        assert wheels.license_in(wheel) == ("MIT", "")

    def test_M05_no_more_than_a_mebibyte_is_decoded(self, tmp_path: Path) -> None:
        wheel = packed(tmp_path / "a", six__METADATA=b"License: MIT\n" + b" " * (64 << 20))
        found = wheels.metadata_in(wheel)
        assert found is not None
        assert len(found) == 1 << 20

    def test_M05_two_metadata_files_tell_nothing(self, tmp_path: Path) -> None:
        wheel = packed(
            tmp_path / "a", six__METADATA=b"License: MIT\n", other__METADATA=b"License: GPL\n"
        )
        assert wheels.license_in(wheel) is None

    @pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
    def test_M05_other_compressions_are_not_begun(self, tmp_path: Path, method: int) -> None:
        wheel = packed(tmp_path / "a", method=method, six__METADATA=b"License: MIT\n")
        assert wheels.license_in(wheel) is None

    def test_M05_a_directory_of_a_million_members_is_not_read(self, tmp_path: Path) -> None:
        end = bytearray(b"PK\x05\x06" + bytes(18))
        end[12:16] = (46_000_000).to_bytes(4, "little")
        (tmp_path / "a").write_bytes(bytes(46_000_000) + end)
        assert wheels.license_in(tmp_path / "a") is None

    @pytest.mark.parametrize("name", ["six/METADATA", "METADATA", "a/six-1.0.dist-info/METADATA"])
    def test_other_places_are_not_the_wheels_metadata(self, tmp_path: Path, name: str) -> None:
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as wheel:
            wheel.writestr(name, b"License: MIT\n")
        (tmp_path / "a").write_bytes(data.getvalue())
        assert wheels.license_in(tmp_path / "a") is None

    @pytest.mark.parametrize("body", [b"", b"no zip", b"PK\x05\x06", b"PK\x05\x06" + b"\xff" * 18])
    def test_what_is_no_wheel_tells_nothing(self, tmp_path: Path, body: bytes) -> None:
        (tmp_path / "a").write_bytes(body)
        assert wheels.license_in(tmp_path / "a") is None
