"""Attack: one client takes every place of those who wait for an upstream. Others keep theirs."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import requests

from delivery.responses import Headers, Reply
from mirrorserver.rsgi import shares
from mirrorserver.rsgi.application import Application
from tests.condatree import FakeConda
from tests.mirrorserver.server import Server, until
from tests.rogue import Behaviour
from tests.security import attackers

PASSWORD = "correct horse battery"
FOLDER = "/api/repo/open/noarch"


def test_one_client_waits_for_a_bounded_number_of_files(tmp_path: Path) -> None:
    silent = {name: Behaviour(hold_at=0) for name in ("slow", "slower")}
    with FakeConda() as conda, ExitStack() as attacked:
        for name in ("here", "late", "other", *silent):
            conda.add("noarch", name, "1")
        conda.publish()
        server = Server(
            tmp_path / "data",
            ADMIN_PASSWORD=PASSWORD,
            UPSTREAM_ALLOW="http://127.0.0.1:*",
            WORKERS="1",
            LIMIT_DOWNLOADS="2",
        )
        try:
            until(server.system)
            base = f"http://127.0.0.1:{server.port}"
            token = _mirror(base, conda)

            def get(name: str, token: str = "") -> requests.Response:
                return requests.get(
                    f"{base}{FOLDER}/{name}-1-0.conda", headers={"X-Auth": token}, timeout=60
                )

            until(lambda: get("here").status_code == 200)
            for name, behaviour in silent.items():
                conda.behave(conda.path("noarch", f"{name}-1-0.conda"), behaviour)
                waiting = attackers.reader(f"{FOLDER}/{name}-1-0.conda")
                attacked.enter_context(attackers.attack(server.port, waiting, count=1))
                # Asked on behalf of this client: it holds its place.
                assert behaviour.held.wait(60)
            refused = get("late")
            assert refused.status_code == 429
            assert refused.headers["Retry-After"] == "5"
            assert "at most 2" in refused.json()["detail"]
            assert [get("here").status_code for _ in range(5)] == [200] * 5
            assert get("other", token).status_code == 200, "an account has places of its own"
            attacked.close()
            until(lambda: get("late").status_code == 200)
        finally:
            for behaviour in silent.values():
                behaviour.release()
            server.close()


def _mirror(base: str, conda: FakeConda) -> str:
    """An open channel with a passive mirror; the token of the administrator."""
    login = {"username": "admin", "password": PASSWORD}
    token = requests.post(f"{base}/api/auth/login", json=login, timeout=20).json()["token"]
    mirror = {"mirror_name": "m", "source_root": conda.channel, "run_now": True}
    for path, body in (
        ("/channels", {"name": "open", "privacy": "public"}),
        ("/channels/open/mirrors", {**mirror, "mirror_mode": "passive"}),
    ):
        answer = requests.post(
            f"{base}/api{path}", json=body, headers={"Authorization": f"Bearer {token}"}, timeout=60
        )
        assert answer.status_code in (200, 201), answer.text
    return str(token)


def test_places_are_counted_for_each_client_and_given_back(settings: Any) -> None:
    settings.LIMIT_DOWNLOADS = 2
    held = shares.Shares()
    with held.slot("a"), held.slot("a"):
        with pytest.raises(shares.TooManyDownloads), held.slot("a"):
            pass
        with held.slot("b"):
            pass
    with held.slot("a"), held.slot("a"):
        assert held._held == {"a": 2}
    assert held._held == {}


def test_an_account_is_counted_by_itself_and_others_by_their_network(settings: Any) -> None:
    settings.TRUSTED_PROXIES = ()
    near: Any = SimpleNamespace(client="[2001:db8::1]:4000")
    same: Any = SimpleNamespace(client="[2001:db8::ffff]:4001")
    forged = {"HTTP_X_FORWARDED_FOR": "198.51.100.7"}
    assert shares.client(near, {}, "ann") == "account ann"
    assert shares.client(near, {}) == shares.client(same, forged)
    assert shares.client(near, {}) != shares.client(SimpleNamespace(client="127.0.0.1:5"), {})  # type: ignore[arg-type]


class Wire:
    """What an exchange was answered with."""

    status = 0
    headers: Headers = []

    def response_bytes(self, status: int, headers: Headers, body: bytes) -> None:
        self.status, self.headers = status, headers


def test_what_is_unpacked_counts_for_who_asked(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LIMIT_DOWNLOADS = 1
    scope: Any = SimpleNamespace(
        client="127.0.0.1:5", method="GET", path="/api/repo/open/noarch/repodata.json",
        query_string="", headers={},
    )  # fmt: skip
    unpacked: list[str] = []

    async def answered(app: Application, user: str) -> Wire:
        async def cached_reply(_: Any) -> Reply:
            return Reply(200, [], path=Path("index.zst"), packed=True, user=user)

        async def unpack(_: Any, reply: Reply) -> None:
            unpacked.append(reply.user)

        monkeypatch.setattr(app, "_cached_reply", cached_reply)
        monkeypatch.setattr(app, "_unpack", unpack)
        wire: Any = Wire()
        await app.__rsgi__(scope, wire)
        return cast(Wire, wire)

    async def both() -> tuple[Wire, Wire]:
        app = Application()
        with app._shares.slot("account ann"):
            return await answered(app, "ann"), await answered(app, "bob")

    ann, bob = asyncio.run(both())
    assert (ann.status, dict(ann.headers)["Retry-After"]) == (429, "5")
    assert (bob.status, unpacked) == (0, ["bob"])
