"""Attack: to know the hash of a file, and to list it in an index of one's own, gives no bytes."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from accounts import jwt
from accounts.first_start import ROLES
from accounts.models import Role
from channels import services as channel_manage
from channels.models import Blob, Channel, Provenance
from delivery import listed_files
from delivery.on_demand.request import request_for
from ecosystems.upstream import Limits
from mirrors.models import Run
from tests import scene
from tests.channels import factory
from tests.channels.factory import Made
from tests.condatree import FakeConda
from tests.crantree import FakeCran
from tests.simpletree import FakeSimple
from tests.upstream import FakeUpstream
from tests.wsgi import Client, application

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = factory.made("secret-1.0-0.conda", bytes(range(256)) * 1024)
KINDS = ("public", "authenticated", "private")


@pytest.fixture(autouse=True)
def quick(settings: Any) -> Iterator[None]:
    settings.UPSTREAM_ALLOW = ("http://127.0.0.1:*",)
    settings.UPSTREAM_LIMITS = Limits(retries=0, backoff=0.01, tick=0.02)
    for name, attributes in ROLES.items():
        Role.objects.get_or_create(name=name, defaults={"attributes": attributes})
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("fetch "):
            thread.join()


def channel(name: str, privacy: str, upstream: FakeUpstream, root: str = "") -> Channel:
    """A channel that lists the file, from `root` of the upstream."""
    found = factory.channel(name, privacy=privacy, owner=scene.admin())
    origin = factory.file_source(f"{upstream.url}{root}/noarch/")
    factory.publish(found, {"noarch": [SECRET]}, file_source=origin, here=False)
    return found


def get(name: str, file: Made = SECRET) -> Any:
    """The administrator's download: everybody else may do less."""
    headers = {"Authorization": f"Bearer {jwt.issue(scene.admin())[0]}"}
    return Client(application).get(f"/api/repo/{name}/noarch/{file.filename}", **headers)


@pytest.mark.parametrize("kind", KINDS)
def test_a_channel_that_only_lists_a_hash_gets_no_bytes_of_a_private_one(
    upstream: FakeUpstream, kind: str
) -> None:
    upstream.set(f"/vault/noarch/{SECRET.filename}", SECRET.content)
    channel("vault", "private", upstream, "/vault")
    assert get("vault").body == SECRET.content
    channel("thief", kind, upstream, "/thief")
    answer = get("thief")
    assert answer.status == 404, answer.body
    assert SECRET.content[:64] not in answer.body
    assert not Provenance.objects.filter(channel__name="thief").exists()


@pytest.mark.parametrize(("first", "second"), [("authenticated", "public"), ("private", "private")])
def test_the_source_proves_once_that_it_has_the_bytes_and_sends_them_not_again(
    upstream: FakeUpstream, first: str, second: str
) -> None:
    for root in ("/one", "/two"):
        upstream.set(f"{root}/noarch/{SECRET.filename}", SECRET.content)
    channel("one", first, upstream, "/one")
    channel("two", second, upstream, "/two")
    assert get("one").status == 200
    for _ in range(2):
        assert get("two").body == SECRET.content
    proofs = upstream.requests(f"/two/noarch/{SECRET.filename}")
    assert len(proofs) == 1
    start, end = proofs[0].headers["range"].removeprefix("bytes=").split("-")
    assert int(end) - int(start) + 1 == 64 * 1024


def test_bytes_of_a_public_channel_serve_all_without_a_request(upstream: FakeUpstream) -> None:
    upstream.set(f"/one/noarch/{SECRET.filename}", SECRET.content)
    channel("one", "public", upstream, "/one")
    assert get("one").status == 200
    for kind in KINDS:
        channel(f"two-{kind}", kind, upstream, f"/{kind}")
        assert get(f"two-{kind}").body == SECRET.content
        assert upstream.count(f"/{kind}/noarch/{SECRET.filename}") == 0
    assert not Provenance.objects.exists()


def test_a_source_that_answers_with_other_bytes_of_the_same_size_proves_nothing(
    upstream: FakeUpstream,
) -> None:
    upstream.set(f"/vault/noarch/{SECRET.filename}", SECRET.content)
    channel("vault", "private", upstream, "/vault")
    assert get("vault").status == 200
    upstream.set(f"/thief/noarch/{SECRET.filename}", bytes(len(SECRET.content)))
    channel("thief", "private", upstream, "/thief")
    assert get("thief").status == 502


def test_nobody_reads_along_while_a_private_channel_fetches_the_same_hash(
    upstream: FakeUpstream,
) -> None:
    upstream.set(f"/vault/noarch/{SECRET.filename}", SECRET.content)
    one = channel("vault", "private", upstream, "/vault")
    two = channel("thief", "public", upstream, "/thief")
    requests = [
        request_for(listed_files.find(each, "noarch", SECRET.filename, name="secret", number=1))
        for each in (one, two)
    ]
    assert requests[0].key != requests[1].key
    assert requests[0].refusal_key != requests[1].refusal_key


@pytest.mark.parametrize("kind", ["public", "private"])
def test_an_active_run_takes_no_bytes_for_a_hash_that_its_source_does_not_have(
    settings: Any, kind: str
) -> None:
    with FakeConda("/vault") as vault, FakeConda("/thief") as thief:
        settings.UPSTREAM_ALLOW = (vault.url, thief.url)
        name = vault.add("noarch", "six", "1.16.0", payload=100_000)
        vault.publish()
        closed = channel_manage.create("closed", scene.admin(), privacy="private")
        scene.run_now(scene.mirror(closed, vault.channel, mirror_mode="active"))
        assert Blob.objects.filter(file=True, openness=0).count() == 1
        thief.add("noarch", "six", "1.16.0", payload=100_000)
        thief.publish()
        thief.remove(thief.path("noarch", name))
        other = channel_manage.create("other", scene.admin(), privacy=kind)
        mirror = scene.mirror(other, thief.channel, mirror_mode="active")
        found = scene.run_now(mirror)
        assert found.state == "completed"
        assert found.failures.count() == 1
        assert scene.listed(other) == {}


@dataclass(frozen=True)
class Kind:
    """An ecosystem as these attacks need it: one package of 100,000 bytes on a server."""

    name: str
    server: Callable[[], Any]
    source: Callable[[Any], str]
    add: Callable[[Any], str]
    address: Callable[[str], str]
    """Where a channel serves the file."""


def _wheel(server: Any) -> str:
    return str(server.add_wheel("six", "1.16.0", payload=f"x = {'y' * 100_000!r}"))


OTHERS = [
    Kind(
        "python_simple",
        FakeSimple,
        lambda server: str(server.index),
        _wheel,
        lambda file: f"simple/six/{file}",
    ),
    Kind(
        "CRAN",
        FakeCran,
        lambda server: str(server.repository),
        lambda server: str(server.add("aa", "1.0", payload=100_000)),
        lambda file: f"cran/src/contrib/{file}",
    ),
]


@pytest.fixture(params=OTHERS, ids=lambda kind: kind.name)
def pair(request: pytest.FixtureRequest, settings: Any) -> Iterator[Pair]:
    """Two servers that list the same file; a private channel has brought it from the first."""
    kind: Kind = request.param
    with kind.server() as vault, kind.server() as thief:
        settings.UPSTREAM_ALLOW = (vault.url, thief.url)
        for server in (vault, thief):
            file = kind.add(server)
            server.publish()
        assert vault.bytes_at(vault.path(file)) == thief.bytes_at(thief.path(file))
        closed = channel_manage.create("closed", scene.admin(), privacy="private")
        scene.run_now(
            scene.mirror(closed, kind.source(vault), mirror_type=kind.name, mirror_mode="active")
        )
        yield Pair(kind, thief, file, vault.bytes_at(vault.path(file)))


@dataclass(frozen=True)
class Pair:
    """What the thief knows."""

    kind: Kind
    server: Any
    file: str
    content: bytes

    def mirror(self, mode: str, privacy: str) -> Run:
        """A run of a mirror of the thief's server, in a channel `other`."""
        other = channel_manage.create("other", scene.admin(), privacy=privacy)
        source, kind = self.kind.source(self.server), self.kind.name
        return scene.run_now(scene.mirror(other, source, mirror_type=kind, mirror_mode=mode))

    def get(self, name: str) -> Any:
        """What the administrator gets of the file in a channel."""
        headers = {"Authorization": f"Bearer {jwt.issue(scene.admin())[0]}"}
        address = f"/api/repo/{name}/{self.kind.address(self.file)}"
        return Client(application).get(address, **headers)


@pytest.mark.parametrize("privacy", ["public", "private"])
@pytest.mark.parametrize("mode", ["active", "passive"])
def test_python_and_r_give_no_bytes_for_a_hash_that_the_source_does_not_have(
    pair: Pair, mode: str, privacy: str
) -> None:
    assert pair.get("closed").body == pair.content
    pair.server.remove(pair.server.path(pair.file))
    run = pair.mirror(mode, privacy)
    assert run.state == "completed"
    assert run.failures.count() == (mode == "active")
    answer = pair.get("other")
    assert answer.status == 404, answer.body
    rows = Provenance.objects.filter(channel__name="other", blob__md5=_md5(pair.content))
    assert not rows.exists()


@pytest.mark.parametrize("mode", ["active", "passive"])
def test_python_and_r_prove_the_bytes_that_are_here_with_one_request(pair: Pair, mode: str) -> None:
    run = pair.mirror(mode, "private")
    assert run.state == "completed"
    for _ in range(2):
        assert pair.get("other").body == pair.content
    asked = pair.server.requests(pair.server.path(pair.file))
    assert len(asked) == 1
    # An active run knows bytes by SHA-256 only, which R's indexes do not have: it downloads them.
    assert ("range" in asked[0].headers) is not (pair.kind.name == "CRAN" and mode == "active")


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def test_an_active_run_proves_the_bytes_that_are_here_and_downloads_none(settings: Any) -> None:
    with FakeConda("/vault") as vault, FakeConda("/again") as again:
        settings.UPSTREAM_ALLOW = (vault.url, again.url)
        for server in (vault, again):
            name = server.add("noarch", "six", "1.16.0", payload=100_000)
            server.publish()
        closed = channel_manage.create("closed", scene.admin(), privacy="private")
        scene.run_now(scene.mirror(closed, vault.channel, mirror_mode="active"))
        other = channel_manage.create("other", scene.admin(), privacy="private")
        done = scene.run_now(scene.mirror(other, again.channel, mirror_mode="active"))
        assert (done.state, set(scene.listed(other))) == ("completed", {name})
        asked = again.requests(again.path("noarch", name))
        assert len(asked) == 1
        assert "range" in asked[0].headers


def test_a_channel_that_is_opened_later_keeps_what_its_source_brought(
    upstream: FakeUpstream,
) -> None:
    upstream.set(f"/one/noarch/{SECRET.filename}", SECRET.content)
    one = channel("one", "private", upstream, "/one")
    assert get("one").status == 200
    upstream.stop()
    channel_manage.edit(one, {"privacy": "public"}, actor="admin")
    assert Client(application).get(f"/api/repo/one/noarch/{SECRET.filename}").status == 200
