"""Family A: sources that lead inside, and secrets that must not come out."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from django.conf import LazySettings
from django.core.exceptions import ValidationError

from channels.models import Channel, Refusal
from mirrors import run_control, services
from mirrors.models import LogLine, Mirror, Upstream
from runs import connection_test, execute, preview
from tests import invariants, scene
from tests.condatree import FakeConda
from tests.processes import Worker
from tests.rogue import failing, redirecting
from tests.sources import Source
from tests.upstream import FakeUpstream
from tests.web.client import Api
from tests.wsgi import Client, application

pytestmark = pytest.mark.django_db(transaction=True)

CANARY = "canary-secret-4711"
INSIDE = (
    "http://127.0.0.1:9/channel",
    "http://localhost:9/channel",
    "http://localhost.:9/channel",
    "http://2130706433:9/channel",
    "http://0x7f000001:9/channel",
    "http://0177.0.0.1:9/channel",
    "http://127.1:9/channel",
    "http://[::1]:9/channel",
    "http://[::ffff:127.0.0.1]:9/channel",
    "http://[::ffff:7f00:1]:9/channel",
    "http://0.0.0.0:9/channel",
    "http://10.0.0.1/channel",
    "http://192.168.1.1/channel",
    "http://169.254.169.254/latest/meta-data",
    "http://[fe80::1]/channel",
    "http://user:password@127.0.0.1:9/channel",
)
FOREIGN = ("file:///etc", "ftp://127.0.0.1/x", "gopher://127.0.0.1/x", "/etc/passwd", "channel")


@pytest.mark.parametrize("source", INSIDE)
def test_A01_an_address_inside_is_refused_when_saved_with_one_message(source: str) -> None:
    channel = scene.channel()
    with pytest.raises(ValidationError) as refused:
        scene.mirror(channel, source)
    words = refused.value.message_dict["source_root"][0]
    assert "password" not in words
    assert "UPSTREAM_ALLOW" in words or "not written in the usual way" in words
    assert not Mirror.objects.exists()
    assert not Upstream.objects.exists()


@pytest.mark.parametrize("source", FOREIGN)
def test_A01_what_is_not_http_is_refused_when_saved(source: str) -> None:
    with pytest.raises(ValidationError):
        scene.mirror(scene.channel(), source)
    assert not Mirror.objects.exists()


def test_A01_an_address_that_was_allowed_when_saved_is_refused_when_it_runs(
    conda: FakeConda, settings: LazySettings
) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel)
    scene.run_now(mirror)
    before = invariants.served(channel)
    conda.forget()
    settings.UPSTREAM_ALLOW = ("https://conda.anaconda.org",)
    failed = scene.run_now(mirror)
    assert failed.state == "failed"
    assert "UPSTREAM_ALLOW" in failed.error
    answer = Client(application).get(f"/api/repo/{channel.path}/noarch/six-1.16.0-0.conda")
    assert answer.status == 502
    assert conda.count() == 0
    assert invariants.served(channel) == before
    invariants.check(channel)


@pytest.fixture
def elsewhere() -> Iterator[FakeUpstream]:
    with FakeUpstream() as server:
        yield server


@pytest.mark.parametrize("way", ["save", "test", "redirect"])
def test_A03_an_address_inside_answers_alike_whether_something_listens(
    conda: FakeConda, elsewhere: FakeUpstream, way: str
) -> None:
    """Nobody learns from a sentence which ports of this host are open."""
    elsewhere.set("/channel/noarch/repodata.json", b"{}")
    with FakeUpstream() as closed:
        pass
    channel, said = scene.channel(), set()
    for port in (elsewhere.url.rsplit(":", 1)[1], closed.url.rsplit(":", 1)[1]):
        url = f"http://127.0.0.1:{port}/channel"
        if way == "redirect":
            for form in ("", ".zst", ".bz2"):
                conda.behave(conda.path("noarch", f"repodata.json{form}"), redirecting(url))
            body = {"filters": {"subdirs": ["noarch"]}}
            text = scene.run_now(scene.mirror(channel, conda.channel, **body)).error
        else:
            address = {"save": "/channels/main/mirrors", "test": "/mirrors/test"}[way]
            refused = Api(scene.admin()).post(
                address, {"mirror_name": "m", "source_root": url, "mirror_type": "conda"}
            )
            assert refused[0] == 422
            text = str(refused[1])
        assert "upstream-secret-body" not in text
        said.add(text.replace(port, "PORT"))
    assert len(said) == 1, said
    assert elsewhere.count() == 0


def test_A03_what_an_upstream_says_in_an_error_is_told_to_nobody(
    source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    channel = scene.channel()
    mirror = source.mirror(channel)
    assert scene.run_now(mirror).state == "completed"
    for status in (403, 500):
        Refusal.objects.all().delete()
        source.server.behave("*", failing(status))
        answer = Client(application).get(f"/api/repo/main/{source.path}")
        assert answer.status == 502
        failed = scene.run_now(mirror)
        told = Api(scene.admin()).get(f"/channels/main/mirrors/{mirror.pk}")[1]
        assert failed.error or told["warnings"]
        text = f"{answer.body!r} {told} {output(caplog)}"
        invariants.check(channel, canary="upstream-secret-body", text=text)


@pytest.fixture
def login(conda: FakeConda) -> str:
    """A source whose address carries a secret."""
    return conda.channel.replace("://", f"://mirror:{CANARY}@")


def output(caplog: pytest.LogCaptureFixture) -> str:
    lines = LogLine.objects.values_list("text", flat=True)
    return "\n".join([caplog.text, *lines])


@pytest.mark.parametrize("mode", ["active", "passive"])
def test_A04_a_login_in_the_source_reaches_the_upstream_and_nobody_else(
    conda: FakeConda, login: str, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    caplog.set_level(logging.DEBUG)
    channel = scene.channel()
    mirror = scene.mirror(channel, login, mirror_mode=mode)
    assert connection_test.probe(mirror.upstream, scene.admin())["found_type"] == "conda"
    asked = preview.request(
        channel, upstream=mirror.upstream, mode=mode, terms={}, asker=scene.admin()
    )
    preview.execute(asked.pk, interrupted=lambda: False)
    assert scene.run_now(mirror).state == "completed"
    files = [one for one in conda.requests() if one.path.endswith(("json.zst", ".conda"))]
    assert files
    assert all("authorization" in one.headers for one in files)
    assert all(CANARY not in one.path for one in conda.requests())
    invariants.check(channel, canary=CANARY, text=output(caplog), fetch=True)


def test_A04_a_path_token_in_the_source_reaches_the_upstream_and_nobody_else(
    conda: FakeConda, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for path in conda.paths():
        conda.set(f"/t/{CANARY}{path}", conda._files[path][0])
        conda.remove(path)
    channel = scene.channel()
    mirror = scene.mirror(channel, f"{conda.url}/t/{CANARY}{conda.root}")
    done = scene.run_now(mirror)
    assert (done.state, done.counts["passive"]) == ("completed", 4)
    invariants.check(channel, canary=CANARY, text=output(caplog), fetch=True)


@pytest.mark.parametrize("what", ["index", "file"])
def test_A04_a_redirect_takes_no_login_to_another_server(
    conda: FakeConda,
    login: str,
    elsewhere: FakeUpstream,
    settings: LazySettings,
    caplog: pytest.LogCaptureFixture,
    what: str,
) -> None:
    settings.UPSTREAM_ALLOW = (conda.url, elsewhere.url)
    name = "repodata.json.zst" if what == "index" else "six-1.16.0-0.conda"
    path = conda.path("noarch", name)
    elsewhere.set(path, conda._files[path][0])
    conda.behave(path, redirecting(f"{elsewhere.url}{path}"))
    channel = scene.channel()
    mirror = scene.mirror(channel, login, mirror_mode="active")
    run = scene.run_now(mirror)
    seen = elsewhere.requests()
    if what == "index":
        # An index counts from its own host only; another form of it may still do.
        assert not seen
        assert run.state == "completed" or elsewhere.url in run.error
    else:
        assert seen
        assert run.counts["active"] == 4
    for request in seen:
        assert "authorization" not in request.headers
        assert CANARY not in repr(request)
    invariants.check(channel, canary=CANARY, text=output(caplog))


@pytest.mark.parametrize("fault", [failing(403), failing(404), failing(503, retry_after="0")])
def test_A04_no_failure_tells_the_login(
    conda: FakeConda, login: str, caplog: pytest.LogCaptureFixture, fault: object
) -> None:
    caplog.set_level(logging.DEBUG)
    channel = scene.channel()
    mirror = scene.mirror(channel, login, mirror_mode="active")
    conda.behave(conda.path("noarch", "six-1.16.0-0.conda"), fault)  # type: ignore[arg-type]
    assert scene.run_now(mirror).counts["failed"] == 1
    conda.behave("*", fault)  # type: ignore[arg-type]
    scene.run_now(mirror)
    passive = scene.channel("passive")
    scene.run_now(scene.mirror(passive, login))
    client = Client(application)
    refused = client.get("/api/repo/passive/noarch/six-1.16.0-0.conda")
    assert refused.status >= 400
    assert CANARY.encode() not in refused.body
    assert "upstream-secret-body" not in output(caplog)
    invariants.check(canary=CANARY, text=output(caplog))
    assert not Refusal.objects.filter(message__contains=CANARY).exists()


def test_A04_an_edit_to_another_host_leaves_the_login_behind(
    conda: FakeConda, login: str, settings: LazySettings
) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, login)
    scene.run_now(mirror)
    with FakeConda() as other:
        settings.UPSTREAM_ALLOW = (conda.url, other.url)
        other.add("noarch", "tiny", "1")
        other.publish()
        services.edit(mirror, {"source_root": other.channel}, actor="admin")
        mirror.refresh_from_db()
        assert scene.run_now(mirror).state == "completed"
        assert other.count() > 0
        assert all("authorization" not in one.headers for one in other.requests())
        invariants.check(channel, canary=CANARY, fetch=True)


def test_A04_the_output_of_a_worker_process_has_no_secret(conda: FakeConda, login: str) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, login, mirror_mode="active")
    conda.behave(conda.path("noarch", "six-1.16.0-0.conda"), failing(500))
    row = run_control.request_run(mirror, cause="manual", actor="admin")
    with Worker("run", row.pk) as worker:
        code, text = worker.finish()
    assert code == 0
    invariants.check(Channel.objects.get(), canary=CANARY, text=text)
    execute.execute(row.pk, interrupted=lambda: False)
