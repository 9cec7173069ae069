"""What every form of a channel's index lists, read as clients read it (I4).

Each reader asks for all forms of a section, asserts that they say the same, and returns the
listed files. `ask` gets a path below the channel, with headers by name.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

import msgpack
import zstandard

from ecosystems.cran import rds
from tests.wsgi import Answer

Ask = Callable[..., Answer]

CONDA = ("repodata.json", "repodata.json.zst", "repodata_shards.msgpack.zst")
JSON, HTML = (f"application/vnd.pypi.simple.v1+{form}" for form in ("json", "html"))
CRAN = ("PACKAGES", "PACKAGES.gz", "PACKAGES.rds")


@dataclass(frozen=True)
class Listed:
    """A file as the index promises it: where clients ask for it, its size and its hash."""

    path: str
    size: int = -1
    sha256: str = ""
    md5: str = ""

    def promised(self, body: bytes) -> bool:
        """Whether these bytes are the ones that the index lists."""
        return (
            self.size in (-1, len(body))
            and self.sha256 in ("", hashlib.sha256(body).hexdigest())
            and self.md5 in ("", hashlib.md5(body).hexdigest())
        )


def read(family: str, ask: Ask, section: str, names: set[str]) -> dict[str, Listed]:
    """The files of a section by name. `names`: the packages that have a page of their own."""
    if family == "conda":
        return _conda(ask, section)
    return _python(ask, names) if family == "python" else _cran(ask, section)


def documents(family: str, section: str, names: set[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Where clients find what the section's documents say: path and headers."""
    if family == "python":
        for page in ("", *sorted(f"{name}/" for name in names)):
            yield f"simple/{page}", {"accept": JSON}
            yield f"simple/{page}", {"accept": HTML}
        return
    prefix = "" if family == "conda" else "cran/"
    for form in CONDA if family == "conda" else (*CRAN, "Meta/archive.rds", "Meta/current.rds"):
        yield f"{prefix}{section}/{form}", {}


def _conda(ask: Ask, section: str) -> dict[str, Listed]:
    plain, packed, sharded = (_got(ask, f"{section}/{form}") for form in CONDA)
    assert zstandard.decompress(packed) == plain
    index = json.loads(plain)
    assert "base_url" not in index["info"]
    listed = {**index["packages"], **index["packages.conda"]}
    assert _from_shards(ask, section, sharded) == listed
    return {
        name: Listed(
            f"{section}/{name}", one["size"], one.get("sha256") or "", one.get("md5") or ""
        )
        for name, one in listed.items()
    }


def _from_shards(ask: Ask, section: str, packed: bytes) -> dict[str, Any]:
    """All records of the sharded index, in the form of the plain one."""
    index = msgpack.unpackb(zstandard.decompress(packed))
    found: dict[str, Any] = {}
    for name, digest in index["shards"].items():
        body = _got(ask, f"{section}/shards/{digest.hex()}.msgpack.zst")
        assert hashlib.sha256(body).digest() == digest
        shard = msgpack.unpackb(zstandard.decompress(body))
        for kind in ("packages", "packages.conda"):
            for filename, record in shard[kind].items():
                assert record["name"] == name
                for key in ("sha256", "md5"):
                    if key in record:
                        record[key] = record[key].hex()
                found[filename] = record
    return found


def _python(ask: Ask, names: set[str]) -> dict[str, Listed]:
    projects = [one["name"] for one in json.loads(_got(ask, "simple/", accept=JSON))["projects"]]
    texts = [text for _, text in _anchors(_got(ask, "simple/", accept=HTML))]
    assert sorted(projects) == sorted(texts)
    assert names <= set(projects), "what has files is in the list"
    found: dict[str, Listed] = {}
    for name in sorted(names):
        page = f"simple/{name}/"
        files = json.loads(_got(ask, page, accept=JSON))["files"]
        anchors = _anchors(_got(ask, page, accept=HTML))
        assert sorted(map(_from_json, files)) == sorted(_from_html(*one) for one in anchors)
        for file in files:
            hashes, metadata = file["hashes"], file.get("core-metadata")
            path = f"{page}{file['filename']}"
            found[file["filename"]] = Listed(
                path, file.get("size", -1), hashes.get("sha256", ""), hashes.get("md5", "")
            )
            if metadata:
                beside = Listed(f"{path}.metadata", sha256=metadata["sha256"])
                found[f"{file['filename']}.metadata"] = beside
    return found


Said = tuple[str, str, str, str, str]
"""Name, hash, hash of the metadata, Python versions, and why it is yanked ("no": it is not)."""


def _from_json(file: dict[str, Any]) -> Said:
    hashes = [f"{kind}={value}" for kind, value in sorted(file["hashes"].items(), reverse=True)]
    metadata = (file.get("core-metadata") or {}).get("sha256", "")
    yanked = file.get("yanked", False)
    reason = "no" if yanked is False else "" if yanked is True else str(yanked)
    return (
        file["filename"],
        (hashes or [""])[0],
        metadata,
        file.get("requires-python") or "",
        reason,
    )


def _from_html(attributes: dict[str, str], text: str) -> Said:
    fragment = attributes["href"].partition("#")[2]
    metadata = attributes.get("data-core-metadata", "").removeprefix("sha256=")
    python = attributes.get("data-requires-python", "")
    return text, fragment, metadata, python, attributes.get("data-yanked", "no")


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[dict[str, str], str]] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found.append(({name: value or "" for name, value in attrs}, ""))
            self._inside = True

    def handle_data(self, data: str) -> None:
        if self._inside:
            attributes, text = self.found[-1]
            self.found[-1] = attributes, text + data

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "a"


def _anchors(page: bytes) -> list[tuple[dict[str, str], str]]:
    parser = _Anchors()
    parser.feed(page.decode())
    return parser.found


def _cran(ask: Ask, section: str) -> dict[str, Listed]:
    base = f"cran/{section}"
    plain, zipped, matrix = (_got(ask, f"{base}/{form}") for form in CRAN)
    assert gzip.decompress(zipped) == plain
    stanzas = [_fields(one) for one in plain.decode().split("\n\n") if one.strip()]
    assert _rows(matrix) == [(one["Package"], one["Version"]) for one in stanzas]
    extension = ".tar.gz"
    if section.startswith("bin/"):
        extension = ".zip" if section.startswith("bin/windows/") else ".tgz"
    found: dict[str, Listed] = {}
    for one in stanzas:
        filename = f"{one['Package']}_{one['Version']}{extension}"
        assert filename not in found, "a version is listed once"
        found[filename] = Listed(f"{base}/{filename}", md5=one.get("MD5sum", "").lower())
    for place in _archived(ask, base):
        filename = place.partition("/")[2]
        assert filename not in found, "a version is current or in the archive"
        found[filename] = Listed(f"{base}/Archive/{place}")
    return found


def _fields(stanza: str) -> dict[str, str]:
    lines = [line for line in stanza.split("\n") if line and line[0] not in " \t"]
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _rows(packed: bytes) -> list[tuple[str, str]]:
    """Package and Version of each row of PACKAGES.rds, a matrix stored by columns."""
    matrix = rds.read(gzip.decompress(packed))
    assert isinstance(matrix, rds.Vector)
    dimensions = matrix.attributes[b"dim"]
    assert isinstance(dimensions, rds.Vector)
    count = dimensions.values[0]
    assert isinstance(count, int)
    texts = [one.decode() if isinstance(one, bytes) else "" for one in matrix.values[: 2 * count]]
    return list(zip(texts[:count], texts[count:], strict=True))


def _archived(ask: Ask, base: str) -> list[str]:
    answer = ask(f"{base}/Meta/archive.rds")
    if answer.status == 404:
        return []
    tables = rds.read(gzip.decompress(answer.body))
    assert isinstance(tables, rds.Vector)
    found = []
    for table in tables.values:
        assert isinstance(table, rds.Vector)
        found += [place.decode() for place in table.names(b"row.names")]
    return found


def _got(ask: Ask, path: str, **headers: str) -> bytes:
    answer = ask(path, **headers)
    assert answer.status == 200, (path, answer)
    return answer.body
