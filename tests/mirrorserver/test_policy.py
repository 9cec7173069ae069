"""The content-security policy of what no view renders."""

from __future__ import annotations

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client

from accounts.pages import POLICY
from mirrorserver.policy import HEADER, set_policy
from tests import scene

pytestmark = pytest.mark.django_db


def test_whatever_leaves_has_the_strict_policy() -> None:
    for path in ("/api/system", "/api/nowhere", "/api/openapi.json", "/channels", "/nowhere"):
        assert Client().get(path).headers[HEADER] == POLICY


def test_an_old_form_is_refused_under_the_policy() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(scene.admin())
    answer = client.post("/create-channel/", {"name": "main"})
    assert answer.status_code == 403
    assert "The form is too old" in answer.content.decode()
    assert answer.headers[HEADER] == POLICY


def test_a_crash_is_told_under_the_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr("accounts.views.session.render", crash)
    answer = Client(raise_request_exception=False).get("/sign-in/")
    assert answer.status_code == 500
    assert "Something went wrong" in answer.content.decode()
    assert answer.headers[HEADER] == POLICY


def test_the_browsable_api_may_show_the_pictures_of_its_style_sheet_and_nothing_else() -> None:
    policy = Client().get("/api/docs").headers[HEADER]
    assert "img-src 'self' data:" in policy
    assert policy.replace(" data:", "") == POLICY


def test_a_policy_that_is_set_stays() -> None:
    def page(_: HttpRequest) -> HttpResponse:
        return HttpResponse(headers={HEADER: "default-src 'self'"})

    assert set_policy(page)(HttpRequest()).headers[HEADER] == "default-src 'self'"
