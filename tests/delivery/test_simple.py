"""The Simple API as clients reach it: forms, redirects, conditions, what varies."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest

from channels.models import Channel
from tests import scene
from tests.simpletree import FakeSimple
from tests.wsgi import Answer, Client, packages

pytestmark = pytest.mark.django_db(transaction=True)

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"
TEXT = "text/html; charset=utf-8"
PIP = f"{JSON}, {HTML}; q=0.1, text/html; q=0.01"
SDIST, WHEEL = "six-1.15.0.tar.gz", "six-1.16.0-py3-none-any.whl"


@pytest.fixture
def simple(settings: Any) -> Iterator[FakeSimple]:
    with FakeSimple() as server:
        settings.UPSTREAM_ALLOW = (server.url,)
        server.add_wheel(
            "six", "1.16.0", requires_python=">=3.8,<4", provenance="https://p.example/1"
        )
        server.add_sdist("six", "1.15.0", yanked="broken & <bad>", **{"gpg-sig": True})
        server.status["six"] = {"status": "deprecated", "reason": "use seven"}
        server.publish()
        channel = scene.channel("main")
        source = {"mirror_type": "python_simple", "filters": {"projects": ["six"]}}
        scene.run_now(scene.mirror(channel, server.index, **source))
        yield server


def ask(path: str, accept: str | None = None, method: str = "GET", **headers: str) -> Answer:
    sent = headers if accept is None else {"accept": accept, **headers}
    return Client(packages).ask(method, f"/api/repo/main/{path}", sent)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, TEXT),
        ("", TEXT),
        ("*/*", TEXT),
        ("text/html,application/xhtml+xml,*/*;q=0.8", TEXT),
        ("application/json", TEXT),
        (JSON, JSON),
        (HTML, HTML),
        (PIP, JSON),
        (PIP.replace("q=0.1", "q=0.2"), JSON),
        (f"{JSON};q=0.1, {HTML};q=0.5", HTML),
        (f"{JSON};q=0", TEXT),
        (f"{JSON};q=nonsense, text/html;q=0.1", TEXT),
        ("application/vnd.pypi.simple.latest+json", JSON),
        ("application/vnd.pypi.simple.latest+html", HTML),
        ("APPLICATION/VND.PYPI.SIMPLE.V1+JSON", JSON),
    ],
)
def test_the_form_is_the_one_preferred(
    simple: FakeSimple, accept: str | None, media_type: str
) -> None:
    for path in ("simple/", "simple/six/"):
        for method in ("GET", "HEAD"):
            answer = ask(path, accept, method)
            assert (answer.status, answer.headers["Content-Type"]) == (200, media_type)
            assert answer.headers["Vary"] == "Accept"


def test_a_page_says_all_that_the_upstream_says_and_leads_nowhere_else(simple: FakeSimple) -> None:
    page = json.loads(ask("simple/six/", JSON).body)
    assert page["meta"] == {"api-version": "1.4"}
    assert (page["name"], page["versions"]) == ("six", ["1.15.0", "1.16.0"])
    assert page["project-status"] == {"status": "deprecated", "reason": "use seven"}
    sdist, wheel = page["files"]
    for file, name in ((sdist, SDIST), (wheel, WHEEL)):
        listed = dict(simple.listing("six", name))
        for key in ("hashes", "size", "upload-time", "yanked", "requires-python"):
            assert file.get(key) == listed.get(key), key
        assert file["url"] == name
    assert wheel["core-metadata"] == simple.listing("six", WHEEL)["core-metadata"]
    assert "gpg-sig" not in sdist
    assert "provenance" not in wheel, "it lies with the upstream"
    assert simple.url.encode() not in ask("simple/six/", JSON).body


def test_the_html_form_says_the_same(simple: FakeSimple) -> None:
    page = json.loads(ask("simple/six/", JSON).body)
    text = ask("simple/six/", HTML).body.decode()
    anchors = re.findall(r"<a ([^>]*)>([^<]*)</a>", text)
    found = [dict(re.findall(r'([a-z-]+)="([^"]*)"', attributes)) for attributes, _ in anchors]
    for file, anchor in zip(page["files"], found, strict=True):
        assert unescape(anchor["href"]) == f"{file['url']}#sha256={file['hashes']['sha256']}"
        if "requires-python" in file:
            assert unescape(anchor["data-requires-python"]) == file["requires-python"]
    assert unescape(found[0]["data-yanked"]) == "broken & <bad>"
    assert "data-yanked" not in found[1]
    digest = page["files"][1]["core-metadata"]["sha256"]
    assert found[1]["data-core-metadata"] == f"sha256={digest}"
    assert 'name="pypi:project-status" content="deprecated"' in text
    assert 'name="pypi:repository-version" content="1.4"' in text


def test_each_form_has_an_etag_of_its_own_and_answers_304(simple: FakeSimple) -> None:
    for path in ("simple/", "simple/six/"):
        etags = set()
        for accept in (JSON, HTML, "text/html"):
            etag = ask(path, accept).headers["ETag"]
            etags.add(etag)
            again = ask(path, accept, if_none_match=etag)
            assert (again.status, again.body) == (304, b"")
            assert again.headers["Vary"] == "Accept"
        assert len(etags) == 3


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("simple", "simple/"),
        ("simple/six", "six/"),
        ("simple/SIX", "six/"),
        ("simple/SIX/", "../six/"),
        ("simple/s.ix__y/", "../s-ix-y/"),
        (f"simple/Six/{WHEEL}", f"../six/{WHEEL}"),
    ],
)
def test_other_spellings_are_redirected(simple: FakeSimple, path: str, location: str) -> None:
    answer = ask(path, JSON)
    assert (answer.status, answer.headers["Location"]) == (301, location)


@pytest.mark.parametrize(
    "path",
    [
        "simple/seven/",
        "simple/-six/",
        "simple/six/seven-1.0.tar.gz",
        f"simple/seven/{WHEEL}",
        f"simple/six/{SDIST}.metadata",
        f"simple/six/deeper/{WHEEL}",
        "simple/index.json",
        "cran/six/",
    ],
)
def test_what_is_not_there_is_404_in_words(simple: FakeSimple, path: str) -> None:
    answer = ask(path, JSON)
    if answer.status == 301:
        answer = ask("simple/index-json/", JSON)
    assert answer.status == 404
    assert len(answer.detail) > 20


def test_files_and_metadata_are_found_in_tokens_subchannels_and_revisions(
    simple: FakeSimple,
) -> None:
    client = Client(packages)
    for prefix in ("/t/ab12/api/repo/main", "/api/repo/t/ab12/main", "/api/repo/main.r2"):
        for name in (WHEEL, f"{WHEEL}.metadata", SDIST):
            answer = client.get(f"{prefix}/simple/six/{name}")
            assert answer.status == 200
            age = "max-age=31536000, immutable" if ".r2" in prefix else "max-age=300"
            assert answer.headers["Cache-Control"] == f"public, {age}"
        assert client.get(f"{prefix}/simple/six/", accept=JSON).status == 200
    assert client.get("/api/repo/main.r1/simple/six/", accept=JSON).status == 404


def test_a_file_answers_range_and_head(simple: FakeSimple) -> None:
    size = simple.listing("six", WHEEL)["size"]
    head = ask(f"simple/six/{WHEEL}", method="HEAD")
    assert int(head.headers["Content-Length"]) == size
    part = ask(f"simple/six/{WHEEL}", range="bytes=-10")
    assert (part.status, len(part.body)) == (206, 10)


def test_a_private_channel_asks_for_a_login(simple: FakeSimple) -> None:
    Channel.objects.filter(name="main").update(privacy="private")
    assert ask("simple/six/", JSON).status == 401
