"""Who gets what: privacy, tokens in every place a client may put them, and what they may not."""

from __future__ import annotations

import base64
from datetime import date, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone

from accounts import jwt, tokens
from accounts.models import User
from channels import access
from channels.models import Channel, Generation
from tests.channels import factory
from tests.wsgi import Answer, Client, application

pytestmark = pytest.mark.django_db(transaction=True)

FILE = factory.made("one-1.0-0.conda", b"1" * 100)
PATHS = ("noarch/repodata.json", "noarch/repodata.json.zst", f"noarch/{FILE.filename}")
NAMES = ("public", "authenticated", "private")


@pytest.fixture
def client() -> Client:
    return Client(application)


@pytest.fixture
def people(db: None) -> dict[str, User]:
    people = {name: factory.user(name, channel="read") for name in ("owner", "other")}
    people["admin"] = factory.user("admin", role="boss", channel="manage")
    people["author"] = factory.user("author", role="author", channel="write")
    for name in NAMES:
        channel = factory.channel(name, privacy=name, owner=people["owner"])
        factory.publish(channel, {"noarch": [FILE]})
    return people


def secret(user: User, **limits: Any) -> str:
    limits.setdefault("expires", None)
    return tokens.issue(user, "test", **limits)[1]


def basic(name: str, password: str = "x-auth-token") -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def everywhere(client: Client, channel: str, token: str) -> list[Answer]:
    """One request for each place and each file."""
    answers = []
    for path in PATHS:
        plain = f"/api/repo/{channel}/{path}"
        answers += [
            client.get(f"/t/{token}{plain}"),
            client.get(f"/api/repo/t/{token}/{channel}/{path}"),
            client.get(plain, authorization=basic(token)),
            client.get(plain, authorization=f"Bearer {token}"),
            client.get(plain, x_auth=token),
            client.head(plain, x_auth=token),
        ]
    return answers


def statuses(answers: list[Answer]) -> set[int]:
    return {answer.status for answer in answers}


@pytest.mark.parametrize(
    ("who", "channel", "status"),
    [
        ("other", "public", 200),
        ("other", "authenticated", 200),
        ("other", "private", 404),
        ("author", "private", 404),
        ("owner", "private", 200),
        ("admin", "private", 200),
    ],
)
def test_a06_a_token_opens_what_its_user_may_read(
    client: Client, people: dict[str, User], who: str, channel: str, status: int
) -> None:
    assert statuses(everywhere(client, channel, secret(people[who]))) == {status}


@pytest.mark.parametrize(("channel", "status"), [("public", 200), ("authenticated", 401)])
@pytest.mark.parametrize("kind", ["wrong", "expired", "revoked", "inactive", "none"])
def test_a06_what_is_no_valid_token_opens_nothing_but_the_public(
    client: Client, people: dict[str, User], kind: str, channel: str, status: int
) -> None:
    token = {
        "wrong": lambda: "0123456789abcdef",
        "expired": lambda: secret(people["owner"], expires=date(2020, 1, 1)),
        "revoked": lambda: secret(people["owner"]),
        "inactive": lambda: secret(people["owner"]),
        "none": lambda: "",
    }[kind]()
    if kind == "revoked":
        assert statuses(everywhere(client, channel, token)) == {200}
        people["owner"].tokens.get().delete()
    if kind == "inactive":
        assert statuses(everywhere(client, channel, token)) == {200}
        people["owner"].is_active = False
        people["owner"].save()
    answers = everywhere(client, channel, token)
    assert statuses(answers) == {status}
    if status == 401:
        assert all(a.headers["WWW-Authenticate"].startswith("Basic ") for a in answers)


def test_a_password_is_no_token(client: Client, people: dict[str, User]) -> None:
    answer = client.get(
        "/api/repo/private/noarch/repodata.json", authorization=basic("owner", "secret enough")
    )
    assert answer.status == 401


@pytest.mark.parametrize("text", ["Basic", "Basic !", "Basic /w==", "Bearer", "Digest x", "a.b.c"])
def test_odd_headers_are_no_credentials(client: Client, people: dict[str, User], text: str) -> None:
    assert client.get(f"/api/repo/public/{PATHS[0]}", authorization=text).status == 200
    assert client.get(f"/api/repo/private/{PATHS[0]}", authorization=text).status == 401


def test_a_bearer_token_of_the_api_is_as_good(client: Client, people: dict[str, User]) -> None:
    path = f"/api/repo/private/{PATHS[0]}"
    own, _ = jwt.issue(people["owner"])
    assert client.get(path, authorization=f"Bearer {own}").status == 200
    foreign, refresh = jwt.issue(people["other"])
    assert client.get(path, authorization=f"Bearer {foreign}").status == 404
    assert client.get(path, authorization=f"Bearer {refresh}").status == 401


def test_a_token_for_some_channels_opens_these(client: Client, people: dict[str, User]) -> None:
    named = [{"channel": "private", "level": "read"}]
    token = secret(people["owner"], resources=named)
    assert statuses(everywhere(client, "private", token)) == {200}
    assert statuses(everywhere(client, "authenticated", token)) == {404}
    assert statuses(everywhere(client, "public", token)) == {200}
    # It never opens more than its user may.
    foreign = secret(people["other"], resources=named)
    assert statuses(everywhere(client, "private", foreign)) == {404}


def test_a_token_for_something_else_does_not_read(client: Client, people: dict[str, User]) -> None:
    writing = secret(people["owner"], scopes=["channel:create"])
    reading = secret(people["owner"], scopes=["artifact:download"])
    assert statuses(everywhere(client, "private", writing)) == {404}
    assert statuses(everywhere(client, "private", reading)) == {200}


def test_p09_answers_from_closed_channels_are_for_their_caller_only(
    client: Client, people: dict[str, User]
) -> None:
    for name in ("authenticated", "private"):
        for answer in everywhere(client, name, secret(people["owner"])):
            assert answer.headers["Cache-Control"].startswith("private, max-age=")
            assert answer.headers["Vary"] == "Authorization"


def test_p09_one_callers_answer_is_not_anothers(client: Client, people: dict[str, User]) -> None:
    path = f"/api/repo/private/noarch/{FILE.filename}"
    for _ in range(2):
        assert client.get(path, x_auth=secret(people["owner"])).status == 200
        assert client.get(path, x_auth=secret(people["other"])).status == 404
        assert client.get(path).status == 401
        assert client.get(path, range="bytes=0-1").status == 401
        assert client.get(path, if_none_match=f'"{FILE.sha256}"').status == 401


def test_c07_privacy_and_roles_count_from_the_next_request_on(
    client: Client, people: dict[str, User]
) -> None:
    token = secret(people["admin"])
    private = f"/t/{token}/api/repo/private/{PATHS[0]}"
    assert client.get(private).status == 200
    role = people["admin"].role
    assert role is not None
    role.attributes = {"channel": "read"}
    role.save()
    assert client.get(private).status == 404
    assert client.get(f"/api/repo/public/{PATHS[0]}").status == 200
    Channel.objects.filter(name="public").update(privacy="private")
    Generation.rise()
    assert client.get(f"/api/repo/public/{PATHS[0]}").status == 401


def test_a_subchannel_is_never_more_public_than_its_parent(
    client: Client, people: dict[str, User]
) -> None:
    parent = Channel.objects.get(name="private")
    sub = factory.channel("sub", privacy="public", parent=parent, owner=people["other"])
    factory.publish(sub, {"noarch": [FILE]})
    path = f"/api/repo/private/sub/{PATHS[0]}"
    assert access.effective_privacy(sub) == "private"
    assert client.get(path).status == 401
    assert client.get(path, x_auth=secret(people["author"])).status == 404
    assert client.get(path, x_auth=secret(people["owner"])).status == 200
    assert client.get(path, x_auth=secret(people["other"])).status == 200
    named = secret(people["owner"], resources=[{"channel": "private", "level": "read"}])
    assert client.get(path, x_auth=named).status == 200


def test_what_people_see_is_what_they_may_read(people: dict[str, User]) -> None:
    parent = Channel.objects.get(name="authenticated")
    factory.channel("open", privacy="public", parent=parent)
    gone = factory.channel("gone", deleted_at=timezone.now())
    everybody = [None, AnonymousUser(), *people.values()]
    for user in everybody:
        seen = {channel.path for channel in access.visible_channels(user)}
        readable = {
            channel.path
            for channel in Channel.objects.exclude(pk=gone.pk)
            if access.may_read(user, None, channel)
        }
        assert seen == readable
    assert {c.path for c in access.visible_channels(None)} == {"public"}


def test_levels_on_a_channel(people: dict[str, User]) -> None:
    public, private = (Channel.objects.get(name=name) for name in ("public", "private"))
    assert access.level_on(None, public) == "read"
    assert access.level_on(AnonymousUser(), private) == "none"
    assert access.level_on(people["other"], public) == "read"
    assert access.level_on(people["author"], public) == "write"
    assert access.level_on(people["author"], private) == "none"
    assert access.level_on(people["owner"], private) == "manage"
    assert access.level_on(people["admin"], private) == "manage"
    assert access.can(people["author"], public, "write")
    assert not access.can(people["other"], public, "write")


def test_a_token_that_is_used_is_not_in_the_log(
    client: Client, people: dict[str, User], caplog: pytest.LogCaptureFixture
) -> None:
    token = secret(people["owner"])
    tomorrow = (timezone.now().date() + timedelta(days=1)).isoformat()
    for path in (*PATHS, "noarch/none-1-0.conda", "//", tomorrow):
        client.get(f"/t/{token}/api/repo/private/{path}")
    assert token not in caplog.text
