"""Attack: to make a mirror's stored login go to another server, or through another proxy."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from channels.models import Channel
from channels.secrets import unseal
from mirrors.models import Mirror, Preview, Upstream
from tests import scene
from tests.upstream import FakeUpstream
from tests.web.client import Api

pytestmark = pytest.mark.django_db(transaction=True)

HOST = "files.example.org"
STORED = f"https://ann:s3cret@{HOST}:8443/conda"
PROXY = "http://me:pa55@proxy.example.org:3128"
SHOWN_PROXY = "http://***@proxy.example.org:3128"
SAME = [
    {},
    {"source_root": f"https://***@{HOST}:8443/conda"},
    {"source_root": f"https://{HOST}:8443/else"},
    {"proxy": SHOWN_PROXY},
    {"source_root": f"https://***@{HOST}:8443/conda", "proxy": SHOWN_PROXY},
]
ELSEWHERE = {
    "host": {"source_root": "https://***@evil.example.org:8443/conda"},
    "host said plainly": {"source_root": "https://evil.example.org:8443/conda"},
    "port": {"source_root": f"https://***@{HOST}:9443/conda"},
    "scheme": {"source_root": f"http://***@{HOST}:8443/conda"},
    "proxy": {"proxy": "http://evil.example.org:3128"},
    "proxy's port": {"proxy": "http://***@proxy.example.org:3129"},
    "no proxy": {"proxy": ""},
    "proxy, with the address said": {
        "source_root": f"https://***@{HOST}:8443/conda",
        "proxy": "http://evil.example.org:3128",
    },
}
places = pytest.mark.parametrize("change", ELSEWHERE.values(), ids=ELSEWHERE)


@pytest.fixture
def mirror(settings: Any) -> Mirror:
    """A mirror with a login, through a proxy with one."""
    hosts = (HOST, "evil.example.org")
    settings.UPSTREAM_ALLOW = [f"{way}://{host}:*" for way in ("http", "https") for host in hosts]
    return scene.mirror(scene.channel(), STORED, "m", proxy=PROXY)


def sends_login(upstream: Upstream) -> bool:
    return "s3cret" in unseal(upstream.credential)


def sends_proxy_login(upstream: Upstream) -> bool:
    return "pa55" in unseal(upstream.proxy)


def saved(change: dict[str, str]) -> Upstream | None:
    """What the mirror reads after the change; None where the change was refused."""
    status, _ = Api(scene.admin()).put("/channels/main/mirrors/m", change)
    assert status in (200, 202, 422)
    return None if status == 422 else Mirror.objects.get().upstream


def previewed(change: dict[str, str]) -> Upstream | None:
    """What a preview of the change reads."""
    body = {"channel": "main", "mirror": "m", **change}
    status, _ = Api(scene.admin()).post("/mirrors/preview", body)
    assert status in (202, 422)
    return (
        Upstream.objects.get(pk=Preview.objects.get().body["upstream"]) if status == 202 else None
    )


WAYS = pytest.mark.parametrize("way", [saved, previewed])


@WAYS
@places
def test_a_stored_login_goes_to_no_other_place(
    mirror: Mirror, way: Any, change: dict[str, str]
) -> None:
    upstream = way(change)
    if upstream is None:
        assert "***" in change["proxy"], "a proxy is refused that shows stars and is another"
        return
    assert not sends_login(upstream)
    kept = change.get("proxy", SHOWN_PROXY) == SHOWN_PROXY
    assert sends_proxy_login(upstream) is kept
    assert sends_login(Upstream.objects.get(pk=mirror.upstream_id))


@WAYS
@pytest.mark.parametrize("change", SAME)
def test_a_stored_login_stays_with_its_place(
    mirror: Mirror, way: Any, change: dict[str, str]
) -> None:
    upstream = way(change)
    assert upstream is not None
    assert sends_login(upstream)
    assert sends_proxy_login(upstream)


@WAYS
def test_a_login_that_comes_with_another_place_goes_there(mirror: Mirror, way: Any) -> None:
    upstream = way({"source_root": "https://bob:other@evil.example.org/x", "proxy": ""})
    assert upstream is not None
    assert "other" in unseal(upstream.credential)
    assert not sends_login(upstream)


# The connection test of the form asks at once, so what was sent is seen.


def asked(channel: Channel, mirror: Mirror, **fields: str) -> str:
    """The answer to Test connection in the form of this mirror."""
    client = Client()
    client.force_login(scene.admin())
    form = {"mirror": str(mirror.pk), "mirror_mode": "passive", "mirror_name": "m"}
    form |= {"mirror_type": "conda", "frequency": "0 0 1 * *", "cron_timezone": "UTC", **fields}
    answer = client.post(f"/channels/{channel.name}/mirrors/test/", form)
    assert answer.status_code == 200
    return str(answer.content.decode())


def logins(*servers: FakeUpstream) -> set[str]:
    """What these servers were told to let somebody in."""
    sent = [one.headers for server in servers for one in server.requests()]
    names = ("authorization", "proxy-authorization")
    return {headers[name] for headers in sent for name in names if name in headers}


def test_a_connection_test_sends_a_stored_login_to_its_own_place_only(
    upstream: FakeUpstream, settings: Any
) -> None:
    settings.UPSTREAM_ALLOW = ("http://127.0.0.1:*", "http://localhost:*", "https://127.0.0.1:*")
    channel = scene.channel()
    stored = f"http://ann:s3cret@127.0.0.1:{upstream.port}/conda"
    mirror = scene.mirror(channel, stored, "m")
    shown = stored.replace("ann:s3cret", "***")
    asked(channel, mirror, source_root=shown, proxy="")
    assert len(logins(upstream)) == 1, "its own place gets the login"
    with FakeUpstream() as other:
        for source, proxy in (
            (shown.replace("127.0.0.1", "localhost"), ""),
            (shown.replace(str(upstream.port), str(other.port)), ""),
            (shown.replace("http:", "https:"), ""),
            (shown, other.url),
        ):
            upstream.forget()
            other.forget()
            asked(channel, mirror, source_root=source, proxy=proxy)
            assert logins(upstream, other) == set(), (source, proxy)
            if not source.startswith("https:"):
                assert upstream.count() + other.count(), (source, proxy)
