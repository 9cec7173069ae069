"""Attacks on every page and API route with values that make no sense: never a 500.

The rule: addresses come from the table of addresses, so that a new one is attacked by itself.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from django.core.cache import cache as counts
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts import jwt
from accounts.models import User
from tests import scene
from tests.web.client import person
from web.api.root import api

pytestmark = pytest.mark.django_db

SOURCE = "https://mirror.example.org/main"
ENDS_SESSIONS = ("/sign-out/", "/api/auth/logout")
ODD = (
    *("1e9", "-1", "9" * 40, "²", "\x00", "%ED%A0%80", "[]", "//evil", "-name,,"),
    "a" * 10_000,
)
NAMES = (
    "page", "next", "q", "sort", "type", "actor", "object", "address", "from", "to", "order", "run",
    "before", "after", "end", "like", "all", "state", "family", "mirror", "reason", "a", "b",
)  # fmt: skip
"""What pages read from their address."""
FIELDS = (
    "name", "mirror_name", "source_root", "proxy", "cron", "cron_timezone", "filters", "role",
    "exclude_specs", "only_specs", "date_from", "privacy", "mirror_mode", "description", "version",
    "mirror_type", "username", "password", "days", "channel",
)  # fmt: skip
"""What forms hold."""
HEADERS: tuple[dict[str, str], ...] = (
    {"HX-Target": "dialog-body", "HX-Request": "true"},
    {
        "HX-Target": "%",
        "HX-Request": "é",
        "Accept": "text/*;q=nonsense, \x01;;,,/",
        "Accept-Language": "-;q=9e999,*",
        "If-None-Match": 'W/"\x00", *, "',
        "If-Match": '"999999999999999999999999999999"',
        "If-Modified-Since": "Thu, 99 Foo 99999 99:99:99 GMT",
        "Range": "bytes=-1-,9" + "9" * 40,
        "X-Forwarded-For": "999.1.1.1, ::::, unknown",
        "X-Forwarded-Host": "evil.example.org/\x00",
        "X-Forwarded-Proto": "gopher",
    },
    {"Accept": "application/" + "x" * 8000, "Range": "bytes=5-1", "If-Match": "*"},
    {"Content-Type": "application/json; charset=no-such"},
    {"Content-Type": "multipart/form-data"},
)
CREDENTIALS: tuple[dict[str, str], ...] = (
    {"Authorization": "Basic \x00===="},
    {"Authorization": "Bearer " + "a.b.c" * 900},
    {"X-Auth": "a.b.c", "Cookie": 'sessionid="\\777"; ;=;csrftoken'},
)
VALUES: list[Any] = [
    *(None, True, -1, 10**9, 10**40, 1e308, "", "\x00", "\ud800", "a" * 10_000, "1e9"),
    *([], [[]], [None, "\udfff"], {}, {"\ud800": "\x00"}, ["*"] * 2000),
]


@pytest.fixture(autouse=True)
def _fresh() -> None:
    counts.clear()


@pytest.fixture
def admin(settings: Any) -> Client:
    settings.UPSTREAM_ALLOW = ("https://mirror.example.org",)
    person("admin", "admin")
    channel = scene.channel("main")
    scene.mirror(channel, SOURCE, name="m")
    user = User.objects.get(username="admin")
    bearer = {"Authorization": f"Bearer {jwt.issue(user)[0]}"}
    client = Client(raise_request_exception=False, headers=bearer)
    client.force_login(user)
    return client


def addresses() -> list[str]:
    """Every address in the table, of one channel, one mirror and row 1."""
    values = defaultdict(lambda: "1", c="main", s="staging", form="csv", family="conda", name="m")
    values |= {"channel": "main", "sub": "staging", "mirror": "m", "path": "main"}

    def walk(patterns: list[URLPattern | URLResolver], before: str) -> Iterator[str]:
        for one in patterns:
            path = before + str(one.pattern)
            if isinstance(one, URLResolver):
                yield from walk(one.url_patterns, path)
            else:
                yield "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda m: values[m[1]], path)

    return sorted(set(walk(get_resolver().url_patterns, "")) - set(ENDS_SESSIONS))


@cache
def document() -> dict[str, Any]:
    """The OpenAPI document."""
    found: dict[str, Any] = api.get_openapi_schema()
    return found


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of everything that the OpenAPI document has."""
    found = [
        (method.upper(), path, operation)
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
        if path not in ENDS_SESSIONS
    ]
    # What deletes comes last.
    return sorted(found, key=lambda one: (one[0] == "DELETE", one[1]))


def fields(operation: dict[str, Any]) -> list[str]:
    """The keys of an operation's JSON body."""
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    names = [one.get("$ref", "").rpartition("/")[2] for one in (schema, *schema.get("anyOf", ()))]
    schemas = document()["components"]["schemas"]
    return [key for name in names if name for key in schemas[name].get("properties", ())]


def parameters(operation: dict[str, Any]) -> list[str]:
    """The query parameters of an operation."""
    return [one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"]


def fill(path: str) -> str:
    """An address of the API with things that exist, as far as a name says which."""
    values = defaultdict(lambda: "1", channel="main", sub="staging", mirror="m", family="conda")
    return re.sub(r"\{(\w+)\}", lambda match: values[match[1]], path)


def show(answer: Any, *what: object) -> None:
    """Fail where the server failed, and say what it was asked."""
    assert answer.status_code < 500, (*[str(one)[:200] for one in what], answer.status_code)


def test_the_table_of_addresses_holds_pages_and_api() -> None:
    found = addresses()
    assert len(found) > 60
    assert "/channels/main/" in found
    assert any(one.startswith("/api/channels/main/mirrors") for one in found)
    assert len(operations()) > 30
    assert any("filters" in fields(one) for _, _, one in operations())
    assert any("limit" in parameters(one) for _, _, one in operations())


def test_no_odd_parameter_is_an_error(admin: Client) -> None:
    listed = {name for _, _, one in operations() for name in parameters(one)}
    for path in addresses():
        names = sorted(listed) if path.startswith("/api/") else NAMES
        for odd in ODD:
            show(admin.get(path, dict.fromkeys(names, odd)), "GET", path, odd)
        show(admin.get(path, {name: ["1", "x"] for name in names}), "GET", path, "twice")
        assert admin.get(path).status_code != 401, path
        show(admin.get(path + "?%00=%ff&=&&a[]=1&" + "x=1&" * 500), "GET", path, "odd query")


def test_no_odd_header_is_an_error(admin: Client) -> None:
    stranger = Client(raise_request_exception=False)
    for path in [*addresses(), "/nowhere/", "/channels/nowhere/", "/api/nowhere"]:
        for headers in HEADERS:
            show(admin.get(path, headers=headers), "GET", path, headers)
            if "Content-Type" not in headers or path.startswith("/api/"):
                show(admin.post(path, headers=headers), "POST", path, headers)
        for headers in CREDENTIALS:
            show(stranger.get(path, headers=headers), "GET", path, headers)


def test_no_odd_form_is_an_error(admin: Client) -> None:
    for path in addresses():
        if path.startswith("/api/"):
            continue
        for odd in ODD[::3]:
            show(admin.post(path, dict.fromkeys((*FIELDS, *NAMES), odd)), "POST", path, odd)


def test_no_odd_json_is_an_error(admin: Client) -> None:
    seen = set()
    for method, path, operation in operations():
        if "requestBody" not in operation:
            continue
        for value in VALUES:
            for body in (value, dict.fromkeys(fields(operation), value)):
                text = json.dumps(body)
                answer = admin.generic(method, fill(path), text, content_type="application/json")
                show(answer, method, path, body)
                seen.add((path, answer.status_code))
        for text in ("", "{", "[" * 100_000, "\x00", "NaN", '{"a":1e999}', "9" * 5000):
            answer = admin.generic(method, fill(path), text, content_type="application/json")
            show(answer, method, path, text)
    # The routes themselves were reached: nothing stood in front of them.
    assert {path for path, status in seen if status == 401} <= {
        "/api/auth/login",
        "/api/auth/refresh",
    }
    assert len({path for path, status in seen if status == 422}) > 10
