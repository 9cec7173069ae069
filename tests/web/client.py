"""The REST API as a user meets it: a client that is signed in and speaks JSON."""

from __future__ import annotations

import json
from typing import Any

from django.test import Client

from accounts import jwt
from accounts.first_start import ensure_admin
from accounts.models import Role, User

PASSWORD = "correct horse battery"


def person(name: str, role: str = "author") -> User:
    """A user with one of the built-in roles; `admin` is the administrator."""
    ensure_admin(PASSWORD)
    user = User.objects.filter(username=name).first()
    if user is None:
        user = User.objects.create_user(
            name, password=PASSWORD, role=Role.objects.filter(name=role).first()
        )
    return user


class Api:
    """`api.get("/channels")` -> (status, body); `last` is the whole answer."""

    def __init__(self, user: User | None = None, **headers: str) -> None:
        self.client = Client()
        self.headers = {key.replace("_", "-"): value for key, value in headers.items()}
        if user is not None:
            self.headers["Authorization"] = f"Bearer {jwt.issue(user)[0]}"
        self.last: Any = None

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body)
        self.last = self.client.generic(
            method,
            f"/api{path}",
            data,
            content_type="application/json",
            headers={**self.headers, **named},
        )
        text = self.last.content
        return self.last.status_code, json.loads(text) if text else None

    def get(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        return self.ask("GET", path, body, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        return self.ask("POST", path, body, **headers)

    def put(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        return self.ask("PUT", path, body, **headers)

    def delete(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        return self.ask("DELETE", path, body, **headers)


def message(answer: tuple[int, Any]) -> tuple[int, str]:
    """Status and sentence of an error, whose shape is checked."""
    status, body = answer
    assert body["error"]["message"] == body["message"], body
    assert body["error"]["code"], body
    return status, body["message"]
