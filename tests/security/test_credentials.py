"""Attacks with tokens, refresh tokens, old sessions and made passwords."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from typing import Any

import pytest
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from accounts import jwt, retention, sessions, tokens
from accounts.first_start import BadPassword, ensure_admin
from accounts.models import ApiSession, SecurityEvent, SecurityEventType, Token, User
from delivery import auth
from delivery import cache as generation
from tests.web.client import PASSWORD, Api, message, person
from workers.retention import clean_up

pytestmark = pytest.mark.django_db

NEW = "seven green lanterns"


@pytest.fixture(autouse=True)
def _fresh() -> None:
    cache.clear()


def browser(name: str, password: str = PASSWORD) -> Client:
    """A browser that signed in by the page."""
    client = Client()
    answer = client.post("/sign-in/", {"username": name, "password": password})
    assert answer.status_code == 302, answer.content
    return client


def signed_in(client: Client) -> bool:
    return client.get("/profile/").status_code == 200


# Tokens


@pytest.mark.parametrize(
    "limits",
    [{"scopes": ["channel:view"]}, {"resources": [{"channel": "main", "level": "manage"}]}],
)
def test_a_limited_token_changes_no_limits_no_expiry_and_no_other_token(limits: Any) -> None:
    ann = person("ann")
    token, secret = tokens.issue(ann, "small", **limits)
    other, _ = tokens.issue(ann, "other")
    later = str(tokens.latest_expiry())
    api = Api(X_Auth=secret)
    assert message(api.put(f"/account/tokens/{token.pk}", {"expires_at": later}))[0] == 403
    assert message(api.put(f"/account/tokens/{other.pk}", {}))[0] == 403
    assert message(api.delete(f"/account/tokens/{other.pk}"))[0] == 403
    assert message(api.post("/account/tokens", {"name": "all"}))[0] == 403
    assert message(api.get("/audit-log"))[0] == 403
    for body in ({"scopes": ["channel:edit"]}, {"resources": [{"channel": "x"}]}, {"user": 1}):
        assert message(api.put(f"/account/tokens/{token.pk}", body))[0] == 422
    before = Token.objects.get(pk=token.pk)
    assert before.expires == token.expires
    status, rotated = api.put(f"/account/tokens/{token.pk}")
    assert status == 200
    after = Token.objects.get(pk=token.pk)
    assert (after.expires, after.scopes, after.resources) == (
        before.expires,
        before.scopes,
        before.resources,
    )
    assert Api(X_Auth=rotated["token"]).get("/account")[0] == 200


def test_no_token_lives_longer_than_the_setting_and_none_for_ever(settings: Any) -> None:
    settings.TOKEN_DAYS = 90
    ann = person("ann")
    api, page = Api(ann), browser("ann")
    late = str(tokens.today() + timedelta(days=91))
    status, text = message(api.post("/account/tokens", {"name": "t", "expires_at": late}))
    assert (status, "90 days at most" in text) == (422, True)
    made = api.post("/account/tokens", {"name": "t"})[1]
    status, text = message(api.put(f"/account/tokens/{made['id']}", {"expires_at": late}))
    assert (status, "90 days at most" in text) == (422, True)
    shown = page.post("/profile/", {"name": "p", "expires": late, "limit": "all"}).content.decode()
    assert "90 days at most" in shown
    assert not Token.objects.filter(expires=None).exists()
    assert all(one.expires <= tokens.latest_expiry() for one in Token.objects.all())
    assert tokens.issue(ann, "unsaid", expires=None)[0].expires == tokens.usual_expiry()
    settings.TOKEN_DAYS = 7
    assert tokens.issue(ann, "short")[0].expires == tokens.today() + timedelta(days=7)


def test_the_header_of_the_vendors_clients_is_read() -> None:
    ann = person("ann")
    _, secret = tokens.issue(ann, "vendor")
    assert Api(Authorization=f"token {secret}").get("/account")[1]["username"] == "ann"
    assert Api(Authorization=f"Token {jwt.issue(ann)[0]}").get("/account")[0] == 200
    assert Api(Authorization="token nonsense").get("/account")[0] == 401
    # The part that serves packages reads it too.
    environ = {"HTTP_AUTHORIZATION": f"token {secret}"}
    assert auth.identify(environ, "", generation.Caches(0)).user == ann


# Refresh tokens


def test_a_refresh_token_works_once_and_a_copied_one_ends_the_session() -> None:
    person("ann")
    login = Api().post("/auth/login", {"username": "ann", "password": PASSWORD})[1]
    status, fresh = Api().post("/auth/refresh", {"refresh_token": login["refresh_token"]})
    assert status == 200
    assert set(fresh) == {"token", "refresh_token"}
    assert Api(Authorization=f"Bearer {fresh['token']}").get("/account")[0] == 200
    again = Api().post("/auth/refresh", {"refresh_token": login["refresh_token"]})
    assert message(again)[0] == 401
    for stolen in (login["token"], fresh["token"]):
        assert Api(Authorization=f"Bearer {stolen}").get("/account")[0] == 401
    assert Api().post("/auth/refresh", {"refresh_token": fresh["refresh_token"]})[0] == 401
    assert SecurityEvent.objects.filter(type=SecurityEventType.REFRESH_REUSED).count() == 1


def test_what_is_no_refresh_token_is_401() -> None:
    ann = person("ann")
    access, refresh = jwt.issue(ann)
    for text in ("", "nonsense", "a.b.c", access, "é", refresh[:-2], "x" * 4000):
        assert message(Api().post("/auth/refresh", {"refresh_token": text}))[0] == 401
    assert message(Api().post("/auth/refresh", {}))[0] == 422
    ApiSession.objects.update(expires=timezone.now() - timedelta(seconds=1))
    assert Api().post("/auth/refresh", {"refresh_token": refresh})[0] == 401
    assert jwt.verify(access) is None


def test_api_sessions_of_one_account_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwt, "MAX_SESSIONS", 3)
    ann = person("ann")
    made = [jwt.issue(ann)[0] for _ in range(5)]
    assert [jwt.verify(one) is not None for one in made] == [False, False, True, True, True]


# What administrators and owners end


def everything(name: str) -> tuple[Client, str, str, str]:
    """A browser, an access token, a refresh token and an opaque token of one account."""
    user = User.objects.get(username=name)
    access, refresh = jwt.issue(user)
    return browser(name), access, refresh, tokens.issue(user, "ci")[1]


def works(held: tuple[Client, str, str, str]) -> list[bool]:
    client, access, refresh, secret = held
    return [
        signed_in(client),
        Api(Authorization=f"Bearer {access}").get("/account")[0] == 200,
        Api(X_Auth=secret).get("/account")[0] == 200,
        Api().post("/auth/refresh", {"refresh_token": refresh})[0] == 200,
    ]


def test_a_disabled_account_loses_everything_for_good() -> None:
    person("admin", "admin")
    ann = person("ann")
    held = everything("ann")
    admin = browser("admin")
    admin.post(f"/users/{ann.pk}/switch/")
    assert works(held) == [False] * 4
    page = admin.post(f"/users/{ann.pk}/switch/", follow=True).content.decode()
    assert "Its old tokens stay revoked" in page
    assert User.objects.get(pk=ann.pk).is_active
    assert works(held) == [False] * 4
    event = SecurityEvent.objects.get(type=SecurityEventType.USER_DISABLED)
    assert event.after == {"sessions_ended": 2, "tokens_revoked": 1}


def test_a_session_that_no_list_knows_ends_too() -> None:
    person("admin", "admin")
    ann = person("ann")
    unlisted = Client()
    unlisted.force_login(ann)
    UserSession.objects.all().delete()
    admin = browser("admin")
    for _ in range(2):
        admin.post(f"/users/{ann.pk}/switch/")
    assert not signed_in(unlisted)


def test_a_reset_password_revokes_tokens_ends_sessions_and_says_so() -> None:
    person("admin", "admin")
    ann = person("ann")
    held = everything("ann")
    page = browser("admin").post(f"/users/{ann.pk}/password/").content.decode()
    assert "2 sessions ended, 1 token revoked." in page
    assert works(held) == [False] * 4


def test_a_made_password_opens_nothing_but_its_own_change() -> None:
    person("admin", "admin")
    ann = person("ann")
    page = browser("admin").post(f"/users/{ann.pk}/password/").content.decode()
    made = re.search(r"<code>([\w-]{16})</code>", page)
    assert made
    client = browser("ann", made[1])
    for path in ("/", "/channels/", "/profile/", "/profile/sessions/", "/create-channel/"):
        assert client.get(path).headers["Location"] == "/profile/password/"
    assert client.get("/channels/", headers={"HX-Request": "true"}).status_code == 403
    assert client.post("/profile/", {"name": "t"}).status_code == 302
    assert client.get("/api/account").status_code == 403
    assert not Token.objects.exists()
    assert client.get("/profile/password/").status_code == 200
    same = {"current": made[1], "password": made[1]}
    assert "your password already" in client.post("/profile/password/", same).content.decode()
    client.post("/profile/password/", {"current": made[1], "password": NEW})
    assert signed_in(client)
    assert Api().post("/auth/login", {"username": "ann", "password": NEW})[0] == 200


def test_changing_the_password_ends_every_other_session_and_renews_this_one() -> None:
    person("ann")
    held, client = everything("ann"), browser("ann")
    key = client.cookies["sessionid"].value
    client.post("/profile/password/", {"current": PASSWORD, "password": NEW})
    assert signed_in(client)
    assert client.cookies["sessionid"].value != key
    assert works(held) == [False, False, True, False]


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("short pass", "at least 12 characters"),
        ("password1234", "too common"),
        ("annabelle.smith", "too similar to the username"),
        ("MirrorServer", "too similar to the product"),
        ("mirror-server1", "too similar to the product"),
    ],
)
def test_weak_passwords_are_refused_in_words(password: str, words: str) -> None:
    ensure_admin(PASSWORD)
    User.objects.create_user("annabelle.smith", password=PASSWORD)
    client = browser("annabelle.smith")
    form = {"current": PASSWORD, "password": password}
    assert words in client.post("/profile/password/", form).content.decode().replace("’", "'")


def test_guessing_the_current_password_in_a_taken_over_session_is_limited() -> None:
    person("ann")
    client = browser("ann")
    form = {"current": "guess", "password": NEW}
    found = [client.post("/profile/password/", form).status_code for _ in range(7)]
    assert found[-1] == 429


def test_the_first_administrators_password_is_checked_and_stays_usable() -> None:
    for weak in ("administrator", "password1234", "mirrorserver"):
        with pytest.raises(BadPassword, match=r"ADMIN_PASSWORD cannot be used: Th.* Choose"):
            ensure_admin(weak)
    assert not User.objects.exists()
    ensure_admin(PASSWORD)
    assert Api().post("/auth/login", {"username": "admin", "password": PASSWORD})[0] == 200
    assert signed_in(browser("admin"))


# How long sessions live


def aged(client: Client, **ages: float) -> None:
    session = client.session
    for key, age in ages.items():
        session[key] = time.time() - age
    session.save()


def test_a_session_ends_when_nobody_uses_it_and_after_14_days_in_any_case() -> None:
    person("ann")
    hour, day = 3600, 24 * 3600
    idle, old, busy = browser("ann"), browser("ann"), browser("ann")
    aged(idle, used=8 * hour + 1)
    aged(old, began=14 * day + 1, used=1)
    aged(busy, began=13 * day, used=7 * hour)
    assert [signed_in(one) for one in (idle, old, busy)] == [False, False, True]
    assert not Session.objects.filter(session_key=idle.cookies["sessionid"].value).exists()
    assert SecurityEvent.objects.filter(type=SecurityEventType.SESSION_ENDED).count() == 2


def test_use_is_noted_and_what_a_page_asks_by_itself_is_no_use() -> None:
    person("ann")
    client = browser("ann")
    aged(client, used=7 * 3600)
    client.get("/profile/", headers={sessions.POLL: "1"})
    assert time.time() - client.session["used"] > 6 * 3600
    client.get("/profile/")
    assert time.time() - client.session["used"] < 3600


def test_what_has_expired_is_purged() -> None:
    ann = person("ann")
    browser("ann")
    jwt.issue(ann)
    Session.objects.update(expire_date=timezone.now() - timedelta(days=1))
    ApiSession.objects.update(expires=timezone.now() - timedelta(days=1))
    retention.purge()
    assert not Session.objects.exists()
    assert not UserSession.objects.exists()
    assert not ApiSession.objects.exists()


def test_the_owner_sees_and_ends_sessions_and_nobody_elses() -> None:
    person("ann")
    ann, other = browser("ann"), browser("ann")
    other.get("/profile/", headers={"User-Agent": "x"})
    access, _ = jwt.issue(User.objects.get(username="ann"))
    page = ann.get("/profile/sessions/").content.decode()
    assert "This session" in page
    assert "Signed in" in page
    assert "Account activity" in page
    theirs = UserSession.objects.get(session_key=other.cookies["sessionid"].value)
    api = ApiSession.objects.get()
    person("bob")
    bob = browser("bob")
    for path in (f"browser/{theirs.pk}", f"api/{api.pk}"):
        assert bob.post(f"/profile/sessions/{path}/end/").status_code == 404
    ann.post(f"/profile/sessions/browser/{theirs.pk}/end/")
    assert not signed_in(other)
    ann.post(f"/profile/sessions/api/{api.pk}/end/")
    assert jwt.verify(access) is None
    third = browser("ann")
    assert "End all other sessions?" in ann.get("/profile/sessions/end/").content.decode()
    ann.post("/profile/sessions/end/")
    assert not signed_in(third)
    assert signed_in(ann)
    assert signed_in(bob)


def test_the_clean_up_of_the_server_purges_sessions() -> None:
    person("ann")
    browser("ann")
    Session.objects.update(expire_date=timezone.now() - timedelta(days=1))
    clean_up()
    assert not Session.objects.exists()
