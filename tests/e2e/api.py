"""The REST API as a script uses it, against a running server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from tests.mirrorserver.server import Server, until

FINAL = ("completed", "failed", "stopped")


class Script:
    """Signed in as the administrator."""

    def __init__(self, server: Server, password: str) -> None:
        self.url = f"http://127.0.0.1:{server.port}"
        self.session = requests.Session()
        answer = self.session.post(
            f"{self.url}/api/auth/login", json={"username": "admin", "password": password}
        )
        assert answer.status_code == 200, answer.text
        self.session.headers["Authorization"] = f"Bearer {answer.json()['token']}"

    def call(self, method: str, path: str, body: Any = None, *, expect: int = 200) -> Any:
        """The JSON of an answer that has to have the status `expect`."""
        answer = self.session.request(method, f"{self.url}/api{path}", json=body)
        assert answer.status_code == expect, f"{answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def channel(self, name: str, **fields: Any) -> Any:
        return self.call(
            "POST", "/channels", {"name": name, "privacy": "public", **fields}, expect=201
        )

    def mirror(self, channel: str, source: str, **fields: Any) -> Any:
        """Create a mirror that runs at once, and wait for the end of that run."""
        body = {
            "mirror_name": f"{channel}-mirror",
            "source_root": source,
            "mirror_mode": "passive",
            "mirror_type": "conda",
            "run_now": True,
            "filters": {},
            **fields,
        }
        self.call("POST", f"/channels/{channel}/mirrors", body, expect=201)
        return self.ended(channel, body["mirror_name"])

    def ended(self, channel: str, mirror: str) -> Any:
        """The mirror once its run is final."""

        def look() -> Any:
            found = self.call("GET", f"/channels/{channel}/mirrors/{mirror}")
            return found if found["state"] in FINAL else None

        return until(look)


def in_a_month() -> str:
    """A day on which a token may expire."""
    return str((datetime.now(UTC) + timedelta(days=30)).date())
