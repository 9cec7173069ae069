"""An index is had in any of its forms; what it can do without never holds a run."""

from __future__ import annotations

import bz2
import json
from collections.abc import Iterator

import pytest
import zstandard
from django.conf import LazySettings

from channels.models import Channel
from ecosystems.upstream import optional
from mirrors.models import Mirror, Run
from tests import scene
from tests.condatree import FakeConda
from tests.rogue import Behaviour, failing, html
from web.api import mirror_schemas

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = b"<!DOCTYPE html><html><body>Page not found</body></html>"
LINUX = "linux-64"


@pytest.fixture
def conda(settings: LazySettings) -> Iterator[FakeConda]:
    with FakeConda() as server:
        settings.UPSTREAM_ALLOW = (server.url,)
        server.add(LINUX, "zlib", "1.3")
        server.subdir("noarch")
        server.publish()
        yield server


@pytest.fixture
def channel() -> Channel:
    return scene.channel()


def mirror(
    conda: FakeConda, channel: Channel, subdirs: tuple[str, ...] = ("noarch", LINUX)
) -> Mirror:
    return scene.mirror(channel, conda.channel, filters={"subdirs": list(subdirs)})


def listed(channel: Channel, subdir: str = LINUX) -> list[str]:
    found = json.loads(scene.document(channel, subdir, "repodata.json"))
    return sorted({**found["packages"], **found["packages.conda"]})


def spoil(conda: FakeConda, name: str, behaviour: Behaviour) -> None:
    for subdir in (LINUX, "noarch"):
        conda.behave(conda.path(subdir, name), behaviour)


def warned(run: Run) -> str:
    run.mirror.refresh_from_db()
    return " ".join(str(text) for text in mirror_schemas.mirror_item(run.mirror)["warnings"])


@pytest.mark.parametrize("status", [400, 401, 403, 405, 406])
def test_a_form_that_is_denied_is_done_without(
    conda: FakeConda, channel: Channel, status: int
) -> None:
    for form in ("repodata.json.zst", "repodata.json.bz2"):
        spoil(conda, form, failing(status))
    assert scene.run_now(mirror(conda, channel)).state == "completed"
    assert listed(channel) == ["zlib-1.3-0.conda"]


@pytest.mark.parametrize(
    "body",
    [
        b"not zstd",
        zstandard.compress(PAGE),
        zstandard.compress(b'{"packages":{' * 50)[:-9],
        zstandard.compress(b'{"info":{"subdir":"linux-64"},"packages":{"zlib-1'),
        zstandard.compress(b'{"packages":[]}'),
    ],
)
def test_a_form_that_is_broken_is_done_without(
    conda: FakeConda, channel: Channel, body: bytes
) -> None:
    conda.set(conda.path(LINUX, "repodata.json.zst"), body)
    assert scene.run_now(mirror(conda, channel)).state == "completed"
    assert listed(channel) == ["zlib-1.3-0.conda"]


def test_bz2_is_what_is_left_where_the_others_are_broken(
    conda: FakeConda, channel: Channel
) -> None:
    spoil(conda, "repodata.json.zst", html())
    spoil(conda, "repodata.json", failing(403))
    assert scene.run_now(mirror(conda, channel)).state == "completed"
    assert listed(channel) == ["zlib-1.3-0.conda"]


@pytest.mark.parametrize("how", [failing(403), html()])
def test_where_every_form_is_refused_the_run_fails_and_says_why(
    conda: FakeConda, channel: Channel, how: Behaviour
) -> None:
    for form in ("repodata.json.zst", "repodata.json", "repodata.json.bz2"):
        spoil(conda, form, how)
    done = scene.run_now(mirror(conda, channel))
    assert done.state == "failed"
    assert "denies access" in done.error or "HTML" in done.error


def test_a_platform_that_was_published_and_is_denied_now_is_held(
    conda: FakeConda, channel: Channel
) -> None:
    made = mirror(conda, channel)
    assert scene.run_now(made).state == "completed"
    for form in ("repodata.json.zst", "repodata.json", "repodata.json.bz2"):
        conda.behave(conda.path(LINUX, form), failing(403))
    done = scene.run_now(made)
    assert (done.state, list(done.held)) == ("completed", [LINUX])
    assert "denies access" in str(done.held[LINUX]["reason"])
    assert listed(channel) == ["zlib-1.3-0.conda"]


def test_a_platform_that_never_was_and_is_denied_counts_as_not_there(
    conda: FakeConda, channel: Channel
) -> None:
    for form in ("repodata.json.zst", "repodata.json", "repodata.json.bz2"):
        conda.behave(conda.path("win-64", form), failing(403))
    done = scene.run_now(mirror(conda, channel, ("noarch", LINUX, "win-64")))
    assert done.state == "completed"
    assert "win-64 counts as not there" in warned(done)


@pytest.mark.parametrize("form", ["repodata.json.zst", "repodata.json.bz2"])
def test_of_forms_that_differ_in_age_the_newest_counts(
    conda: FakeConda, channel: Channel, form: str
) -> None:
    old = conda.index(LINUX).encode()
    conda.add(LINUX, "zlib", "2.0")
    conda.publish(forms=["json"])
    packed = zstandard.compress(old) if form.endswith("zst") else bz2.compress(old)
    conda.set(conda.path(LINUX, form), packed, last_modified=1_600_000_000)
    done = scene.run_now(mirror(conda, channel))
    assert listed(channel) == ["zlib-1.3-0.conda", "zlib-2.0-0.conda"]
    if form.endswith("zst"):
        assert "repodata.json is used" in warned(done)


def signed(channel: Channel) -> dict[str, str]:
    """File names with what signs them, as clients get it."""
    found = json.loads(scene.document(channel, LINUX, "repodata.json")).get("signatures", {})
    return {file: one["key"]["signature"] for file, one in found.items()}


def signing(conda: FakeConda, **signatures: str) -> None:
    files = {f"{name}.conda": {"key": {"signature": text}} for name, text in signatures.items()}
    conda.publish(extra={"signatures": files})


@pytest.mark.parametrize("mode", ["active", "passive"])
def test_records_keep_their_signatures_and_follow_them(
    conda: FakeConda, channel: Channel, mode: str
) -> None:
    conda.add(LINUX, "more", "1.0")
    conda.add(LINUX, "away", "1.0", extra={"url": "https://elsewhere.test/away.conda"})
    signing(conda, **{"zlib-1.3-0": "00", "more-1.0-0": "11", "away-1.0-0": "22"})
    filters = {"subdirs": [LINUX], "exclude_specs": ["more"]}
    made = scene.mirror(channel, conda.channel, mirror_mode=mode, filters=filters)
    done = scene.run_now(made)
    assert signed(channel) == {"zlib-1.3-0.conda": "00"}
    assert "1 entry of the index's `signatures` is not taken over: away-1.0-0.conda" in warned(done)
    # Only the signatures change.
    signing(conda, **{"zlib-1.3-0": "33"})
    assert "signatures" not in warned(scene.run_now(made))
    assert signed(channel) == {"zlib-1.3-0.conda": "33"}
    conda.publish()
    scene.run_now(made)
    assert signed(channel) == {}
    assert (
        json.loads(scene.document(channel, LINUX, "repodata.json"))
        .keys()
        .isdisjoint({"signatures"})
    )


def test_a_record_that_stays_keeps_the_signature_of_its_own(
    conda: FakeConda, channel: Channel
) -> None:
    signing(conda, **{"zlib-1.3-0": "00"})
    made = scene.mirror(channel, conda.channel, mirror_mode="active", filters={"subdirs": [LINUX]})
    scene.run_now(made)
    conda.add(LINUX, "zlib", "1.3", payload=10)
    signing(conda, **{"zlib-1.3-0": "11"})
    conda.behave(conda.path(LINUX, "zlib-1.3-0.conda"), failing(503))
    for _ in range(2):
        scene.run_now(made)
        assert signed(channel) == {"zlib-1.3-0.conda": "00"}
    conda.behave(conda.path(LINUX, "zlib-1.3-0.conda"))
    scene.run_now(made)
    assert signed(channel) == {"zlib-1.3-0.conda": "11"}


def test_a_file_listed_twice_is_told_and_the_last_record_counts(
    conda: FakeConda, channel: Channel
) -> None:
    text = conda.index(LINUX)
    first = json.dumps(conda.record(LINUX, "zlib-1.3-0.conda") | {"license": "GPL-3.0-only"})
    text = text.replace('"packages.conda":{', f'"packages.conda":{{"zlib-1.3-0.conda":{first},', 1)
    conda.set(conda.path(LINUX, "repodata.json"), text.encode())
    exports = '{"run_exports":{"weak":["%s"]}}'
    body = f'{{"packages":{{"zlib-1.3-0.conda":{exports % 1},"zlib-1.3-0.conda":{exports % 2}}}}}'
    conda.set(conda.path(LINUX, "run_exports.json"), body.encode())
    for form in ("repodata.json.zst", "repodata.json.bz2"):
        conda.remove(conda.path(LINUX, form))
    done = scene.run_now(mirror(conda, channel))
    assert done.counts["listed"] == 1
    told = "1 file name is listed again: zlib-1.3-0.conda; the last of the"
    assert f"{LINUX}: {told} records counts" in warned(done)
    assert f"{LINUX}: run_exports.json: {told} entries counts" in warned(done)
    [record] = scene.listed(channel, LINUX).values()
    assert record["license"] == "MIT"
    found = json.loads(scene.document(channel, LINUX, "run_exports.json"))["packages.conda"]
    assert found["zlib-1.3-0.conda"]["run_exports"]["weak"] == ["2"]


def with_extras(conda: FakeConda) -> None:
    run_exports = {
        "info": {"subdir": LINUX},
        "packages": {},
        "packages.conda": {"zlib-1.3-0.conda": {"run_exports": {"weak": ["zlib"]}}},
    }
    conda.set(conda.path(LINUX, "run_exports.json"), json.dumps(run_exports).encode())
    data = {"packages": {"zlib": {"summary": "squeezes"}}, "subdirs": [LINUX]}
    conda.set(f"{conda.root}/channeldata.json", json.dumps(data).encode())


def extras(channel: Channel) -> tuple[bool, bool]:
    """Whether clients get the run exports and the channel's data."""
    exports = json.loads(scene.document(channel, LINUX, "run_exports.json"))
    data = json.loads(scene.document(channel, "", "channeldata.json"))
    return "zlib-1.3-0.conda" in exports["packages.conda"], "zlib" in data["packages"]


@pytest.mark.parametrize("how", ["status", "silence"])
def test_an_optional_file_that_cannot_be_had_now_stays_as_it_was(
    conda: FakeConda, channel: Channel, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    with_extras(conda)
    made = mirror(conda, channel)
    assert scene.run_now(made).state == "completed"
    assert extras(channel) == (True, True)
    monkeypatch.setattr(optional, "PATIENCE", 0.5)
    bad = [failing(503, retry_after="600") for _ in range(3)]
    if how == "silence":
        bad = [Behaviour(hold_headers=True) for _ in range(3)]
    paths = [conda.path(LINUX, f"run_exports.json{end}") for end in ("", ".zst")]
    for path, behaviour in zip([*paths, f"{conda.root}/channeldata.json"], bad, strict=True):
        conda.behave(path, behaviour)
    conda.add(LINUX, "more", "1.0")
    conda.publish()
    conda.forget()
    try:
        done = scene.run_now(made)
    finally:
        for behaviour in bad:
            behaviour.release()
    assert all(conda.count(path) <= 1 for path in paths)  # asked once, and not waited for
    assert done.state == "completed"
    assert "run_exports.json cannot be had now, its last state stays" in warned(done)
    assert extras(channel) == (True, True)


def test_only_the_upstreams_word_takes_an_optional_file_away(
    conda: FakeConda, channel: Channel
) -> None:
    with_extras(conda)
    made = mirror(conda, channel)
    scene.run_now(made)
    conda.remove(conda.path(LINUX, "run_exports.json"))
    conda.remove(f"{conda.root}/channeldata.json")
    conda.add(LINUX, "more", "1.0")
    conda.publish()
    done = scene.run_now(made)
    assert "cannot be had" not in warned(done)
    assert "zlib" not in json.loads(scene.document(channel, "", "channeldata.json"))["packages"]


BROKEN = [
    failing(503),
    failing(403),
    html(),
    Behaviour(body=b'{"packages":{"zlib-1.3-0'),
    Behaviour(body=b"[]"),
    Behaviour(body=b'{"packages":3}'),
]


@pytest.mark.parametrize("mode", ["active", "passive"])
@pytest.mark.parametrize("how", BROKEN)
def test_an_optional_file_that_failed_is_asked_for_again_though_the_index_is_unchanged(
    conda: FakeConda, channel: Channel, how: Behaviour, mode: str
) -> None:
    with_extras(conda)
    paths = [conda.path(LINUX, "run_exports.json"), f"{conda.root}/channeldata.json"]
    for path in paths:
        conda.behave(path, how)
    made = scene.mirror(channel, conda.channel, mirror_mode=mode, filters={"subdirs": [LINUX]})
    for _ in range(2):
        done = scene.run_now(made)
        assert done.state == "completed"
        assert "run_exports.json cannot be had now, it is not published" in warned(done)
        assert "channeldata.json cannot be had now, it is not published" in warned(done)
    for path in paths:
        conda.behave(path)
    done = scene.run_now(made)
    assert extras(channel) == (True, True)
    assert "cannot be had" not in warned(done)
    conda.forget()
    assert scene.run_now(made).state == "completed"
    assert [conda.count(path) for path in paths] == [0, 0]


@pytest.mark.parametrize("how", BROKEN)
def test_the_last_good_state_stays_until_the_file_can_be_had(
    conda: FakeConda, channel: Channel, how: Behaviour
) -> None:
    with_extras(conda)
    made = mirror(conda, channel)
    scene.run_now(made)
    paths = [conda.path(LINUX, "run_exports.json"), f"{conda.root}/channeldata.json"]
    for path in paths:
        conda.behave(path, how)
    conda.add(LINUX, "more", "1.0")
    conda.publish()
    for _ in range(2):
        done = scene.run_now(made)
        assert "run_exports.json cannot be had now, its last state stays" in warned(done)
        assert "channeldata.json cannot be had now, its last state stays" in warned(done)
        assert extras(channel) == (True, True)
    # 404 is the upstream's word, also about an index that is what it was.
    for path in paths:
        conda.behave(path)
        conda.remove(path)
    done = scene.run_now(made)
    assert "cannot be had" not in warned(done)
    assert not scene.Document.objects.at(Channel.objects.get(pk=channel.pk).current).filter(
        channel=channel, name="run_exports.json"
    )
    assert "zlib" not in json.loads(scene.document(channel, "", "channeldata.json"))["packages"]


def test_what_one_mirror_brought_later_reaches_the_others_of_the_upstream(
    conda: FakeConda, channel: Channel
) -> None:
    with_extras(conda)
    paths = [conda.path(LINUX, "run_exports.json"), f"{conda.root}/channeldata.json"]
    for path in paths:
        conda.behave(path, failing(503))
    other = scene.channel("other")
    first, second = mirror(conda, channel), mirror(conda, other)
    for made in (first, second):
        assert "cannot be had now" in warned(scene.run_now(made))
    for path in paths:
        conda.behave(path)
    scene.run_now(first)
    assert extras(channel) == (True, True)
    assert "cannot be had now" not in warned(scene.run_now(second))
    assert extras(other) == (True, True)
