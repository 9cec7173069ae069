"""The invariants see what they are for: a secret that leaks, an index that does not add up."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest
import redis
import zstandard
from django.conf import LazySettings

from channels import blobs
from channels.models import Blob, Document
from mirrorserver import environment
from tests import invariants, scene, sources

CANARY = "canary-secret-4711"


@pytest.mark.parametrize("before", ["", "u", "us", "user:"])
def test_I7_a_secret_is_seen_in_plain_words_in_base64_and_packed(before: str) -> None:
    text = f"{before}{CANARY} and more".encode()
    message = json.dumps({"body": base64.b64encode(text).decode()}).encode()
    for found in (text, message, zstandard.compress(message)):
        assert invariants.leaks(CANARY, found)
    assert not invariants.leaks(CANARY, base64.b64encode(b"another-secret-0815"))


def test_I7_a_secret_in_a_command_line_or_an_environment_is_seen() -> None:
    wait = [sys.executable, "-c", "input()", CANARY]
    with subprocess.Popen(wait, stdin=subprocess.PIPE, env={"KEPT": "hidden-4711"}) as child:
        places = dict(invariants.processes())
        outside = dict(invariants.processes(by_environment=True))
        child.communicate(b"\n")
    assert CANARY.encode() in places[f"the cmdline of process {child.pid}"]
    assert b"hidden-4711" in places[f"the environ of process {child.pid}"]
    assert not any(b"hidden-4711" in value for value in outside.values())


def test_I7_redis_is_searched_whatever_the_kind_of_the_key() -> None:
    url = environment.load().redis_url
    if url is None:
        assert list(invariants.redis_dump()) == [], "without Redis there is nothing in it"
        return
    with redis.Redis.from_url(url) as server:
        made = {
            "i7-string": lambda key: server.set(key, CANARY),
            "i7-list": lambda key: server.lpush(key, CANARY),
            "i7-set": lambda key: server.sadd(key, CANARY),
            "i7-hash": lambda key: server.hset(key, "field", CANARY),
            "i7-zset": lambda key: server.zadd(key, {CANARY: 1.0}),
            f"i7-{CANARY}": lambda key: server.set(key, "x"),
        }
        try:
            for key, make in made.items():
                make(key)
            seen = [repr(value) for _, value in invariants.redis_dump() if CANARY in repr(value)]
        finally:
            server.delete(*made)
    assert len(seen) == len(made)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", sources.KINDS)
class TestIndexes:
    def test_I2_a_listed_file_that_is_not_here_is_seen(
        self, kind: str, settings: LazySettings
    ) -> None:
        with sources.serving(kind) as source:
            settings.UPSTREAM_ALLOW = (source.server.url,)
            channel = scene.channel()
            scene.run_now(source.mirror(channel, mirror_mode="active"))
        invariants.check(channel)
        Blob.objects.filter(file=True, size=len(source.bytes())).update(deleting=True)
        with pytest.raises(AssertionError, match=r"not here|503|404|502"):
            invariants.check(channel)

    def test_I4_a_form_that_says_something_else_is_seen(
        self, kind: str, settings: LazySettings
    ) -> None:
        with sources.serving(kind) as source:
            settings.UPSTREAM_ALLOW = (source.server.url,)
            channel = scene.channel()
            scene.run_now(source.mirror(channel))
        invariants.check(channel)
        form = {
            "conda": "repodata.json.zst",
            "python_simple": "index.v1.html",
            "CRAN": "PACKAGES.gz",
        }[kind]
        # As if this form alone had not been written for the current revision.
        empty = _stored_empty(form)
        rows = Document.objects.filter(channel=channel, name=form).exclude(section="")
        assert rows.update(blob=empty, packed=False, size=empty.size)
        with pytest.raises((AssertionError, zstandard.ZstdError, OSError)):
            invariants.check(channel)


def _stored_empty(form: str) -> Blob:
    temp: Path = blobs.temporary_path("empty")
    temp.write_bytes(zstandard.compress(b"{}") if form.endswith(".zst") else b"<html></html>")
    return blobs.store(temp, invariants._sha256(temp))
