"""A05: every route of the API, asked by everybody, for what is not theirs.

The routes are those of the OpenAPI document. One that stands in none of the tables below fails
the test, so that nobody adds a route without saying who may use it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import pytest
from django.core.cache import cache
from django.db import transaction

from accounts import tokens
from accounts.firststart import ROLES
from accounts.models import LEVELS, Role, User
from channels import manage as channel_manage
from channels.models import Channel
from mirrors import manage
from mirrors.models import Mirror, Preview, Run
from mirrorserver.api import api
from tests.accounts.client import Api
from tests.channels import factory

pytestmark = pytest.mark.django_db

CHANNELS = "/channels/"
SUB = "/subchannels/{sub}"
CHANNEL = "/channels/{channel}"
MIRROR = CHANNEL + "/mirrors/{mirror}"
RUN = MIRROR + "/runs/{number}"
PACKAGE = CHANNEL + "/artifacts/{family}/{name}"

NEEDED = {
    # What one needs on the channel; subchannels are alike.
    ("GET", CHANNEL): "read",
    ("PUT", CHANNEL): "write",
    ("DELETE", CHANNEL): "manage",
    ("GET", CHANNEL + "/subchannels"): "read",
    ("POST", CHANNEL + "/subchannels"): "write",
    ("GET", CHANNEL + "/artifacts"): "read",
    ("GET", PACKAGE): "read",
    ("GET", PACKAGE + "/files"): "read",
    ("GET", CHANNEL + "/revisions"): "read",
    ("GET", CHANNEL + "/revisions/{span}"): "read",
    ("POST", CHANNEL + "/revisions/{number}/rollback"): "write",
    ("POST", CHANNEL + "/revisions/{number}/pin"): "write",
    ("GET", CHANNEL + "/history"): "read",
    ("GET", CHANNEL + "/why"): "read",
    ("GET", CHANNEL + "/mirrors"): "read",
    ("POST", CHANNEL + "/mirrors"): "write",
    ("GET", MIRROR): "read",
    ("PUT", MIRROR): "write",
    ("DELETE", MIRROR): "write",
    ("POST", MIRROR + "/run"): "write",
    ("POST", MIRROR + "/stop_mirror_sync"): "write",
    ("POST", MIRROR + "/restart"): "write",
    ("POST", MIRROR + "/release"): "write",
    ("GET", MIRROR + "/runs"): "read",
    ("GET", RUN): "read",
    ("GET", RUN + "/files"): "read",
    ("GET", RUN + "/log"): "read",
    ("GET", MIRROR + "/log"): "read",
}
IN_BODY = {
    # The channel stands in the body.
    ("POST", "/mirrors/preview"): "write",
    ("POST", "/namespace-channels"): "write",
}
BY_ROLE = {
    # Whoever has the level for the attribute, with a token for everything.
    ("POST", "/channels"): ("channel", "write"),
    ("GET", "/mirrors"): ("mirror", "manage"),
    ("POST", "/mirrors/test"): ("mirror", "write"),
    ("GET", "/audit-log"): ("roles", "manage"),
}
THEIR_OWN = {
    # Only of the one who made it; whatever the role, others do not know of it.
    ("PUT", "/account/tokens/{token_id}"),
    ("DELETE", "/account/tokens/{token_id}"),
    ("GET", "/mirrors/preview/{preview_id}"),
    ("DELETE", "/mirrors/preview/{preview_id}"),
}
SIGNED_IN = {
    # Shows no more than the caller may see anyway.
    ("GET", "/account"),
    ("GET", "/account/me"),
    ("GET", "/account/scopes"),
    ("GET", "/system/scopes"),
    ("GET", "/account/token-info"),
    ("GET", "/account/tokens"),
    ("POST", "/account/tokens"),
    ("GET", "/account/channels"),
    ("GET", "/channels"),
    ("GET", "/artifacts"),
}
EVERYBODY = {("GET", "/system"), ("POST", "/auth/login"), ("POST", "/auth/refresh")}

MADE = {"mirror_name": "made", "source_root": "http://127.0.0.1:9/channel"}
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("PUT", CHANNEL): {"description": "mine now"},
    ("POST", CHANNEL + "/subchannels"): {"name": "made"},
    ("POST", CHANNEL + "/mirrors"): MADE,
    ("PUT", MIRROR): {"cron": "1 1 1 1 *"},
    ("POST", "/channels"): {"name": "made"},
    ("POST", "/mirrors/test"): {"source_root": "ftp://nowhere"},
    ("POST", "/account/tokens"): {"name": "made"},
}
SECRETS = ("hushed", "classified", "unheard", "whispered")


@dataclass
class Caller:
    """Somebody who asks: a client, and what they may do with each of the two channels."""

    api: Api
    hushed: str
    shared: str
    role: str
    whole: bool = True

    def level(self, channel: str) -> str:
        return self.hushed if channel == "hushed" else self.shared

    def has(self, what: str, level: str) -> bool:
        mine = ROLES[self.role].get(what, "none") if self.role else "none"
        return self.whole and LEVELS.index(mine) >= LEVELS.index(level)


@pytest.fixture(autouse=True)
def world(settings: Any) -> None:
    """Anna's private channel `hushed`, her `shared` one, each with a subchannel and mirrors."""
    cache.clear()
    settings.UPSTREAM_ALLOW = ("http://127.0.0.1:*",)
    for name, attributes in ROLES.items():
        Role.objects.get_or_create(name=name, defaults={"attributes": attributes})
    anna = factory.user("anna", role="author")
    for name, privacy, word in (("hushed", "private", "unheard"), ("shared", "authenticated", "m")):
        parent = channel_manage.create(
            name, anna, privacy=privacy, description="classified" if word == "unheard" else ""
        )
        sub = channel_manage.create(f"{word}-sub", anna, parent=parent)
        for channel in (parent, sub):
            _fill(channel, anna, f"{word}-{channel.name}", "whispered" if "un" in word else "six")
    Preview.objects.create(
        channel=Channel.objects.get(name="hushed"), asker=anna, body={"description": "classified"}
    )
    tokens.issue(anna, "unheard", expires=None)


def _fill(channel: Channel, owner: User, mirror_name: str, package: str) -> None:
    file = factory.made(f"{package}-1.0-0.conda", package.encode())
    factory.publish(channel, {"noarch": [file]})
    mirror = manage.create(channel, {**MADE, "mirror_name": mirror_name}, owner=owner)
    Run.objects.create(mirror=mirror, number=1, state="completed")


def _callers() -> dict[str, Caller]:
    anna = User.objects.get(username="anna")
    some = [{"channel": "shared", "level": "read"}]
    limited = tokens.issue(anna, "limited", expires=None, resources=some)[1]
    return {
        "nobody": Caller(Api(), "none", "none", ""),
        "bad token": Caller(Api(X_Auth="0" * 48), "none", "none", ""),
        "reader": Caller(Api(factory.user("rita", role="reader")), "none", "read", "reader"),
        "author": Caller(Api(factory.user("amy", role="author")), "none", "write", "author"),
        "limited token": Caller(Api(X_Auth=limited), "none", "read", "author", whole=False),
        "owner": Caller(Api(anna), "manage", "manage", "author"),
        "admin": Caller(Api(factory.user("root", role="admin")), "manage", "manage", "admin"),
    }


NAMES = ("nobody", "bad token", "reader", "author", "limited token", "owner", "admin")
STRANGERS = NAMES[:5]


@functools.cache
def _routes() -> list[tuple[str, str]]:
    return [
        (method.upper(), path.removeprefix("/api"))
        for path, methods in api.get_openapi_schema()["paths"].items()
        for method in methods
    ]


def _key(method: str, path: str) -> tuple[str, str]:
    return method, path.replace(SUB, "")


def _address(path: str, channel: str, **more: str) -> str:
    word = "unheard" if channel == "hushed" else "m"
    sub = f"{word}-sub"
    named: dict[str, str] = {
        "channel": channel,
        "sub": sub,
        "mirror": f"{word}-{sub if SUB in path else channel}",
        "family": "conda",
        "name": "whispered" if channel == "hushed" else "six",
        "span": "1..1",
        "number": "1",
        **more,
    }
    return path.format(**named) + ("?q=six" if path.endswith("/why") else "")


def _ask(caller: Caller, method: str, address: str, body: Any = None) -> tuple[int, str]:
    """Status and text of an answer; what was changed is taken back."""
    with transaction.atomic():
        caller.api.ask(method, address, body)
        transaction.set_rollback(True)
    return caller.api.last.status_code, caller.api.last.content.decode()


def _expected(level: str, needed: str, *, signed_in: bool) -> int | None:
    """The status of a refusal; None = the caller may."""
    if not signed_in:
        return 401
    if level == "none":
        return 404
    return None if LEVELS.index(level) >= LEVELS.index(needed) else 403


def _fits(status: int, expected: int | None) -> bool:
    return status == expected if expected else status not in (401, 403, 404) and status < 500


def test_every_route_says_who_may_use_it() -> None:
    known = {*NEEDED, *IN_BODY, *BY_ROLE, *THEIR_OWN, *SIGNED_IN, *EVERYBODY}
    routes = {_key(method, path) for method, path in _routes()}
    assert routes == known


@pytest.mark.parametrize("name", NAMES)
def test_a_channel_gives_everybody_what_they_may_have(name: str) -> None:
    caller = _callers()[name]
    asked = [(channel, *route) for channel in ("hushed", "shared") for route in _routes()]
    wrong = []
    for channel, method, path in asked:
        key = _key(method, path)
        if key not in NEEDED:
            continue
        status, text = _ask(caller, method, _address(path, channel), BODIES.get(key))
        expected = _expected(caller.level(channel), NEEDED[key], signed_in=bool(caller.role))
        if not _fits(status, expected):
            wrong.append((method, path, channel, status, expected, text[:200]))
        if caller.level(channel) == "none" and any(word in text for word in SECRETS):
            wrong.append((method, path, channel, "tells a secret", text[:200]))
    assert wrong == []


@pytest.mark.parametrize("name", STRANGERS)
def test_what_one_may_not_know_of_is_as_if_it_were_not_there(name: str) -> None:
    caller = _callers()[name]
    for method, path in _routes():
        key = _key(method, path)
        if key not in NEEDED:
            continue
        there = _ask(caller, method, _address(path, "hushed"), BODIES.get(key))
        address = _address(path, "hushed").replace(CHANNELS + "hushed", CHANNELS + "no")
        nowhere = _ask(caller, method, address, BODIES.get(key))
        assert there == nowhere, (method, path)


@pytest.mark.parametrize("name", NAMES)
def test_a_mirror_is_found_in_its_own_channel_only(name: str) -> None:
    """Also by those who may see both: a permission is one for a channel."""
    caller = _callers()[name]
    foreign = str(Mirror.objects.get(name="unheard-hushed").pk)
    for method, path in _routes():
        key = _key(method, path)
        if "{mirror}" not in path:
            continue
        there = _ask(caller, method, _address(path, "shared", mirror=foreign), BODIES.get(key))
        nowhere = _ask(caller, method, _address(path, "shared", mirror="987654"), BODIES.get(key))
        assert there == nowhere, (method, path)
        assert there[0] in (401, 403, 404), (method, path)


@pytest.mark.parametrize("name", NAMES)
def test_tokens_and_previews_are_their_makers_only(name: str) -> None:
    caller = _callers()[name]
    anna = User.objects.get(username="anna")
    ids = {
        "token_id": anna.tokens.get(name="unheard").pk,
        "preview_id": Preview.objects.get(asker=anna).pk,
    }
    for method, path in sorted(THEIR_OWN):
        status, text = _ask(caller, method, path.format(**ids))
        if name == "owner":
            assert status in (200, 204), (method, path, text)
        elif name == "limited token" and "token_id" in path:
            assert status == 403, (method, path)
        else:
            assert status == (404 if caller.role else 401), (method, path)
            nowhere = path.format(token_id=987654, preview_id=987654)
            assert (status, text) == _ask(caller, method, nowhere)


@pytest.mark.parametrize("name", NAMES)
def test_a_channel_in_a_body_is_judged_like_one_in_an_address(name: str) -> None:
    caller = _callers()[name]
    for channel in ("hushed", "shared", "no"):
        level = "none" if channel == "no" else caller.level(channel)
        for key, body in (
            (("POST", "/mirrors/preview"), {**MADE, "channel": channel}),
            (("POST", "/namespace-channels"), {"channel_name": "made", "namespace": channel}),
        ):
            status, text = _ask(caller, *key, body)
            expected = _expected(level, IN_BODY[key], signed_in=bool(caller.role))
            assert _fits(status, expected), (key, channel, status, text)
    foreign = {**MADE, "channel": "shared", "mirror": "unheard-hushed"}
    assert _ask(caller, "POST", "/mirrors/preview", foreign)[0] in (401, 403, 404)
    # A channel whose name is taken by one that may not be known of: taken is all that is said.
    status, text = _ask(caller, "POST", "/namespace-channels", {"channel_name": "hushed"})
    if name in ("author", "admin", "owner"):
        assert status == (409 if name == "author" else 200), text


@pytest.mark.parametrize("name", NAMES)
def test_roles_decide_what_is_about_no_channel(name: str) -> None:
    caller = _callers()[name]
    for key, (what, level) in BY_ROLE.items():
        status, text = _ask(caller, *key, BODIES.get(key))
        refused = 403 if caller.role else 401
        assert _fits(status, None if caller.has(what, level) else refused), (key, status, text)


@pytest.mark.parametrize("name", NAMES)
def test_lists_hold_what_one_may_see(name: str) -> None:
    caller = _callers()[name]
    for key in sorted(SIGNED_IN):
        status, text = _ask(caller, *key, BODIES.get(key))
        if not caller.role:
            assert status == 401, key
        elif key == ("POST", "/account/tokens"):
            assert status == (200 if caller.whole else 403)
        else:
            assert status == 200, (key, text)
        if caller.hushed == "none":
            assert not any(word in text for word in SECRETS), key
    for method, path in sorted(EVERYBODY):
        body = {"username": "anna", "password": "guess"} if method == "POST" else None
        if path == "/auth/refresh":
            body = {"refresh_token": "guess"}
        assert _ask(caller, method, path, body)[0] == (401 if body else 200)
