"""REST: signing in, the account, tokens, and what every answer has in common."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

import pytest
from django.conf import LazySettings
from django.core.cache import cache
from django.test import Client

from accounts.models import Token, User
from history.models import Event
from tests.web.client import PASSWORD, Api, message, person

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_tries() -> None:
    cache.clear()


@pytest.fixture
def admin() -> User:
    return person("admin")


def today() -> datetime:
    return datetime.now(UTC)


def test_the_service_name_is_the_one_that_set_site_looks_for() -> None:
    assert Api().get("/system")[1]["service_name"] == "repo"


def test_signing_in_gives_a_token_that_opens_the_account(admin: User) -> None:
    status, body = Api().post("/auth/login", {"username": "admin", "password": PASSWORD})
    assert status == 200
    assert set(body) == {"token", "refresh_token"}
    status, account = Api(Authorization=f"Bearer {body['token']}").get("/account")
    assert status == 200
    assert account["username"] == "admin"
    assert account["roles"] == ["admin"]
    assert {"user_id", "default_channel_name", "dbroles"} <= set(account)
    assert Api(admin).get("/account/me")[1] == account


def test_the_login_token_can_be_read_with_plain_base64_and_holds_the_roles(admin: User) -> None:
    body = Api().post("/auth/login", {"username": "admin", "password": PASSWORD})[1]
    part = body["token"].split(".")[1]
    claims = json.loads(base64.b64decode(part + "=" * (-len(part) % 4), validate=True))
    assert "admin" in claims["realm_access"]["roles"]


def test_a_wrong_password_is_401_and_the_sixth_try_in_a_minute_429(admin: User) -> None:
    wrong = {"username": "admin", "password": "wrong"}
    for _ in range(5):
        assert message(Api().post("/auth/login", wrong))[0] == 401
    assert message(Api().post("/auth/login", wrong))[0] == 429
    right = {"username": "admin", "password": PASSWORD}
    assert Api().post("/auth/login", right)[0] == 429
    other = {"username": "someone", "password": "wrong"}
    assert Api().post("/auth/login", other)[0] == 401


def test_behind_a_trusted_proxy_one_clients_tries_are_not_anothers(
    admin: User, settings: LazySettings
) -> None:
    settings.TRUSTED_PROXIES = (ip_network("127.0.0.1"),)
    wrong = {"username": "admin", "password": "wrong"}
    for _ in range(6):
        status = Api(X_Forwarded_For="203.0.113.1").post("/auth/login", wrong)[0]
    assert status == 429
    right = {"username": "admin", "password": PASSWORD}
    assert Api(X_Forwarded_For="203.0.113.2").post("/auth/login", right)[0] == 200


def test_a_client_that_sends_its_password_with_every_request_is_let_in(admin: User) -> None:
    header = "Basic " + base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
    for _ in range(7):
        assert Api(Authorization=header).get("/account")[0] == 200
    wrong = "Basic " + base64.b64encode(b"admin:wrong").decode()
    for _ in range(5):
        assert message(Api(Authorization=wrong).get("/account"))[0] == 401
    assert message(Api(Authorization=wrong).get("/account"))[0] == 429
    nul = "Basic " + base64.b64encode(b"ad\0min:x").decode()
    assert message(Api(Authorization=nul).get("/account"))[0] == 401


def test_without_a_valid_token_everything_is_401(admin: User) -> None:
    for path in ("/account", "/channels", "/mirrors", "/artifacts", "/channels/x/mirrors"):
        assert message(Api().get(path)) == (401, "Sign in, or send a valid token.")
        assert Api(Authorization="Bearer nonsense").get(path)[0] == 401
        assert Api(X_Auth="0" * 48).get(path)[0] == 401
        assert Api(Authorization="Basic !!!").get(path)[0] == 401


def test_basic_auth_takes_a_password_or_a_token_with_the_literal_word(admin: User) -> None:
    secret = Api(admin).post("/account/tokens", {"name": "pip"})[1]["token"]
    for pair in (f"admin:{PASSWORD}", f"{secret}:x-auth-token"):
        header = "Basic " + base64.b64encode(pair.encode()).decode()
        assert Api(Authorization=header).get("/account")[1]["username"] == "admin"


def test_A07_a_browser_session_needs_the_csrf_token_for_changes(admin: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(admin)
    assert browser.get("/api/account").status_code == 200
    body = json.dumps({"name": "t"})
    refused = browser.post("/api/account/tokens", body, content_type="application/json")
    assert refused.status_code == 403
    assert refused.json()["message"] == "The request does not come from a page of this server."
    trusting = Client()
    trusting.force_login(admin)
    assert (
        trusting.post("/api/account/tokens", body, content_type="application/json").status_code
        == 200
    )


def test_making_a_token_answers_200_with_hex_characters_and_it_works_as_x_auth(admin: User) -> None:
    day = (today() + timedelta(days=3)).date().isoformat()
    status, made = Api(admin).post(
        "/account/tokens", {"name": "repo-cli-token-h", "expires_at": day}
    )
    assert status == 200
    assert set(made) == {"token", "id"}
    assert set(made["token"]) <= set("0123456789abcdef")
    api = Api(X_Auth=made["token"])
    assert api.get("/account")[0] == 200
    assert api.get("/account/token-info")[1]["expires_at"] == day
    listed = api.get("/account/tokens")[1]
    assert listed["total_count"] == 1
    keys = {"id", "name", "metadata", "type", "created_at", "expires_at", "scopes"}
    assert keys <= set(listed["items"][0])
    assert made["token"] not in json.dumps(listed)
    assert Event.objects.get().type == "token_created"
    assert made["token"] not in json.dumps(Event.objects.get().meta)


def test_a_token_lives_30_days_when_its_maker_does_not_say(admin: User) -> None:
    Api(admin).post("/account/tokens", {"name": "t"})
    assert Token.objects.get().expires == (today() + timedelta(days=30)).date()


def test_rotating_keeps_the_id_and_voids_the_old_secret(admin: User) -> None:
    made = Api(admin).post("/account/tokens", {"name": "t"})[1]
    status, fresh = Api(admin).put(f"/account/tokens/{made['id']}", {})
    assert status == 200
    assert fresh["id"] == made["id"]
    assert fresh["token"] != made["token"]
    assert Api(X_Auth=made["token"]).get("/account")[0] == 401
    assert Api(X_Auth=fresh["token"]).get("/account")[0] == 200
    assert Api(admin).put(f"/account/tokens/{made['id']}")[0] == 200


def test_a_token_is_deleted_by_its_own_user_only(admin: User) -> None:
    made = Api(admin).post("/account/tokens", {"name": "t"})[1]
    other = Api(person("bob"))
    assert message(other.delete(f"/account/tokens/{made['id']}"))[0] == 404
    assert message(other.put(f"/account/tokens/{made['id']}", {}))[0] == 404
    assert Api(admin).delete(f"/account/tokens/{made['id']}") == (204, None)
    assert Api(admin).delete(f"/account/tokens/{made['id']}")[0] == 404
    assert Api(X_Auth=made["token"]).get("/account")[0] == 401
    assert list(Event.objects.values_list("type", flat=True)) == ["token_created", "token_revoked"]


def test_a_limited_token_cannot_make_a_mightier_one(admin: User) -> None:
    body = {"name": "t", "scopes": ["channel:view"]}
    secret = Api(admin).post("/account/tokens", body)[1]["token"]
    status, text = message(Api(X_Auth=secret).post("/account/tokens", {"name": "all"}))
    assert (status, text) == (403, "A token with scopes or resources cannot do this.")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "t", "expires_at": "tomorrow"}, "expires_at"),
        ({"name": "t", "expires_at": "2020-01-01"}, "expires_at"),
        ({"name": "t", "scopes": ["channel:conquer"]}, "scopes"),
        ({"name": "t", "scopes": ["cve:view"], "resources": [{"channel": "m"}]}, "resources"),
        ({"name": "t", "resources": [{"channel": "a/b/c"}]}, "resources"),
        ({"name": "t", "resources": [{"channel": "a", "level": "x"}]}, "resources.0.level"),
        ({"name": ["t"]}, "name"),
    ],
)
def test_bad_input_is_422_with_the_field_named(admin: User, body: object, field: str) -> None:
    status, answer = Api(admin).post("/account/tokens", body)
    assert status == 422
    assert set(answer["error"]["fields"]) == {field}
    assert answer["message"].startswith(f"{field}: ")


def test_scopes_are_listed_for_the_one_who_makes_a_token(admin: User) -> None:
    scopes = Api(admin).get("/account/scopes")[1]["scopes"]
    assert {"channel:view", "channel.mirror:edit", "subchannel:create", "cve:view"} <= set(scopes)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff\xfe",
        b"[" * 20_000,
        b'{"name": "a\\u0000b"}',
        b'{"name": "\\ud800"}',
        b'"text"',
        b"[]",
        b"null",
        b"17",
    ],
)
def test_bodies_that_make_no_sense_are_422_never_500(admin: User, body: bytes) -> None:
    for path in ("/account/tokens", "/channels", "/mirrors/preview", "/mirrors/test"):
        assert message(Api(admin).post(path, body))[0] == 422


@pytest.mark.parametrize(
    "query", ["q=%00", "offset=-1", "offset=9" + "9" * 30, "limit=x", "sort=%ED%A0%80", "sort=x"]
)
def test_queries_that_make_no_sense_are_422_never_500(admin: User, query: str) -> None:
    assert message(Api(admin).get(f"/artifacts?{query}"))[0] == 422


def test_addresses_that_do_not_exist_are_404_with_a_sentence(admin: User) -> None:
    for path in ("/nothing", "/channels/x/y/z", "/account/tokens/99999999999999999999", "/%00"):
        for method in ("GET", "DELETE"):
            status, _ = message(Api(admin).ask(method, path))
            assert status in (404, 405), path
    assert message(Api(admin).ask("PATCH", "/account")) == (
        405,
        "This address does not support PATCH.",
    )


@pytest.mark.parametrize(
    ("method", "path", "words"),
    [
        ("POST", "/channels/main/artifacts", "uploads"),
        ("POST", "/channels/main/sub/artifacts", "uploads"),
        ("POST", "/channels/main/subchannels/sub/artifacts", "uploads"),
        ("PUT", "/channels/main/artifacts/bulk", "bulk"),
        ("GET", "/system/settings", "environment variables"),
        ("PUT", "/system/settings", "environment variables"),
        ("POST", "/system/blob_cleanup", "cleans up automatically"),
        ("DELETE", "/system/blob_cleanup", "cleans up automatically"),
        ("POST", "/diagnose/blobs", "diagnose"),
        ("POST", "/reports/artifact_downloads", "reports"),
        ("GET", "/auth/authorize", "Single sign-on"),
        ("GET", "/channels/main/artifacts/conda/six/dependencies", "read package contents"),
        ("GET", "/groups", "groups"),
        ("POST", "/policies", "policies"),
    ],
)
def test_what_the_vendor_has_and_we_have_not_is_405_with_a_sentence(
    admin: User, method: str, path: str, words: str
) -> None:
    status, text = message(Api(admin).ask(method, path))
    assert status == 405
    assert words in text


def test_the_older_address_of_the_scopes_answers_too(admin: User) -> None:
    assert Api(admin).get("/system/scopes") == Api(admin).get("/account/scopes")


def test_the_openapi_document_declares_every_error_and_only_real_path_parameters(
    admin: User,
) -> None:
    status, document = Api().get("/openapi.json")
    assert status == 200
    for path, methods in document["paths"].items():
        for operation in methods.values():
            named = {one["name"] for one in operation.get("parameters", []) if one["in"] == "path"}
            assert all(f"{{{name}}}" in path for name in named)
            assert path.count("{") == len(named), path
            if path not in ("/api/system",):
                assert {"401", "403", "404", "409", "412", "422"} <= set(operation["responses"])
    ids = [op["operationId"] for methods in document["paths"].values() for op in methods.values()]
    assert len(ids) == len(set(ids))


def test_the_docs_page_needs_nothing_from_outside() -> None:
    page = Client().get("/api/docs").content.decode()
    assert "swagger" in page
    assert "https://" not in page
    assert "http://" not in page


def test_a_body_that_is_too_large_is_413(admin: User, settings: object) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000  # type: ignore[attr-defined]
    assert message(Api(admin).post("/account/tokens", {"name": "x" * 2000}))[0] == 413
