from __future__ import annotations

import json
from typing import Any

import pytest

from ecosystems.errors import BadIndex
from ecosystems.python import pages, simple
from ecosystems.python.body import entries
from ecosystems.python.ecosystem import PythonSimple
from ecosystems.python.records import misstated_metadata, records
from ecosystems.records import Invalid, Record

ASKED = "https://host.example/simple/six/"
SHA = "a" * 64
WHEEL = "six-1.0-py3-none-any.whl"


def page(*files: dict[str, Any], **more: Any) -> bytes:
    return json.dumps(
        {"meta": {"api-version": "1.1"}, "name": "six", "files": files, **more}
    ).encode()


def file(filename: str = WHEEL, **more: Any) -> dict[str, Any]:
    return {"filename": filename, "url": filename, "hashes": {"sha256": SHA}, **more}


def read(text: bytes, *, url: str = ASKED) -> list[Record | Invalid]:
    body = simple.project(text, name="six", requested_url=ASKED, url=url).body
    return records(body, name="six")


def one(text: bytes, **more: str) -> Record:
    found = read(text, **more)
    assert len(found) == 1
    assert isinstance(found[0], Record)
    return found[0]


def test_entries_stay_byte_for_byte() -> None:
    raw = b'{"url" : "x/six-1.0.zip","filename":"six-1.0.zip",  "new-key": [1, 2.50]}'
    text = b'{"files": [' + raw + b'], "meta": {"api-version": "1.9"}, "later": {}}'
    body = simple.project(text, name="six", requested_url=ASKED, url=ASKED).body
    assert entries(body) == {"six-1.0.zip": raw}


def test_a_body_does_not_depend_on_the_upstreams_order() -> None:
    one, two = file("six-1.0.zip"), file("six-2.0.zip")
    bodies = {
        simple.project(page(*files), name="six", requested_url=ASKED, url=ASKED).body
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
    assert one(page(file()), url=found).address == f"https://other.example/pypi/six/{WHEEL}"
    full = f"https://files.example/{WHEEL}"
    assert one(page(file(url=full)), url=found).address == full


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1970-01-01T00:00:01Z", 1000),
        ("1970-01-01T00:00:01.5Z", 1500),
        ("1970-01-01T00:00:00.123456Z", 123),
        ("1970-01-01T23:59:59.999999Z", 86_399_999),
        ("2024-01-01T23:59:59.9999999Z", 1_704_153_599_999),
        ("1970-01-02T00:59:59.999999+01:00", 86_399_999),
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
    record = one(page(file(url=f"../{WHEEL}?v=1#x", **{key: {"sha256": "B" * 64}})))
    (beside,) = record.companions
    assert (beside.filename, beside.sha256) == (f"{WHEEL}.metadata", "b" * 64)
    assert beside.address == f"six/../{WHEEL}.metadata?v=1"


@pytest.mark.parametrize("value", [True, False, {}, {"sha512": "b" * 128}, {"sha256": "short"}])
def test_metadata_without_a_usable_hash_is_not_offered(value: Any) -> None:
    assert one(page(file(**{"core-metadata": value}))).companions == ()


def test_one_bad_entry_costs_no_other() -> None:
    text = page(
        file(url=["x"]), file("six-2.0.zip"), {"filename": 3}, file("six-3.0.zip", url="ftp://x")
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
       data-dist-info-metadata="sha256={"c" * 64}">six</a>
    <a href="../b/six-1.0%2Blocal.tar.gz#md5={"b" * 32}" data-yanked="a &amp; b">six</a>
    <a href="six-2.0.zip">no hash</a><a href="/">Home</a><a>nothing</a></body>""".encode()
    found = {one.filename: one for one in read(text)}
    assert len(found) == 3
    record = found[WHEEL]
    assert isinstance(record, Record)
    assert record.address == f"https://files.example/a/{WHEEL}"
    entry = json.loads(record.raw)
    assert (entry["requires-python"], entry["yanked"]) == (">=3", True)
    assert record.companions[0].sha256 == "c" * 64
    other = found["six-1.0+local.tar.gz"]
    assert isinstance(other, Record)
    assert (other.checksum, json.loads(other.raw)["yanked"]) == (f"md5={'b' * 32}", "a & b")
    unhashed = found["six-2.0.zip"]
    assert isinstance(unhashed, Record)
    assert unhashed.unhashed
    body = simple.project(text, name="six", requested_url=ASKED, url=ASKED).body
    assert json.loads(pages.project_json(body))["project-status"] == {"status": "archived"}


def test_values_that_nobody_knows_are_passed_on_as_they_are() -> None:
    number = b"9" * 5000
    text = page(file(new="x")).replace(b'"x"', number)
    body = simple.project(text, name="six", requested_url=ASKED, url=ASKED).body
    served = pages.project_json(body)
    assert b'"new":' + number in served
    assert b"six-1.0" in pages.project_html(served)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("requires-python", ["x"]),
        ("requires-python", ""),
        ("requires-python", "whatever"),
        ("upload-time", ["x"]),
        ("upload-time", ""),
        ("upload-time", 5),
        ("upload-time", "2024-01-01 10:00:00"),
        ("upload-time", "2024-13-01T10:00:00Z"),
        ("size", "large"),
        ("size", -1),
        ("size", True),
        ("size", 1.5),
        ("size", 1 << 70),
        ("yanked", None),
    ],
)
def test_M10_optional_values_that_make_no_sense_are_missing(key: str, value: Any) -> None:
    text = page(file(**{key: value}), file("six-2.0.zip", **{"requires-python": ">=3.8"}))
    found = read(text)
    assert [type(one).__name__ for one in found] == ["PythonRecord", "PythonRecord"]
    body = simple.project(text, name="six", requested_url=ASKED, url=ASKED).body
    odd, other = json.loads(pages.project_json(body))["files"]
    assert key not in odd
    assert odd["hashes"] == {"sha256": SHA}
    assert other["requires-python"] == ">=3.8"
    assert WHEEL.encode() in pages.project_html(pages.project_json(body))


@pytest.mark.parametrize("value", [["x"], 1, {"reason": "bad"}])
def test_an_odd_yank_still_yanks(value: Any) -> None:
    body = simple.project(page(file(yanked=value)), name="six", requested_url=ASKED, url=ASKED).body
    assert json.loads(pages.project_json(body))["files"][0]["yanked"] is True


@pytest.mark.parametrize("odd", [3, None, "no digits", ["a"]])
def test_an_odd_hash_does_not_hide_a_good_one(odd: Any) -> None:
    text = page(file(hashes={"sha256": SHA, "sha512": odd}))
    assert one(text).sha256 == SHA
    body = simple.project(text, name="six", requested_url=ASKED, url=ASKED).body
    assert json.loads(pages.project_json(body))["files"][0]["hashes"] == {"sha256": SHA}


@pytest.mark.parametrize(
    "more",
    [
        {"meta": {"api-version": "1.1", "_last-serial": "7"}},
        {"meta": {"api-version": 1.1}},
        {"meta": {"api-version": 1}},
        {"meta": {"api-version": None, "_last-serial": [1]}},
        {"meta": None},
        {"name": None},
        {"name": 5},
        {"project-status": "archived"},
        {"project-status": {"status": {"x": 1}}},
        {"project-status": {"status": "unheard-of"}},
        {"project-status": ["x"]},
        {"versions": "all"},
    ],
)
def test_odd_values_of_a_page_do_not_cost_the_page(more: dict[str, Any]) -> None:
    found = simple.project(page(file(), **more), name="six", requested_url=ASKED, url=ASKED)
    assert found.count == 1
    meta = more.get("meta") or {}
    assert found.serial == (7 if meta.get("_last-serial") == "7" else None)
    assert "project-status" not in json.loads(pages.project_json(found.body))


def test_a_status_keeps_its_reason_where_it_is_text() -> None:
    for reason, kept in (("old", {"reason": "old"}), (5, {})):
        status = {"status": "deprecated", "reason": reason}
        text = page(file(), **{"project-status": status})
        body = simple.project(text, name="six", requested_url=ASKED, url=ASKED).body
        shown = json.loads(pages.project_json(body))["project-status"]
        assert shown == {"status": "deprecated", **kept}


def test_files_of_a_quarantined_project_are_refused_in_words() -> None:
    status = {"status": "quarantined", "reason": "malware"}
    (found,) = read(page(file(), **{"project-status": status}))
    assert isinstance(found, Invalid)
    assert "quarantined" in found.why


@pytest.mark.parametrize(
    ("first", "metadata"),
    [(False, False), (True, False), ({"sha512": "b" * 128}, False), (None, True), ("x", False)],
)
def test_the_newest_name_of_the_metadata_key_decides_alone(first: Any, metadata: bool) -> None:
    stale = {"dist-info-metadata": {"sha256": "b" * 64}}
    assert bool(one(page(file(**{"core-metadata": first}, **stale))).companions) is metadata


def test_the_hash_of_a_file_is_no_hash_of_metadata() -> None:
    other = "c" * 64
    text = page(
        file(**{"core-metadata": {"sha256": SHA}}),
        file("six-2.0-py3-none-any.whl", **{"core-metadata": {"sha256": SHA}}),
        file("six-3.0-py3-none-any.whl", **{"core-metadata": {"sha256": other}}),
    )
    found = read(text)
    assert [len(one.companions) for one in found if isinstance(one, Record)] == [0, 0, 1]
    body = simple.project(text, name="six", requested_url=ASKED, url=ASKED).body
    assert misstated_metadata(body) == [WHEEL, "six-2.0-py3-none-any.whl"]


@pytest.mark.parametrize("order", [1, -1])
def test_an_unusable_entry_never_hides_a_usable_one(order: int) -> None:
    entries = [file(url=f"/a/{WHEEL}", hashes={}), file(url=f"/f/{WHEEL}")][::order]
    text = page(*entries)
    found = read(text)
    assert sorted(type(one).__name__ for one in found) == ["Invalid", "PythonRecord"]
    body = simple.project(text, name="six", requested_url=ASKED, url=ASKED).body
    (shown,) = json.loads(pages.project_json(body))["files"]
    assert shown["hashes"] == {"sha256": SHA}


@pytest.mark.parametrize(
    ("fragment", "sha256", "md5", "checksum"),
    [
        (f"sha256={SHA}", SHA, "", ""),
        (f"egg=six-1.0&amp;sha256={SHA}", SHA, "", ""),
        (f"sha256={SHA}&amp;egg=six-1.0", SHA, "", ""),
        (f"md5={'b' * 32}&amp;sha256={SHA}", SHA, "b" * 32, ""),
        (f"SHA256={SHA.upper()}", SHA, "", ""),
        (SHA, SHA, "", ""),
        ("b" * 32, "", "", f"md5={'b' * 32}"),
        (f"egg=six&amp;{SHA}", SHA, "", ""),
        (f"sha512={'C' * 128}", "", "", f"sha512={'c' * 128}"),
        (f"blake2b={'c' * 128}&amp;md5={'b' * 32}", "", "", f"blake2b={'c' * 128}"),
        (f"sha384={'c' * 96}&amp;sha1={'d' * 40}", "", "", f"sha384={'c' * 96}"),
    ],
)
def test_hashes_are_read_wherever_they_stand_in_a_fragment(
    fragment: str, sha256: str, md5: str, checksum: str
) -> None:
    record = one(f'<html><a href="{WHEEL}#{fragment}">six</a></html>'.encode())
    assert (record.sha256, record.md5, record.checksum) == (sha256, md5, checksum)


@pytest.mark.parametrize(
    "hashes", [{"sha512": "b" * 64}, {"crc32": "b" * 8}, {"shake_128": "b" * 32}, {"sha256": ""}]
)
def test_hashes_that_verify_nothing_are_none(hashes: dict[str, str]) -> None:
    assert one(page(file(hashes=hashes))).unhashed
    assert not one(page(file())).unhashed


LONG = "six-3." + "14159" * 46 + "-py3-none-any.whl"


@pytest.mark.parametrize("form", ["json", "html"])
@pytest.mark.parametrize(
    ("filename", "why"),
    [
        (LONG, "too long"),
        ("six-1.0 (1).tar.gz", "characters"),
        ("six-1.0.ZIP", "does not end as"),
        ("six-1.0.7z", "does not end as"),
        ("seven-1.0.zip", "does not name six"),
    ],
)
def test_files_that_cannot_be_named_are_counted_with_their_reason(
    form: str, filename: str, why: str
) -> None:
    text = page(file(), file(filename))
    if form == "html":
        links = "".join(f'<a href="{name}#sha256={SHA}">x</a>' for name in (WHEEL, filename))
        text = f"<html>{links}<a href='../'>up</a></html>".encode()
    found = read(text)
    assert len(found) == 2
    (refused,) = [one for one in found if isinstance(one, Invalid)]
    assert refused.filename == filename[:240]
    assert why in refused.why


@pytest.mark.parametrize("ending", [".tbz", ".txz", ".tlz", ".tar.lz", ".tar.lzma"])
def test_what_pip_takes_is_taken(ending: str) -> None:
    assert one(page(file(f"six-1.0{ending}"))).version == "1.0"


def test_the_servers_of_all_files_are_told() -> None:
    text = page(
        file(),
        file("six-2.0.zip", url="https://a.example/x/six-2.0.zip"),
        file("six-3.0.zip", url="http://b.example:8080/y z"),
        file("six-4.0.zip", url=4),
    )
    found = simple.project(text, name="six", requested_url=ASKED, url=ASKED)
    assert found.hosts == {"https://host.example", "https://a.example", "http://b.example:8080"}


LIST = "https://host.example/simple/"


@pytest.mark.parametrize(
    "text",
    [
        b'{"projects": [{"name": "Six", "_last-serial": 4}, {"name": "s.i_x"},'
        b' {"name": "-"}, {"name": "six"}]}',
        b'<html><a href="Six/">Six</a><a href="/simple/s.i_x">s.i-x</a><a href="-/">-</a>'
        b'<a href="six/">six</a>',
    ],
)
def test_the_list_of_projects_has_each_name_once(text: bytes) -> None:
    index = simple.index(text, url=LIST)
    assert list(index.names) == ["six", "s-i-x"]
    assert len(index.others) == 2


@pytest.mark.parametrize("text", [b"", b"{}", b"<html>Please log in</html>"])
def test_what_is_no_list_of_projects_is_refused(text: bytes) -> None:
    with pytest.raises(BadIndex, match="projects"):
        simple.index(text, url=LIST)


def test_odd_values_of_a_list_cost_their_project_at_most() -> None:
    text = (
        b'{"meta": {"api-version": 1.0, "_last-serial": "9"}, "projects": [{"name": "a",'
        b' "_last-serial": "7"}, {"name": null}, "b", 5, {"name": "c", "_last-serial": [1]}]}'
    )
    index = simple.index(text, url=LIST)
    assert index.names == {"a": 7, "c": None}
    assert len(index.others) == 3


def test_a_list_may_link_to_index_files_and_be_a_servers_listing() -> None:
    text = b"""<html><a href="?C=N;O=D">Name</a><a href="../">Parent</a>
    <a href="demo/index.html">demo</a><a href="two/">two/</a>
    <a href="a-very-long-name-of-a-project/">a-very-long-name..&gt;</a></html>"""
    names = simple.index(text, url=LIST).names
    assert list(names) == ["demo", "two", "a-very-long-name-of-a-project"]


@pytest.mark.parametrize(
    "links",
    [
        '<a href="/simple/">here</a><a href="/packages/">packages</a><a href="/login">log in</a>',
        '<a href="/simple/">simple</a><a href="/docs/">docs</a>',
        '<a href="https://other.example/six/">six</a>',
        "",
    ],
)
def test_a_welcome_page_is_no_list_of_projects(links: str) -> None:
    with pytest.raises(BadIndex, match="no list"):
        simple.index(f"<html>{links}</html>".encode(), url="https://host.example/")


def test_M07_hostile_texts_are_escaped_in_html() -> None:
    bad = '"><script>alert(1)</script>'
    text = page(file(yanked=bad, **{"requires-python": bad}), **{"project-status": {"status": bad}})
    body = simple.project(text, name="six", requested_url=ASKED, url=ASKED).body
    html = pages.project_html(pages.project_json(body))
    assert b"<script>" not in html


@pytest.mark.parametrize(
    ("status", "explained"), [({"status": "quarantined"}, None), ({"status": "archived"}, set())]
)
def test_a_quarantine_explains_that_files_went(status: dict[str, str], explained: Any) -> None:
    text = page(**{"project-status": status})
    body = simple.project(text, name="six", requested_url=ASKED, url=ASKED).body
    assert PythonSimple().withdrawn(body) == explained


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_a_file_listed_twice_is_told_and_always_the_same_entry_counts(
    order: tuple[int, ...],
) -> None:
    listed = [file(hashes=hashes) for hashes in ({}, {"sha256": "b" * 64}, {"sha256": "c" * 64})]
    found = read(page(*(listed[number] for number in order)))
    assert [one.sha256 for one in found if isinstance(one, Record)] == ["b" * 64]
    told = [one.why for one in found if isinstance(one, Invalid)]
    assert len(told) == 2
    assert "the upstream lists a file of this name twice" in told
