"""Where mirrors read from: addresses, logins, proxies, channels of this server."""

from __future__ import annotations

import json

import pytest
from django.core.exceptions import ValidationError

from channels import services as channel_manage
from channels.models import Channel
from channels.secrets import unseal
from history.models import Event
from mirrors import services, source_urls
from mirrors.models import Upstream
from tests import scene
from tests.mirrors.mirror_forms import SOURCE, make_mirror, wrong_fields
from tests.web.client import person

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("allowed_upstreams")]


def test_a_login_in_the_source_is_sealed_and_shown_as_stars(channel: Channel) -> None:
    mirror = make_mirror(channel, source="https://ann:s3cret@mirror.example.org/conda/main")
    upstream = mirror.upstream
    assert upstream.url == SOURCE
    assert b"s3cret" not in bytes(upstream.credential)
    assert "s3cret" in unseal(upstream.credential)
    assert source_urls.redacted_url(upstream) == "https://***@mirror.example.org/conda/main"
    assert "s3cret" not in json.dumps(list(Event.objects.values("data", "meta")))
    token = make_mirror(channel, "t", "https://mirror.example.org/t/abc-123/main")
    assert token.upstream.url == "https://mirror.example.org/main"
    assert source_urls.redacted_url(token.upstream) == "https://mirror.example.org/t/***/main"


def test_a_login_stays_while_the_host_stays_and_leaves_with_it(channel: Channel) -> None:
    mirror = make_mirror(channel, source="https://ann:s3cret@mirror.example.org/conda/main")
    login = unseal(mirror.upstream.credential)
    for source in ("https://***@mirror.example.org/conda/main", "https://mirror.example.org/else"):
        mirror = services.edit(mirror, {"source_root": source}, actor="ann")
        assert unseal(mirror.upstream.credential) == login
    for source in ("https://other.example.org/else", "https://***@other.example.org/else"):
        moved = services.edit(mirror, {"source_root": source}, actor="ann")
        assert not moved.upstream.credential
    kept = make_mirror(channel, "k", "https://ann:s3cret@mirror.example.org/conda/main")
    # Another scheme is another place, too: the login must not go over plain HTTP.
    kept = services.edit(kept, {"source_root": "http://mirror.example.org/conda/main"}, actor="ann")
    assert not kept.upstream.credential


def test_mirrors_of_one_source_share_their_upstream_and_other_logins_do_not(
    channel: Channel,
) -> None:
    first, second = make_mirror(channel, "a"), make_mirror(channel, "b", SOURCE + "/")
    assert first.upstream_id == second.upstream_id
    third = make_mirror(channel, "c", "https://ann:s3cret@mirror.example.org/conda/main")
    assert third.upstream_id != first.upstream_id
    assert Upstream.objects.count() == 2


def test_a_proxy_is_sealed_shown_with_stars_and_cleared_by_an_empty_text(channel: Channel) -> None:
    mirror = make_mirror(channel, proxy="http://bob:pw@proxy.example.org:3128")
    assert unseal(mirror.upstream.proxy) == "http://bob:pw@proxy.example.org:3128"
    assert source_urls.redacted_proxy(mirror.upstream) == "http://***@proxy.example.org:3128"
    for body in (
        {"proxy": "http://***@proxy.example.org:3128"},
        {"proxy": None},
        {"cron": "0 1 * * *"},
    ):
        mirror = services.edit(mirror, body, actor="ann")
        assert unseal(mirror.upstream.proxy) == "http://bob:pw@proxy.example.org:3128"
    mirror = services.edit(mirror, {"proxy": ""}, actor="ann")
    assert source_urls.redacted_proxy(mirror.upstream) is None
    assert not mirror.skip_guard


def test_an_own_channel_is_a_source_by_its_address(channel: Channel) -> None:
    target = scene.channel("target")
    mirror = make_mirror(target, source="http://127.0.0.1:8000/api/repo/main/")
    assert mirror.upstream.channel == channel
    sub = scene.channel("sub", parent=channel)
    deep = make_mirror(target, "deep", "http://127.0.0.1:8000/api/repo/main/sub")
    assert deep.upstream.channel == sub


@pytest.mark.parametrize(
    "path", ["/api/repo/nothing", "/api/repo/main/nothing", "/", "/api/repo/", "/admin"]
)
def test_an_address_of_this_server_that_is_no_channel_is_refused(
    channel: Channel, path: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        make_mirror(scene.channel("target"), source="http://127.0.0.1:8000" + path)
    assert wrong_fields(caught) == {"source_root"}


def test_an_own_channel_must_be_readable_by_the_mirrors_owner(channel: Channel) -> None:
    channel_manage.edit(channel, {"privacy": "private"}, actor="admin")
    anna = person("anna")
    target = channel_manage.create("annas", anna)
    body = {"mirror_name": "m", "source_root": "http://127.0.0.1:8000/api/repo/main"}
    with pytest.raises(ValidationError, match="There is no channel main here"):
        services.create(target, body, owner=anna)


def test_circles_of_own_channels_are_refused_when_saved(channel: Channel) -> None:
    other = scene.channel("other")
    own = "http://127.0.0.1:8000/api/repo/"
    with pytest.raises(ValidationError, match="circle: main from main"):
        make_mirror(channel, source=own + "main")
    make_mirror(other, "o", own + "main")
    with pytest.raises(ValidationError, match="circle: main from other from main"):
        make_mirror(channel, "m", own + "other")
    mirror = make_mirror(channel, "m")
    with pytest.raises(ValidationError, match="circle"):
        services.edit(mirror, {"source_root": own + "other"}, actor="ann")
