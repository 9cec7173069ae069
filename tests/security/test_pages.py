"""Attacks on pages: odd parameters and headers, cookies and policy under https, the audit log."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from accounts import audit
from accounts.models import AppendOnly, SecurityEvent, SecurityEventType, User
from tests import scene
from tests.web.client import Api, message, person

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh() -> None:
    cache.clear()


@pytest.fixture
def admin() -> Client:
    person("admin", "admin")
    scene.channel("main")
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.get(username="admin"))
    return client


def under(public_url: str, tmp_path: Path, code: str) -> str:
    """What a process with this PUBLIC_URL prints."""
    variables = {**os.environ, "DATA": str(tmp_path / "d"), "PUBLIC_URL": public_url}
    variables["DJANGO_SETTINGS_MODULE"] = "mirrorserver.settings"
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env=variables, capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout


SHOW = """
import django; django.setup()
from django.conf import settings as s
from django.http import HttpRequest, HttpResponse
from web.security_headers import set_security_headers
sent = set_security_headers(lambda r: HttpResponse())(HttpRequest()).headers
print(s.SESSION_COOKIE_NAME, s.CSRF_COOKIE_NAME, s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE,
      sent.get("Strict-Transport-Security"))
"""


def test_cookies_are_bound_to_the_host_and_hsts_is_sent_under_https_only(tmp_path: Path) -> None:
    found = under("https://mirror.example.org", tmp_path, SHOW).strip()
    assert found == "__Host-sessionid __Host-csrftoken True True max-age=31536000"
    assert under("http://127.0.0.1:8000", tmp_path, SHOW).strip() == (
        "sessionid csrftoken False False None"
    )


def test_djangos_own_check_for_deployment_is_clean(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        env={**os.environ, "DATA": str(tmp_path / "d"), "PUBLIC_URL": "https://mirror.example.org"},
        check=True,
        timeout=120,
    )


# The audit log


def event(**fields: Any) -> SecurityEvent:
    return audit.record(SecurityEventType.SIGN_IN_FAILED, **fields)


def test_A13_security_events_can_neither_be_changed_nor_deleted() -> None:
    one = event(actor="ann")
    one.actor = "bob"
    for attempt in (
        one.save,
        one.delete,
        SecurityEvent.objects.all().delete,
        lambda: SecurityEvent.objects.update(actor="bob"),
        lambda: SecurityEvent.objects.filter(pk=one.pk).update(actor="bob"),
    ):
        with pytest.raises(AppendOnly):
            attempt()
    assert SecurityEvent.objects.get().actor == "ann"


def test_only_administrators_read_the_audit_log() -> None:
    ann = person("ann")
    client = Client()
    client.force_login(ann)
    for path in ("/audit-log/", "/audit-log/export.csv", "/audit-log/export.json"):
        assert client.get(path).status_code == 403
        assert Client().get(path).status_code == 302
    assert message(Api(ann).get("/audit-log"))[0] == 403
    assert Api().get("/audit-log")[0] == 401
    assert client.get("/audit-log/").status_code == 403
    refused = SecurityEvent.objects.filter(type=SecurityEventType.REFUSED, actor="ann")
    assert sorted(one.detail.partition(": ")[0] for one in refused) == [
        "GET /api/audit-log",
        "GET /audit-log/",
        "GET /audit-log/export.<str:form>",
    ]


def test_M07_the_audit_log_is_filtered_paged_and_exported_without_formulas(admin: Client) -> None:
    for n in range(60):
        event(actor=f"user{n}")
    event(actor="=HYPERLINK(1)\n2")
    page = admin.get("/audit-log/?actor=user59").content.decode()
    assert "user59" in page
    assert "user58" not in page
    assert "Page 1 of 2" in admin.get("/audit-log/").content.decode()
    answer = admin.get("/audit-log/export.csv?type=sign_in_failed")
    text = b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 61
    assert rows[-1]["actor"] == "'=HYPERLINK(1) 2"
    json_answer = admin.get("/audit-log/export.json?actor=user1")
    assert b"user19" in b"".join(json_answer.streaming_content)  # type: ignore[attr-defined]
    api = Api(User.objects.get(username="admin"))
    status, found = api.get("/audit-log?actor=user5&limit=3&order=asc")
    assert (status, found["total_count"]) == (200, 11)
    assert [one["actor"] for one in found["items"]] == ["user5", "user50", "user51"]
    assert message(api.get("/audit-log?type=nothing"))[0] == 422
    assert message(api.get("/audit-log?from=yesterday"))[0] == 422


def test_changes_of_users_and_roles_are_recorded_with_before_and_after(admin: Client) -> None:
    ann = person("ann")
    reader = person("bob", "reader").role
    assert reader
    form = {"username": "ann", "email": "a@example.org", "role": reader.pk}
    admin.post(f"/users/{ann.pk}/", form)
    one = SecurityEvent.objects.get(type=SecurityEventType.USER_UPDATED)
    assert one.before == {"email": "", "role": "author"}
    assert one.after == {"email": "a@example.org", "role": "reader"}
    assert (one.actor, one.object_type, one.object_name) == ("admin", "user", "ann")
    page = admin.post("/users/create/", {"username": "new", "role": reader.pk}).content.decode()
    made = SecurityEvent.objects.get(type=SecurityEventType.USER_CREATED)
    assert "new" in page
    assert made.after == {"username": "new", "email": "", "role": "reader"}
    page = admin.get("/audit-log/").content.decode()
    assert "email: none, role: reader, username: new" in page
    assert "email: none, role: author" in page


def test_lists_in_the_audit_log_are_words(admin: Client) -> None:
    event(after={"scopes": ["a:view", "b:view"], "resources": [], "everything": True})
    page = admin.get("/audit-log/").content.decode()
    assert "everything: yes, resources: none, scopes: a:view, b:view" in page


def test_the_audit_log_does_not_grow_for_ever(settings: Any) -> None:
    for n in range(10):
        event(actor=f"user{n}")
    settings.AUDIT_ROWS = 4
    assert audit.retire() == 6
    names = [one.actor for one in SecurityEvent.objects.order_by("pk")]
    assert names == ["user6", "user7", "user8", "user9"]
    settings.AUDIT_DAYS = 0
    assert audit.retire() == 4
