"""Attack: one client takes every place of those who wait for an upstream. Others keep theirs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from mirrorserver.rsgi import shares
from tests.condatree import FakeConda
from tests.mirrorserver.server import Server, until
from tests.rogue import Behaviour
from tests.security import attackers

PASSWORD = "correct horse battery"
FOLDER = "/api/repo/open/noarch"


def test_one_client_waits_for_a_bounded_number_of_files(tmp_path: Path) -> None:
    silent = Behaviour(hold_at=0)
    with FakeConda() as conda:
        for name in ("here", "slow", "late"):
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
            _mirror(base, conda)

            def get(name: str) -> requests.Response:
                return requests.get(f"{base}{FOLDER}/{name}-1-0.conda", timeout=60)

            until(lambda: get("here").status_code == 200)
            conda.behave(conda.path("noarch", "slow-1-0.conda"), silent)
            waiting = attackers.reader(f"{FOLDER}/slow-1-0.conda")
            with attackers.attack(server.port, waiting, count=2):
                until(lambda: get("late").status_code == 429)
                refused = get("late")
                assert refused.headers["Retry-After"] == "5"
                assert "at most 2" in refused.json()["detail"]
                assert [get("here").status_code for _ in range(5)] == [200] * 5
            until(lambda: get("late").status_code == 200)
        finally:
            silent.release()
            server.close()


def _mirror(base: str, conda: FakeConda) -> None:
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


def test_places_are_counted_for_each_client_and_given_back(settings: Any) -> None:
    settings.LIMIT_DOWNLOADS = 2
    held = shares.Shares()
    with held.one("a"), held.one("a"):
        with pytest.raises(shares.TooManyDownloads), held.one("a"):
            pass
        with held.one("b"):
            pass
    with held.one("a"), held.one("a"):
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
