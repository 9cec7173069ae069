from __future__ import annotations

import json
from typing import Any

import pytest

from ecosystems.base import BadIndex, Invalid, Record
from ecosystems.python import pages, simple
from ecosystems.python.body import entries
from ecosystems.python.records import records

ASKED = "https://host.example/simple/six/"
SHA = "a" * 64
WHEEL = "six-1.0-py3-none-any.whl"


def page(*files: dict[str, Any], **more: Any) -> bytes:
    return json.dumps(
        {"meta": {"api-version": "1.1"}, "name": "six", "files": files, **more}
    ).encode()


def file(filename: str = WHEEL, **more: Any) -> dict[str, Any]:
    return {"filename": filename, "url": filename, "hashes": {"sha256": SHA}, **more}


def read(text: bytes, *, found: str = ASKED) -> list[Record | Invalid]:
    body = simple.project(text, name="six", asked=ASKED, found=found).body
    return records(body, name="six")


def one(text: bytes, **more: str) -> Record:
    found = read(text, **more)
    assert len(found) == 1
    assert isinstance(found[0], Record)
    return found[0]


def test_entries_stay_byte_for_byte() -> None:
    raw = b'{"url" : "x/six-1.0.zip","filename":"six-1.0.zip",  "new-key": [1, 2.50]}'
    text = b'{"files": [' + raw + b'], "meta": {"api-version": "1.9"}, "later": {}}'
    body = simple.project(text, name="six", asked=ASKED, found=ASKED).body
    assert entries(body) == {"six-1.0.zip": raw}


def test_a_body_does_not_depend_on_the_upstreams_order() -> None:
    one, two = file("six-1.0.zip"), file("six-2.0.zip")
    bodies = {
        simple.project(page(*files), name="six", asked=ASKED, found=ASKED).body
        for files in ((one, two), (two, one))
    }
    assert len(bodies) == 1


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (WHEEL, f"six/{WHEEL}"),
        (f"../../files/{WHEEL}#sha256={SHA}", f"six/../../files/{WHEEL}"),
        (f"/files/{WHEEL}", f"/files/{WHEEL}"),
        (f"https://files.example/{WHEEL}", f"https://files.example/{WHEEL}"),
        (f"//files.example/{WHEEL}", f"//files.example/{WHEEL}"),
    ],
)
def test_addresses_are_kept_as_seen_from_the_index(url: str, address: str) -> None:
    assert one(page(file(url=url))).address == address


@pytest.mark.parametrize(
    "url", ["ftp://host/x.whl", "file:///etc/passwd", "javascript:1", "https://u:p@host/x.whl", ""]
)
def test_addresses_of_other_kinds_are_refused(url: str) -> None:
    assert isinstance(read(page(file(url=url)))[0], Invalid)


def test_a_page_found_elsewhere_has_its_files_there() -> None:
    found = "https://other.example/pypi/six/"
    assert one(page(file()), found=found).address == f"https://other.example/pypi/six/{WHEEL}"
    full = f"https://files.example/{WHEEL}"
    assert one(page(file(url=full)), found=found).address == full


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1970-01-01T00:00:01Z", 1000),
        ("1970-01-01T00:00:01.5Z", 1500),
        ("1970-01-01T00:00:00.123456Z", 123),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:01", 1000),
        ("yesterday", None),
        (None, None),
    ],
)
def test_upload_times_become_milliseconds(text: str | None, milliseconds: int | None) -> None:
    assert one(page(file(**{"upload-time": text}))).timestamp == milliseconds


@pytest.mark.parametrize("key", ["core-metadata", "dist-info-metadata", "data-dist-info-metadata"])
def test_metadata_with_a_hash_is_a_file_beside_the_wheel(key: str) -> None:
    record = one(page(file(url=f"../{WHEEL}?v=1#x", **{key: {"sha256": SHA.upper()}})))
    (beside,) = record.beside
    assert (beside.filename, beside.sha256) == (f"{WHEEL}.metadata", SHA)
    assert beside.address == f"six/../{WHEEL}.metadata?v=1"


@pytest.mark.parametrize("value", [True, False, {}, {"sha512": "b" * 128}, {"sha256": "short"}])
def test_metadata_without_a_usable_hash_is_not_offered(value: Any) -> None:
    assert one(page(file(**{"core-metadata": value}))).beside == ()


def test_one_bad_entry_costs_no_other() -> None:
    text = page(
        file(size="large"), file("six-2.0.zip"), {"filename": 3}, file("six-3.0.zip", hashes={})
    )
    found = read(text)
    assert [one.filename for one in found if isinstance(one, Record)] == ["six-2.0.zip"]
    assert len(found) == 4


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"[]",
        b'{"files": {}}',
        b'{"files": [',
        b"\xff",
        page().replace(b"{", b'{"deep":' + b"[" * 100_000 + b"]" * 100_000 + b",", 1),
        page(file(new=1)).replace(b"1}", b"NaN}"),
        page(file(new="x")).replace(b'"x"', b'"\xff"'),
        b"\xef\xbb\xbf" + page(file()),
        page(file()).decode().encode("utf-16"),
        page(meta={"api-version": "2.0"}),
        page(name="seven"),
        b"<html><body>Please log in <a href='/help'>Help</a></body></html>",
        b"<html><meta name='pypi:repository-version' content='2.0'></html>",
    ],
)
def test_what_is_no_page_is_refused_in_words(text: bytes) -> None:
    with pytest.raises(BadIndex, match="six"):
        read(text)


def test_html_becomes_what_json_would_say() -> None:
    text = f"""<!DOCTYPE html><html><head><base href="https://files.example/a/">
    <meta name="pypi:repository-version" content="1.0">
    <meta name="pypi:project-status" content="archived"></head><body>
    <a href="six-1.0-py3-none-any.whl#sha256={SHA}" data-requires-python="&gt;=3" data-yanked
       data-dist-info-metadata="sha256={SHA}">six</a>
    <a href="../b/six-1.0%2Blocal.tar.gz#md5={"b" * 32}" data-yanked="a &amp; b">six</a>
    <a href="six-2.0.zip">no hash</a><a href="/">Home</a><a>nothing</a></body>""".encode()
    found = {one.filename: one for one in read(text)}
    assert len(found) == 3
    record = found[WHEEL]
    assert isinstance(record, Record)
    assert record.address == f"https://files.example/a/{WHEEL}"
    entry = json.loads(record.raw)
    assert (entry["requires-python"], entry["yanked"]) == (">=3", True)
    assert record.beside[0].sha256 == SHA
    other = found["six-1.0+local.tar.gz"]
    assert isinstance(other, Record)
    assert (other.md5, json.loads(other.raw)["yanked"]) == ("b" * 32, "a & b")
    assert isinstance(found["six-2.0.zip"], Invalid)
    body = simple.project(text, name="six", asked=ASKED, found=ASKED).body
    assert json.loads(pages.project_json(body))["project-status"] == {"status": "archived"}


def test_values_that_nobody_knows_are_passed_on_as_they_are() -> None:
    number = b"9" * 5000
    text = page(file(new="x")).replace(b'"x"', number)
    body = simple.project(text, name="six", asked=ASKED, found=ASKED).body
    served = pages.project_json(body)
    assert b'"new":' + number in served
    assert b"six-1.0" in pages.project_html(served)


@pytest.mark.parametrize("key", ["requires-python", "yanked", "upload-time", "provenance", "size"])
def test_values_of_a_wrong_type_cost_their_entry(key: str) -> None:
    found = read(page(file(**{key: ["x"]}), file("six-2.0.zip")))
    assert [type(one).__name__ for one in found] == ["Invalid", "PythonRecord"]
    assert key in found[0].why if isinstance(found[0], Invalid) else False


@pytest.mark.parametrize(
    "text",
    [
        b'{"projects": [{"name": "Six", "_last-serial": 4}, {"name": "s.i_x"},'
        b' {"name": "-"}, {"name": "six"}]}',
        b'<html><a href="Six/">Six</a><a href="/simple/s.i_x">s</a><a href="-/">-</a>'
        b'<a href="six/">six</a>',
    ],
)
def test_the_list_of_projects_has_each_name_once(text: bytes) -> None:
    names, invalid = simple.index(text)
    assert list(names) == ["six", "s-i-x"]
    assert invalid == 2


@pytest.mark.parametrize("text", [b"", b"{}", b"<html>Please log in</html>"])
def test_what_is_no_list_of_projects_is_refused(text: bytes) -> None:
    with pytest.raises(BadIndex, match="projects"):
        simple.index(text)


def test_hostile_texts_are_escaped_in_html() -> None:
    bad = '"><script>alert(1)</script>'
    text = page(file(yanked=bad, **{"requires-python": bad}), **{"project-status": {"status": bad}})
    body = simple.project(text, name="six", asked=ASKED, found=ASKED).body
    html = pages.project_html(pages.project_json(body))
    assert b"<script>" not in html
