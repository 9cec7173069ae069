"""A05: every route of API, pages and repository, asked by everybody, with every kind of token.

The routes come from Django's and ninja's own tables. `tests.security.matrix` says who may; a
route that stands in none of its tables fails the first tests here. One world serves all cells;
what a cell changes is taken back.
"""

from __future__ import annotations

import base64
import functools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, transaction
from django.http import HttpResponseBase
from django.test import Client
from django.urls import reverse

from accounts import jwt, tokens
from accounts.models import Role, Token, User
from advisories import curation
from advisories.importing import import_file
from advisories.models import Curation
from channels import services as channel_manage
from channels.models import Channel, SourceLink
from history.models import Event
from mirrors import services
from mirrors.models import Preview, Run
from tests.advisories import files, records
from tests.channels import factory
from tests.security import matrix
from tests.security.matrix import PRIVACIES, SUB, Who, fits
from tests.wsgi import Client as Wire
from tests.wsgi import application
from web.api.root import api

# Each test's transaction is one inside the world's.
pytestmark = pytest.mark.django_db

MADE = {"mirror_name": "made", "source_root": "http://127.0.0.1:9/channel"}
CVE = "CVE-2020-14343"
DECISION = {"family": "python", "package": "pyyaml", "status": "cleared", "reason": "Not loaded."}
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("PUT", matrix.CHANNEL): {"description": "mine now"},
    ("POST", matrix.CHANNEL + "/subchannels"): {"name": "made"},
    ("POST", matrix.CHANNEL + "/mirrors"): MADE,
    ("PUT", matrix.MIRROR): {"cron": "1 1 1 1 *"},
    ("POST", "/channels"): {"name": "made"},
    ("POST", "/mirrors/test"): {"source_root": "ftp://nowhere"},
    ("POST", "/account/tokens"): {"name": "made"},
    ("POST", "/cves/{id}/curations"): DECISION,
    ("POST", "/cves/curations"): {"curations": [{**DECISION, "cve": CVE}]},
    ("PUT", "/advisories/mappings/{conda_name}"): {"projects": ["six"]},
}
SECRETS = ("hushed", "classified", "whispered")
FORM = "application/x-www-form-urlencoded"
KINDS = ("session", "jwt", "full", "basic", "scoped", "limited")
PEOPLE = [*matrix.ROLES, ""]
STRANGERS = ("nobody", "bad", "expired", "revoked", "switched off")
CELLS: list[int] = []


@dataclass
class World:
    """The ids that stand in addresses, and the credentials."""

    data: Path
    ids: dict[str, dict[str, Any]]
    people: dict[str, User]
    secrets: dict[tuple[str, str], str]


@pytest.fixture(scope="module")
def world(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """Channels `open`, `shared` and `hushed` of one owner, each with a subchannel and mirrors."""
    data = tmp_path_factory.mktemp("matrix")
    with django_db_blocker.unblock(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(django_settings, "DATA", data)
        patch.setattr(django_settings, "UPSTREAM_ALLOW", ("http://127.0.0.1:*",))
        patch.setattr("delivery.download_counts._start", lambda: None)
        # The one connection holds the world's transaction, however old it gets.
        connection.ensure_connection()
        patch.setattr(connection, "close_at", None)
        # The client would copy every context of every part of a page, which nothing here reads.
        patch.setattr("django.test.client.store_rendered_templates", lambda *_, **__: None)
        for limit in ("LIMIT_WRITES", "LIMIT_RUNS", "LIMIT_TESTS"):
            patch.setattr(django_settings, limit, "")
        patch.setattr(django_settings, "LIMIT_PREVIEWS", 1000)
        cache.clear()
        with transaction.atomic():
            yield _made(data)
            transaction.set_rollback(True)
        connection.close()
        cache.clear()


@pytest.fixture(autouse=True)
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The world's own folder, in place of one for each test."""
    if "world" not in request.fixturenames:
        return tmp_path
    found: World = request.getfixturevalue("world")
    return found.data


def _made(data: Path) -> World:
    people = {}
    for name, attributes in matrix.ROLES.items():
        role, _ = Role.objects.update_or_create(
            name=f"matrix-{name}", defaults={"attributes": attributes}
        )
        people[name] = User.objects.create_user(f"the-{name}", password="x" * 20, role=role)
    Role.objects.create(name="matrix-spare", attributes={})
    ids = {}
    for name, privacy in PRIVACIES.items():
        words = "classified" if name == "hushed" else "plain"
        top = channel_manage.create(name, people["owner"], privacy=privacy, description=words)
        sub = channel_manage.create(f"{name}-sub", people["owner"], parent=top)
        ids[name] = {"top": _filled(top, people["owner"]), "sub": _filled(sub, people["owner"])}
    _decide(data)
    return World(data, ids, people, _credentials(people))


def _decide(data: Path) -> None:
    """An advisory, a decision on it and a name that is mapped by hand."""
    import_file(files.written(data, files.archive(records.PYYAML)))
    curation.curate(curation.Decision(advisory=CVE, **DECISION), author="the-admin")
    curation.map_name("pyyaml", ["pyyaml"], author="the-admin")


def _filled(channel: Channel, owner: User) -> dict[str, Any]:
    """A package, a run, a preview, an event, a link: something for each kind of address."""
    package = "whispered" if "hushed" in channel.path else "six"
    factory.publish(channel, {"noarch": [factory.made(f"{package}-1.0-0.conda", b"six")]})
    mirror = services.create(channel, {**MADE, "mirror_name": f"m-{channel.name}"}, owner=owner)
    Run.objects.create(mirror=mirror, number=1, state="completed")
    shown = Preview.objects.create(
        channel=channel, asker=owner, state="failed", body={"mode": "active", "upstream": 0}
    )
    link = SourceLink.objects.create(channel=channel, source=channel, mirror=-channel.pk)
    event = Event.objects.filter(channel_id=channel.pk).latest("pk")
    return {
        "mirror": mirror.pk,
        "preview": shown.pk,
        "event": event.pk,
        "link": link.pk,
        "package": package,
    }


def _credentials(people: dict[str, User]) -> dict[tuple[str, str], str]:
    """The secret of each kind of token of each person."""
    found = {}
    shared = [{"channel": "shared", "level": "read"}]
    for name, user in people.items():
        found[name, "jwt"] = jwt.issue(user)[0]
        for kind, limits in (
            ("full", {}),
            ("scoped", {"scopes": ["channel:view"]}),
            ("limited", {"resources": shared}),
        ):
            found[name, kind] = tokens.issue(user, kind, expires=None, **limits)[1]  # type: ignore[arg-type]
    token, found["owner", "expired"] = tokens.issue(people["owner"], "old")
    Token.objects.filter(pk=token.pk).update(expires=date(2020, 1, 1))
    token, secret = tokens.issue(people["owner"], "gone")
    Token.objects.filter(pk=token.pk).delete()
    found["owner", "revoked"] = secret
    off = User.objects.create_user("the-off", role=people["admin"].role)
    found["owner", "switched off"] = tokens.issue(off, "off")[1]
    User.objects.filter(pk=off.pk).update(is_active=False)
    return found


EVERY = [
    *((role, kind) for role in matrix.ROLES for kind in KINDS),
    *(("", kind) for kind in STRANGERS),
]
# Where the kind of a credential is no question of its own: each once, each role once.
SOME = [
    *((role, "jwt") for role in matrix.ROLES),
    *(("owner", kind) for kind in KINDS if kind != "jwt"),
    *(("admin", kind) for kind in ("scoped", "limited")),
    *(("", kind) for kind in STRANGERS),
]


def _named(callers: list[tuple[str, str]]) -> list[str]:
    return [f"{role or 'stranger'}: {kind}" for role, kind in callers]


every_caller = pytest.mark.parametrize(("role", "kind"), EVERY, ids=_named(EVERY))
some_callers = pytest.mark.parametrize(("role", "kind"), SOME, ids=_named(SOME))


def _who(world: World, role: str, kind: str) -> Who:
    if not role:
        secret = {"nobody": "", "bad": "0" * 48}.get(kind) or world.secrets.get(("owner", kind), "")
        return Who("", kind, {"X-Auth": secret} if secret else {})
    if kind == "jwt":
        return Who(role, kind, {"Authorization": f"Bearer {world.secrets[role, kind]}"})
    if kind == "basic":
        pair = f"{world.secrets[role, 'full']}:{'x-auth-token'}"
        return Who(role, kind, {"Authorization": f"Basic {_base64(pair)}"})
    return Who(role, kind, {} if kind == "session" else {"X-Auth": world.secrets[role, kind]})


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class Asker:
    """Asks as somebody; what an answer changed is taken back."""

    def __init__(self, world: World, who: Who) -> None:
        self.client = Client(raise_request_exception=False)
        self.who = who
        if who.kind == "session":
            self.client.force_login(world.people[who.role])

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        """Status and text of an answer."""
        kind = (
            "application/json" if path.startswith("/api/") else "application/x-www-form-urlencoded"
        )
        with transaction.atomic():
            answer = self.client.generic(
                method, path, _json(body), content_type=kind, headers=self.who.headers
            )
            text = _text(answer)
            transaction.set_rollback(True)
        CELLS.append(answer.status_code)
        return answer.status_code, text

    def upload(self, path: str) -> tuple[int, str]:
        """Status and text of the answer to a file that is nothing we know."""
        with transaction.atomic():
            file = SimpleUploadedFile("advisories.txt", b"nothing")
            answer = self.client.post(path, {"file": file}, headers=self.who.headers)
            transaction.set_rollback(True)
        CELLS.append(answer.status_code)
        return answer.status_code, _text(answer)


def _json(body: Any) -> str:
    return "" if body is None else json.dumps(body)


def _text(answer: HttpResponseBase) -> str:
    if answer.streaming:
        return b"".join(answer).decode(errors="replace")  # type: ignore[arg-type]
    return answer.content.decode(errors="replace")  # type: ignore[attr-defined,no-any-return]


@functools.cache
def _routes() -> list[tuple[str, str]]:
    return [
        (method.upper(), path.removeprefix("/api"))
        for path, methods in api.get_openapi_schema()["paths"].items()
        for method in methods
    ]


def _address(world: World, path: str, place: str, **more: Any) -> str:
    own = world.ids[place]["sub" if SUB in path else "top"]
    named = {
        "channel": place,
        "sub": f"{place}-sub",
        "family": "conda",
        "span": "1..1",
        "mirror": own["mirror"],
        "name": own["package"],
        "number": 1,
        "link": own["link"],
        **more,
    }
    return "/api" + path.format(**named) + ("?q=six" if path.endswith("/why") else "")


def test_every_route_of_the_api_says_who_may_use_it() -> None:
    known = {
        *matrix.API, *matrix.IN_BODY, *matrix.BY_ROLE,
        *matrix.THEIR_OWN, *matrix.SIGNED_IN, *matrix.EVERYBODY, *matrix.CVES,
    }  # fmt: skip
    assert {(method, path.replace(SUB, "")) for method, path in _routes()} == known
    schema = api.get_openapi_schema()["paths"].values()
    documented = {one["operationId"] for methods in schema for one in methods.values()}
    table = {name for place, name in matrix.django_table() if place.startswith("api/")}
    unknown = {name for name in table if not any(name in one for one in documented)}
    assert unknown == matrix.NO_OPERATION


def test_every_page_says_who_may_see_it() -> None:
    known = {
        *matrix.PAGES, *matrix.PAGES_BY_ROLE, *matrix.PAGES_SIGNED_IN,
        *matrix.PAGES_OF_EVERYBODY, *matrix.SILENT, *matrix.PAGES_ABOUT_CVES,
    }  # fmt: skip
    table = {name for place, name in matrix.django_table() if not place.startswith("api/")}
    assert table == known


@every_caller
def test_a_channel_gives_each_caller_of_the_api_what_they_may_have(
    world: World, role: str, kind: str
) -> None:
    asker = Asker(world, _who(world, role, kind))
    wrong = []
    for method, path in _routes():
        need = matrix.API.get((method, path.replace(SUB, "")))
        if need is None:
            continue
        body = BODIES.get((method, path.replace(SUB, "")))
        for channel in PRIVACIES:
            expected = asker.who.status(need, channel, sub=SUB in path)
            status, text = asker.ask(method, _address(world, path, channel), body)
            if not fits(status, expected):
                wrong.append((method, path, channel, status, expected, text[:200]))
            unknown = not asker.who.valid or not asker.who.knows(channel)
            if unknown and any(word in text for word in SECRETS[1:]):
                wrong.append((method, path, channel, "tells a secret", text[:200]))
    assert wrong == []


@some_callers
def test_what_one_may_not_know_of_is_as_if_it_were_not_there(
    world: World, role: str, kind: str
) -> None:
    asker = Asker(world, _who(world, role, kind))
    if asker.who.valid and asker.who.knows("hushed"):
        # The addresses are right: to them there is a difference.
        there, nowhere = (
            asker.ask("GET", f"/api/channels/{name}", None)[0] for name in ("hushed", "nowhere")
        )
        assert (there, nowhere) == (200, 404)
        return
    for method, path in _routes():
        key = method, path.replace(SUB, "")
        if key in matrix.API:
            there = asker.ask(method, _address(world, path, "hushed"), BODIES.get(key))
            address = _address(world, path, "hushed", channel="nowhere")
            assert there == asker.ask(method, address, BODIES.get(key)), (method, path)


@some_callers
def test_a_mirror_is_found_in_its_own_channel_only(world: World, role: str, kind: str) -> None:
    """Also by those who may see both: a permission is one for a channel."""
    asker = Asker(world, _who(world, role, kind))
    foreign = world.ids["hushed"]["top"]["mirror"]
    for method, path in _routes():
        key = method, path.replace(SUB, "")
        if "{mirror}" not in path or key not in matrix.API:
            continue
        there = asker.ask(method, _address(world, path, "shared", mirror=foreign), BODIES.get(key))
        nowhere = _address(world, path, "shared", mirror=987654)
        assert there == asker.ask(method, nowhere, BODIES.get(key)), (method, path)
        assert there[0] in (401, 403, 404), (method, path)


@some_callers
def test_what_is_about_no_channel_or_names_it_in_its_body(
    world: World, role: str, kind: str
) -> None:
    asker = Asker(world, _who(world, role, kind))
    who = asker.who
    for key, (what, level, viewed) in matrix.BY_ROLE.items():
        may = who.valid and matrix.at_least(who.attribute(what), level)
        may &= kind not in ("limited",) and (kind != "scoped" or viewed)
        expected = None if may else 403 if who.valid else 401
        status, text = asker.ask(key[0], f"/api{key[1]}", BODIES.get(key))
        assert fits(status, expected), (key, status, text)
    for channel in (*PRIVACIES, "nowhere"):
        for key, body in (
            (("POST", "/mirrors/preview"), {**MADE, "channel": channel}),
            (("POST", "/namespace-channels"), {"channel_name": "made", "namespace": channel}),
        ):
            need, there = matrix.IN_BODY[key], channel in PRIVACIES
            missing = 404 if who.valid else 401
            expected = who.status(need, channel, sub=False) if there else missing
            status, text = asker.ask(key[0], f"/api{key[1]}", body)
            assert fits(status, expected), (key, channel, status, text)


@some_callers
def test_advisories_are_for_who_has_the_attribute(world: World, role: str, kind: str) -> None:
    asker = Asker(world, _who(world, role, kind))
    for key, level in matrix.CVES.items():
        path = key[1].format(**_cve_kwargs(key[1]))
        if key[1] == "/advisories/import":
            status, text = asker.upload(f"/api{path}")
        else:
            status, text = asker.ask(key[0], f"/api{path}", BODIES.get(key))
        expected = None if asker.who.may_cves(level) else 403 if asker.who.valid else 401
        if kind == "session" and key[1] == "/advisories/import":
            # Another site's form could send a file with the browser's cookie.
            expected = 415
        assert fits(status, expected), (key, status, text)


def _cve_kwargs(place: str) -> dict[str, Any]:
    values = {"id": CVE, "number": Curation.objects.get().pk, "conda_name": "pyyaml"}
    return {key: value for key, value in values.items() if re.search(rf"[{{:]{key}[>}}]", place)}


@pytest.mark.parametrize("role", PEOPLE)
def test_pages_about_advisories_are_for_who_has_the_attribute(world: World, role: str) -> None:
    asker = Asker(world, Who(role, "session" if role else "nobody"))
    for place, name in matrix.django_table():
        if name not in matrix.PAGES_ABOUT_CVES:
            continue
        address = reverse(name, kwargs=_cve_kwargs(place))
        for method, level in zip(("GET", "POST"), matrix.PAGES_ABOUT_CVES[name], strict=True):
            status, text = asker.ask(method, address)
            expected = None if asker.who.may_cves(level) else 403 if role else 302
            assert status == 405 or fits(status, expected), (name, method, status, text[:200])


@some_callers
def test_tokens_and_previews_are_their_makers_only(world: World, role: str, kind: str) -> None:
    asker = Asker(world, _who(world, role, kind))
    ids = {
        "token_id": world.people["owner"].tokens.get(name="full").pk,
        "preview_id": world.ids["shared"]["top"]["preview"],
    }
    for method, path in sorted(matrix.THEIR_OWN):
        status, text = asker.ask(method, "/api" + path.format(**ids))
        if not asker.who.valid:
            assert status == 401, (method, path)
        elif role == "owner" and kind not in ("scoped", "limited"):
            assert status in (200, 204), (method, path, text)
        elif role != "owner":
            assert status in (403, 404), (method, path)
            nowhere = path.format(token_id=987654, preview_id=987654)
            assert (status, text) == asker.ask(method, f"/api{nowhere}"), (method, path)


@some_callers
def test_lists_hold_what_one_may_see(world: World, role: str, kind: str) -> None:
    asker = Asker(world, _who(world, role, kind))
    for method, path in sorted(matrix.SIGNED_IN):
        status, text = asker.ask(method, f"/api{path}", BODIES.get((method, path)))
        if not asker.who.valid:
            assert status == 401, path
        else:
            assert status in ((200, 201, 403) if kind in ("scoped", "limited") else (200, 201)), (
                path
            )
        if not asker.who.valid or not asker.who.knows("hushed"):
            assert not any(word in text for word in SECRETS), path
    for method, path in sorted(matrix.EVERYBODY):
        body = {"username": "the-owner", "password": "guess"} if method == "POST" else None
        body = {"refresh_token": "guess"} if "refresh" in path else body
        status, _ = asker.ask(method, f"/api{path}", body)
        assert status in ((401, 429) if body else (200,))


# Pages: a session, or none; other credentials are nothing to them.


def _page(world: World, name: str, channel: str, *, sub: bool) -> str | None:
    """The address of a page about the channel; None where it has none."""
    own = world.ids[channel]["sub" if sub else "top"]
    known = {
        "c": channel,
        "s": f"{channel}-sub",
        "number": 1,
        "form": "csv",
        "a": 1,
        "b": 1,
        "family": "conda",
        "name": own["package"],
        "pk": own["mirror"],
    }
    if name in ("preview", "preview-cancel"):
        known["number"] = own["preview"]
    elif name in ("channel-event", "revoke-readers"):
        known["pk"] = own["event" if name == "channel-event" else "link"]
    for place, one in matrix.django_table():
        if one == name and ("<slug:s>" in place) == sub:
            wanted = {key: value for key, value in known.items() if f":{key}>" in place}
            query = "?do=stop&mirror=1" if name == "mirrors-bulk" else ""
            return reverse(name, kwargs=wanted) + query
    return None


@pytest.mark.parametrize("role", PEOPLE)
@pytest.mark.parametrize("channel", PRIVACIES)
def test_a_channel_shows_each_person_the_pages_they_may_see(
    world: World, channel: str, role: str
) -> None:
    asker = Asker(world, Who(role, "session" if role else "nobody"))
    wrong = []
    for name, page in matrix.PAGES.items():
        for sub in (False, True):
            address = _page(world, name, channel, sub=sub)
            for method, need in (("GET", page.get), ("POST", page.post)):
                if address is None:
                    continue
                status, text = asker.ask(method, address)
                expected = _page_status(asker.who, need, channel, name=name, sub=sub)
                if not fits(status, expected):
                    wrong.append((method, name, sub, status, expected, text[:100]))
                if role and not asker.who.knows(channel) and "classified" in text:
                    wrong.append((method, name, sub, "tells a secret"))
    assert wrong == []


def _page_status(
    who: Who, need: matrix.Need | None, channel: str, *, name: str, sub: bool
) -> int | None:
    if not who.valid:
        return 302
    if need is None:
        return 405
    # A page looks up its channel first.
    expected = who.status(need, channel, sub=False, role_first=False)
    if name == "channel-delete" and not sub and not expected:
        return 403  # It has a subchannel.
    if name.startswith("preview") and name != "preview-begin" and not expected:
        return None if who.role == "owner" else 404
    return expected


@pytest.mark.parametrize("role", PEOPLE)
def test_a_mirrors_page_is_found_in_its_own_channel_only(world: World, role: str) -> None:
    asker = Asker(world, Who(role, "session" if role else "nobody"))
    for name, page in matrix.PAGES.items():
        place = next((at for at, one in matrix.django_table() if one == name), "")
        if "mirrors/<int:pk>" not in place:
            continue
        own = _page(world, name, "shared", sub=False)
        assert own is not None
        mine, foreign = (world.ids[one]["top"]["mirror"] for one in ("shared", "hushed"))
        address = own.replace(f"/mirrors/{mine}/", f"/mirrors/{foreign}/")
        for method, need in (("GET", page.get), ("POST", page.post)):
            status, _ = asker.ask(method, address)
            assert status in ((302,) if not role else (403, 404) if need else (405,)), (
                name,
                method,
            )


@pytest.mark.parametrize("role", PEOPLE)
def test_pages_about_no_channel_are_for_who_has_the_attribute(world: World, role: str) -> None:
    asker = Asker(world, Who(role, "session" if role else "nobody"))
    tables = [(place, name) for place, name in matrix.django_table() if "api/" not in place]
    for place, name in tables:
        kwargs: dict[str, Any] = {}
        if "<int:pk>" in place:
            kwargs = {"pk": world.people["blind"].pk}
        elif "<str:form>" in place:
            kwargs = {"form": "csv"}
        if name in matrix.PAGES_BY_ROLE:
            if name.startswith("role-") and kwargs:
                kwargs = {"pk": Role.objects.get(name="matrix-spare").pk}
            what, level = matrix.PAGES_BY_ROLE[name]
            may = role and matrix.at_least(asker.who.attribute(what), level)
            for method in ("GET", "POST"):
                status, text = asker.ask(method, reverse(name, kwargs=kwargs) + "?do=stop")
                expected = None if may else 403 if role else 302
                assert status == 405 or fits(status, expected), (name, method, status, text[:200])
        elif name in matrix.PAGES_SIGNED_IN:
            if name == "token-revoke":
                kwargs = {"pk": world.people["admin"].tokens.get(name="full").pk}
            status, text = asker.ask("GET", reverse(name, kwargs=kwargs))
            if not role:
                assert status == 302, name
            elif kwargs and (name != "token-revoke" or role != "admin"):
                assert status in (404, 405), name
            else:
                assert fits(status, None), (name, status)
            if role not in ("owner", "admin"):
                assert "hushed" not in text, name


@pytest.mark.parametrize("role", PEOPLE)
def test_the_row_of_a_mirror_is_empty_for_whom_it_is_not(world: World, role: str) -> None:
    asker = Asker(world, Who(role, "session" if role else "nobody"))
    for channel in PRIVACIES:
        for sub in (False, True):
            address = _page(world, "mirror-row", channel, sub=sub)
            assert address is not None
            status, text = asker.ask("GET", address)
            expected = asker.who.status(matrix.READ_MIRRORS, channel, sub=sub)
            if not role:
                assert status == 302
            elif expected == 404:
                assert (status, text) == (200, "")
            else:
                assert fits(status, expected), (channel, status)


# The repository: what clients reach below /api/repo.


FORMS = (
    "noarch/repodata.json",
    "noarch/repodata.json.zst",
    "noarch/repodata_shards.msgpack.zst",
    "channeldata.json",
    "notices.json",
    "noarch/{package}-1.0-0.conda",
    "noarch/absent-1.0-0.conda",
    "simple/",
    "simple/six/",
    "cran/src/contrib/PACKAGES",
)


@every_caller
def test_the_repository_gives_each_client_what_they_may_have(
    world: World, role: str, kind: str
) -> None:
    who = _who(world, role, kind)
    headers = {key.replace("-", "_"): value for key, value in who.headers.items()}
    wrong = []
    for channel in (*PRIVACIES, "nowhere"):
        for sub in (False, True):
            for revision in ("", ".r1"):
                for form in FORMS:
                    got = _repo_cell(world, who, headers, channel, sub, revision, form)
                    if got:
                        wrong.append(got)
    assert wrong == []


def _repo_cell(
    world: World,
    who: Who,
    headers: dict[str, str],
    channel: str,
    sub: bool,
    revision: str,
    form: str,
) -> Any:
    package = world.ids.get(channel, {"top": {"package": "six"}})["top"]["package"]
    place = f"{channel}/{channel}-sub" if sub else channel
    path = f"/api/repo/{place}{revision}/{form.format(package=package)}"
    secret = headers.get("X_Auth", "")
    found = []
    for address in (path, *((f"/t/{secret}{path}",) if secret else ())):
        answer = Wire(application).get(address, **(headers if address == path else {}))
        CELLS.append(answer.status)
        found.append(answer)
    allowed = channel in PRIVACIES and _reads(who, channel)
    for answer in found:
        if allowed:
            if answer.status not in (200, 404):
                return path, answer.status, "should read"
            if "repodata.json" in form and answer.status != 200:
                return path, answer.status, "should be there"
        elif answer.status != (404 if who.valid and who.kind != "session" else 401):
            return path, answer.status, answer.body[:100]
        elif b"whispered" in answer.body.replace(path.encode(), b""):
            return path, "tells a secret"
    return None


def _reads(who: Who, channel: str) -> bool:
    """Whether the client may read: sessions are nothing to the repository."""
    if PRIVACIES[channel] == "public":
        return True
    if not who.valid or who.kind == "session":
        return False
    if who.kind == "limited" and channel != "shared":
        return False
    return who.level(channel) != "none"


def test_a_private_channel_and_none_are_refused_in_the_same_words(world: World) -> None:
    for form in FORMS:
        texts = {
            Wire(application).get(f"/api/repo/{name}/{form}").body.replace(name.encode(), b"")
            for name in ("hushed", "nowhere")
        }
        assert len(texts) == 1, texts


def test_the_matrix_has_its_cells() -> None:
    """Runs last: what was asked, so that a change that empties the matrix is seen."""
    print(f"{len(CELLS):,} cells")  # noqa: T201
    assert len(CELLS) > 20_000
