"""Attacks on signing in: guessing, spraying, locking others out, leading elsewhere."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.db import connections
from django.test import Client

from accounts import password_cache
from accounts.models import SecurityEvent, SecurityEventType, User
from tests.web.client import PASSWORD, Api, person

pytestmark = pytest.mark.django_db

HOME, ELSEWHERE, THIRD = "203.0.113.1", "203.0.113.2", "2001:db8::1"


@pytest.fixture(autouse=True)
def _proxy(settings: Any) -> None:
    cache.clear()
    password_cache._verified.clear()
    # Whoever passes the tests slowly meets no second window.
    settings.SIGN_IN_RATE, settings.SIGN_IN_ADDRESS_RATE = "5/3600", "30/3600"
    settings.TRUSTED_PROXIES = (ip_network("127.0.0.1/32"),)


def by_page(name: str, password: str, address: str = HOME) -> Any:
    form = {"username": name, "password": password}
    return Client().post("/sign-in/", form, headers={"X-Forwarded-For": address})


def by_api(name: str, password: str, address: str = HOME) -> Any:
    api = Api(X_Forwarded_For=address)
    api.post("/auth/login", {"username": name, "password": password})
    return api.last


def by_basic(name: str, password: str, address: str = HOME) -> Any:
    words = base64.b64encode(f"{name}:{password}".encode()).decode()
    api = Api(Authorization=f"Basic {words}", X_Forwarded_For=address)
    api.get("/account")
    return api.last


WAYS = {"page": by_page, "api": by_api, "basic": by_basic}
FINE = {"page": 302, "api": 200, "basic": 200}


@pytest.mark.parametrize("way", WAYS)
def test_guessing_one_account_ends_after_five_tries_also_with_the_right_password(way: str) -> None:
    person("ann")
    answers = [WAYS[way]("ann", f"guess {n}") for n in range(7)]
    assert [one.status_code == 429 for one in answers] == [False] * 5 + [True] * 2
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 3600
    assert WAYS[way]("ann", PASSWORD).status_code == 429


def test_every_way_to_sign_in_counts_for_the_others() -> None:
    person("ann")
    for way in ("page", "api", "basic", "page", "api"):
        assert WAYS[way]("ann", "guess").status_code in (200, 401)
    assert {WAYS[way]("ann", PASSWORD).status_code for way in WAYS} == {429}


@pytest.mark.parametrize("way", WAYS)
def test_nobody_locks_an_account_out_for_its_owner_elsewhere(way: str) -> None:
    person("ann")
    for _ in range(8):
        WAYS[way]("ann", "guess", HOME)
    assert WAYS[way]("ann", PASSWORD, ELSEWHERE).status_code == FINE[way]


@pytest.mark.parametrize("way", WAYS)
def test_who_attacks_one_account_does_not_lock_a_neighbor_out(way: str) -> None:
    person("ann")
    person("bob")
    for _ in range(20):
        WAYS[way]("ann", "guess")
    assert WAYS[way]("bob", PASSWORD).status_code == FINE[way]


@pytest.mark.parametrize("way", WAYS)
def test_spraying_over_many_accounts_is_stopped_and_neighbors_who_were_there_get_in(
    way: str, settings: Any
) -> None:
    settings.SIGN_IN_ADDRESS_RATE = "10/3600"
    person("bob")
    assert WAYS[way]("bob", PASSWORD).status_code == FINE[way]
    sprayed = [WAYS[way](f"user{n}", "Summer2026!pass").status_code for n in range(15)]
    assert sprayed[:10].count(429) == 0
    assert sprayed[10:] == [429] * 5
    assert WAYS[way]("bob", PASSWORD).status_code == FINE[way]
    assert WAYS[way]("user1", "Summer2026!pass", ELSEWHERE).status_code in (200, 401)


def test_changing_the_case_or_the_last_bits_of_an_address_is_no_way_around() -> None:
    person("ann")
    for n in range(5):
        by_api(("ann", "ANN", "Ann", "aNN", "\uff41nn")[n], "guess", f"2001:db8::{n + 1}")
    assert by_api("ann", "guess", "2001:db8::99").status_code == 429


def test_right_passwords_are_never_counted() -> None:
    person("ann")
    for way, tried in WAYS.items():
        for _ in range(7):
            assert tried("ann", PASSWORD).status_code == FINE[way]


@pytest.mark.django_db(transaction=True)
def test_parallel_guesses_are_counted_before_they_are_judged() -> None:
    person("ann")

    def one(n: int) -> int:
        try:
            return int(by_basic("ann", f"guess {n}").status_code)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(one, range(16)))
    assert found.count(401) == 5
    assert found.count(429) == 11


@pytest.mark.django_db(transaction=True)
def test_a_client_that_sends_its_right_password_many_times_at_once_gets_every_answer() -> None:
    person("ann")

    def one(_: int) -> int:
        try:
            return int(by_basic("ann", PASSWORD).status_code)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(one, range(24))) == {200}


def test_a_remembered_password_is_void_once_the_account_changes() -> None:
    user = person("ann")
    assert by_basic("ann", PASSWORD).status_code == 200
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert by_basic("ann", PASSWORD).status_code == 401
    User.objects.filter(pk=user.pk).update(is_active=True)
    assert by_basic("ann", PASSWORD).status_code == 200
    user.refresh_from_db()
    user.set_password("another long password")
    user.save()
    assert by_basic("ann", PASSWORD).status_code == 401


def test_a_disabled_account_is_answered_like_a_wrong_password() -> None:
    user = person("ann")
    wrong = by_page("ann", "guess").content
    User.objects.filter(pk=user.pk).update(is_active=False)
    for way, refused in (("page", 200), ("api", 401), ("basic", 401)):
        assert WAYS[way]("ann", PASSWORD).status_code == refused
    assert b"The user name or the password is wrong." in wrong
    assert by_page("nobody", "guess", THIRD).status_code == 200


@pytest.mark.parametrize(
    "onward",
    [
        "http://testserver//evil.example",
        "https://testserver//evil.example/",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "http:///evil.example",
        "https://evil.example/",
        "javascript:alert(1)",
        "http://testserver\\@evil.example",
        "http://[",
        "/%0d%0aSet-Cookie: a=b",
        "\x01//evil.example",
        "1e9",
        "nowhere",
        "?next=//evil.example",
        "",
        "/" + "a" * 5000,
        "http://testserver/ok/../..//evil.example",
    ],
)
def test_A09_no_next_leads_to_another_server_and_none_is_an_error(onward: str) -> None:
    person("ann")
    form = {"username": "ann", "password": PASSWORD, "next": onward}
    answer = Client().post("/sign-in/", form)
    assert answer.status_code == 302
    where = answer.headers["Location"]
    assert where.startswith("/")
    assert not where.startswith(("//", "/\\"))
    assert Client().get("/sign-in/", {"next": onward}).status_code == 200
    browser = Client()
    browser.force_login(User.objects.get(username="ann"))
    theme = browser.post("/profile/theme/", {"theme": "dark", "next": onward})
    assert theme.headers["Location"].startswith("/")
    assert not theme.headers["Location"].startswith(("//", "/\\"))
    signed_in = browser.get("/sign-in/", {"next": onward})
    assert not signed_in.headers["Location"].startswith("//")


def test_A08_signing_in_gives_the_session_another_key() -> None:
    person("ann")
    browser = Client()
    browser.get("/sign-in/")
    browser.cookies["sessionid"] = "a" * 32
    browser.post("/sign-in/", {"username": "ann", "password": PASSWORD})
    key = browser.cookies["sessionid"].value
    assert key != "a" * 32
    browser.post("/sign-out/")
    assert not Session.objects.filter(session_key=key).exists()
    assert browser.get("/profile/").status_code == 302


def test_nobody_makes_an_account_for_themselves() -> None:
    person("admin", "admin")
    for path in ("/signup/", "/accounts/signup/", "/sign-up/", "/accounts/login/"):
        assert Client().get(path).status_code == 404


def test_sign_ins_failures_and_the_first_refusal_are_in_the_audit_log() -> None:
    person("ann")
    for _ in range(8):
        by_api("ann", "guess")
    by_api("ann", PASSWORD, ELSEWHERE)
    by_page("ann", PASSWORD, ELSEWHERE)
    count = {
        kind: SecurityEvent.objects.filter(type=kind, actor="ann").count()
        for kind in (
            SecurityEventType.SIGN_IN_FAILED,
            SecurityEventType.SIGN_IN_THROTTLED,
            SecurityEventType.SIGNED_IN,
        )
    }
    assert list(count.values()) == [5, 1, 2]
    one = SecurityEvent.objects.filter(type=SecurityEventType.SIGN_IN_FAILED)[0]
    assert one.address == HOME
    assert "guess" not in str(one.__dict__)


def test_basic_with_a_password_that_must_be_changed_is_refused_in_words() -> None:
    user = person("ann")
    User.objects.filter(pk=user.pk).update(must_change_password=True)
    for way in ("api", "basic"):
        answer = WAYS[way]("ann", PASSWORD)
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "password_change_required"
        assert "choose your own" in answer.json()["message"]
