"""The security headers of what no view renders."""

from __future__ import annotations

import pytest
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import Client
from pytest_django import DjangoAssertNumQueries
from redis import RedisError

from tests import scene
from web.pages.rendering import POLICY
from web.security_headers import HEADER, set_security_headers

pytestmark = pytest.mark.django_db


def test_whatever_leaves_has_the_strict_policy() -> None:
    for path in ("/api/system", "/api/nowhere", "/api/openapi.json", "/channels", "/nowhere"):
        assert Client().get(path).headers[HEADER] == POLICY


def test_an_old_form_is_refused_under_the_policy() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(scene.admin())
    answer = client.post("/create-channel/", {"name": "main"})
    assert answer.status_code == 403
    assert "This form has expired" in answer.content.decode()
    assert answer.headers[HEADER] == POLICY


@pytest.mark.parametrize(
    ("error", "status", "title"),
    [
        (RuntimeError("broken on purpose"), 500, "Something went wrong"),
        (OperationalError("locked"), 503, "The database is busy"),
        (RedisError("OOM"), 503, "Redis is busy"),
    ],
)
def test_a_crash_is_a_page_for_a_browser_and_a_sentence_for_everybody_else(
    monkeypatch: pytest.MonkeyPatch,
    django_assert_num_queries: DjangoAssertNumQueries,
    error: Exception,
    status: int,
    title: str,
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("web.pages.sign_in.render", crash)
    client = Client(raise_request_exception=False)
    answers = {}
    for who, headers in {
        "browser": {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"},
        "part": {"Accept": "text/html", "HX-Request": "true"},
        "program": {"Accept": "*/*"},
    }.items():
        with django_assert_num_queries(0):
            answers[who] = client.get("/sign-in/", headers=headers)
        assert answers[who].status_code == status
        assert answers[who].headers[HEADER] == POLICY
        assert answers[who].headers["Cache-Control"] == "no-store"
        assert ("Retry-After" in answers[who].headers) == (status == 503)
    page = answers["browser"].content.decode()
    sentence = answers["program"].content.decode()
    assert title in page
    assert sentence in page
    assert "<" not in sentence
    assert answers["part"].content == answers["program"].content


def test_the_browsable_api_may_show_the_pictures_of_its_style_sheet_and_nothing_else() -> None:
    policy = Client().get("/api/docs").headers[HEADER]
    assert "img-src 'self' data:" in policy
    assert policy.replace(" data:", "") == POLICY


def test_a_policy_that_is_set_stays() -> None:
    def page(_: HttpRequest) -> HttpResponse:
        return HttpResponse(headers={HEADER: "default-src 'self'"})

    assert set_security_headers(page)(HttpRequest()).headers[HEADER] == "default-src 'self'"
