from __future__ import annotations

import pytest

from delivery.paths import Address, BadAddress, ours, parse

SHARD = "0" * 64 + ".msgpack.zst"


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("/api/repo/c", Address("", "c")),
        ("/api/repo/c/", Address("", "c")),
        ("/api/repo/c/channeldata.json", Address("", "c", filename="channeldata.json")),
        ("/api/repo/c/noarch/repodata.json", Address("", "c", "", "noarch", "repodata.json")),
        ("/api/repo/c/new-96/a-1!2.0-0.conda", Address("", "c", "", "new-96", "a-1!2.0-0.conda")),
        (f"/api/repo/c/noarch/shards/{SHARD}", Address("", "c", "", "noarch", SHARD, shard=True)),
        ("/api/repo/c/s", Address("", "c/s")),
        ("/api/repo/c/s/", Address("", "c/s")),
        ("/api/repo/c/s/notices.json", Address("", "c/s", filename="notices.json")),
        ("/api/repo/c/s/win-64/a.conda", Address("", "c/s", "", "win-64", "a.conda")),
        (f"/api/repo/c/s/osx-64/shards/{SHARD}", Address("", "c/s", "", "osx-64", SHARD, True)),
        ("/api/repo/c.r12/noarch/a", Address("", "c", "r12", "noarch", "a")),
        ("/api/repo/c.2026-01-31/noarch/a", Address("", "c", "2026-01-31", "noarch", "a")),
        ("/api/repo/c/s.r3/noarch/a", Address("", "c/s", "r3", "noarch", "a")),
        ("/api/repo/c/s.r3", Address("", "c/s", "r3")),
        ("/t/ab12/api/repo/c/noarch/a", Address("ab12", "c", "", "noarch", "a")),
        ("/api/repo/t/ab12/c/noarch/a", Address("ab12", "c", "", "noarch", "a")),
        ("/t//api/repo/c/noarch/a", Address("", "c", "", "noarch", "a")),
        ("/api/repo/t//c/noarch/a", Address("", "c", "", "noarch", "a")),
    ],
)
def test_an_address_is_read(path: str, address: Address) -> None:
    assert ours(path)
    assert parse(path) == address


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/repo/", 400),
        ("/api/repo//c/noarch/a", 400),
        ("/api/repo/c//noarch/a", 400),
        ("/api/repo/c/./noarch/a", 400),
        ("/api/repo/c/../d/noarch/a", 400),
        ("/api/repo/c/noarch/..", 400),
        ("/api/repo/c/noarch/a\x00b", 400),
        ("/api/repo/c/noarch/a\r\nX: y", 400),
        ("/api/repo/c/noarch/a;x", 400),
        ("/api/repo/c/noarch/a%2fb", 400),
        ("/api/repo/c/noarch/a\\b", 400),
        ("/api/repo/c/noarch/\xc0\xae", 400),
        ("/api/repo/c/noarch/" + "a" * 2000, 400),
        ("/api/repo/C/noarch/a", 404),
        ("/api/repo/c.r0/noarch/a", 404),
        ("/api/repo/c.r1/s/noarch/a", 404),
        ("/api/repo/c.yesterday/noarch/a", 404),
        ("/api/repo/c/noarch/", 404),
        ("/api/repo/c/s/noarch/shards/x/y", 404),
        ("/api/repo/t/only-a-token", 400),
        ("/t/ab12", 404),
        ("/t/ab12/api/channels", 404),
    ],
)
def test_an_address_that_names_nothing_is_refused(path: str, status: int) -> None:
    with pytest.raises(BadAddress) as caught:
        parse(path)
    assert caught.value.status == status


@pytest.mark.parametrize("path", ["/", "/api/channels", "/api/repository/c", "/tools", "/api/repo"])
def test_other_paths_are_for_django(path: str) -> None:
    assert not ours(path)
