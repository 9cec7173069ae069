"""A Simple index in memory: real wheels and sdists, pages in both forms, on a real port.

    with FakeSimple() as simple:
        simple.add_wheel("six", "1.16.0")
        simple.add_sdist("six", "1.15.0")
        simple.publish()
        ... simple.index + "six/" ...

Files lie under `/packages/`, away from the pages; `files_at` puts them on another server.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from typing import Any

from tests.upstream import Entry, FakeUpstream, Request

Listing = dict[str, Any]
JSON_TYPE = "application/vnd.pypi.simple.v1+json"
UPLOADED = "2023-11-14T22:13:20.000000Z"
"""The upload time of files that name none."""
_ZIP_TIME = (2023, 11, 14, 0, 0, 0)


class FakeSimple(FakeUpstream):
    """An index below `root`; `add` what it has, then `publish`."""

    def __init__(
        self, root: str = "/simple/", *, html: bool = False, files_at: FakeUpstream | None = None
    ) -> None:
        super().__init__()
        self.root = root
        self.html = html
        """Whether the index knows the old form only."""
        self.files_at = files_at or self
        self.serials: dict[str, int] | None = None
        """Given: the list of projects tells them."""
        self.status: dict[str, dict[str, str]] = {}
        self._entries: dict[str, dict[str, Listing]] = {}

    @property
    def index(self) -> str:
        """The index's address, as pip wants it."""
        return f"{self.url}{self.root}"

    def page(self, project: str) -> str:
        """The path of a project's page."""
        return f"{self.root}{project}/"

    def path(self, filename: str) -> str:
        """The path of a file."""
        return f"/packages/{filename}"

    def add_wheel(
        self,
        name: str,
        version: str,
        *,
        requires: Sequence[str] = (),
        requires_python: str | None = None,
        license: str | None = "MIT",
        classifiers: Sequence[str] = (),
        expression: str | None = None,
        payload: str = "",
        tag: str = "py3-none-any",
        metadata: bool = True,
        **entry: Any,
    ) -> str:
        """Build a wheel with one module; `entry` changes what the index says (None: nothing)."""
        module = name.replace("-", "_").lower()
        text = _metadata(name, version, requires, requires_python, license, classifiers, expression)
        filename = f"{module}-{version}-{tag}.whl"
        content = _wheel(module, version, text, payload=payload, tag=tag)
        found: Listing = {"requires-python": requires_python} if requires_python else {}
        if metadata:
            found["core-metadata"] = {"sha256": hashlib.sha256(text).hexdigest()}
            self.files_at.set(self.path(f"{filename}.metadata"), text)
        return self._add(name, filename, content, {**found, **entry})

    def add_sdist(self, name: str, version: str, *, payload: str = "", **entry: Any) -> str:
        """Build a source distribution that needs no network to be built."""
        filename = f"{name.replace('-', '_').lower()}-{version}.tar.gz"
        return self._add(name, filename, _sdist(name, version, payload=payload), entry)

    def add_raw(self, name: str, filename: str, content: bytes, **entry: Any) -> str:
        """List a file with these bytes."""
        return self._add(name, filename, content, entry)

    def listing(self, project: str, filename: str) -> Listing:
        """What the index says of a file; changes count from the next `publish` on."""
        return self._entries[project][filename]

    def entry(self, request: Request) -> Entry | None:
        found = super().entry(request)
        if found is not None and found.body.startswith(b"<!DOCTYPE"):
            return replace(found, content_type="text/html")
        return found

    def entry_bytes(self, path: str) -> bytes:
        """What a client that asks for JSON gets at a path."""
        found = self.entry(Request("GET", path, {"accept": JSON_TYPE}))
        assert found is not None
        return found.body

    def drop(self, project: str, filename: str | None = None) -> None:
        """Unlist a file, or a whole project, at the next `publish`."""
        if filename is None:
            del self._entries[project]
            self.remove(self.page(project))
        else:
            del self._entries[project][filename]

    def publish(self, *projects: str) -> None:
        """Write the pages (of these projects, else of all) and the list of projects."""
        for project in projects or self._entries:
            self._set(self.page(project), self._json(project), self._html(project))
        listed: dict[str, Any] = {
            "meta": {"api-version": "1.1"},
            "projects": [self._name(name) for name in sorted(self._entries)],
        }
        anchors = "".join(f'<a href="{name}/">{name}</a>\n' for name in sorted(self._entries))
        self._set(self.root, json.dumps(listed).encode(), _page(anchors).encode())

    def _name(self, project: str) -> dict[str, Any]:
        if self.serials is None:
            return {"name": project}
        return {"name": project, "_last-serial": self.serials[project]}

    def _set(self, path: str, as_json: bytes, as_html: bytes) -> None:
        if self.html:
            self.set(path, as_html, content_type="text/html", last_modified=None)
            return

        def body(request: Request) -> bytes:
            return as_json if "+json" in request.headers.get("accept", "") else as_html

        self.set(path, body, content_type=JSON_TYPE, last_modified=None)

    def _add(self, name: str, filename: str, content: bytes, changes: Listing) -> str:
        project = name.lower().replace("_", "-").replace(".", "-")
        self.files_at.set(self.path(filename), content)
        away = self.files_at is not self
        found: Listing = {
            "filename": filename,
            "url": f"{self.files_at.url if away else '../..'}{self.path(filename)}",
            "hashes": {"sha256": hashlib.sha256(content).hexdigest()},
            "size": len(content),
            "upload-time": UPLOADED,
            "yanked": False,
            **changes,
        }
        kept = {key: value for key, value in found.items() if value is not None}
        self._entries.setdefault(project, {})[filename] = kept
        return filename

    def _json(self, project: str) -> bytes:
        meta: dict[str, Any] = {"api-version": "1.4"}
        if self.serials is not None:
            meta["_last-serial"] = self.serials[project]
        page: dict[str, Any] = {
            "meta": meta,
            "name": project,
            "versions": [],
            "files": list(self._entries[project].values()),
        }
        if project in self.status:
            page["project-status"] = self.status[project]
        return json.dumps(page).encode()

    def _html(self, project: str) -> bytes:
        lines = []
        for entry in self._entries[project].values():
            kind, digest = next(iter(entry["hashes"].items()), ("", ""))
            href = f"{entry['url']}#{kind}={digest}" if digest else str(entry["url"])
            text = f'<a href="{escape(href)}"'
            if wanted := entry.get("requires-python"):
                text += f' data-requires-python="{escape(str(wanted))}"'
            if yanked := entry.get("yanked"):
                text += f' data-yanked="{escape(yanked if isinstance(yanked, str) else "")}"'
            metadata = entry.get("core-metadata")
            if isinstance(metadata, dict):
                text += f' data-core-metadata="sha256={metadata["sha256"]}"'
            lines.append(f"{text}>{entry['filename']}</a><br/>\n")
        return _page("".join(lines)).encode()


def _page(anchors: str) -> str:
    head = '<meta name="pypi:repository-version" content="1.0">'
    return f"<!DOCTYPE html><html><head>{head}</head><body>{anchors}</body></html>"


def _metadata(
    name: str,
    version: str,
    requires: Sequence[str],
    requires_python: str | None,
    license: str | None,
    classifiers: Sequence[str],
    expression: str | None,
) -> bytes:
    lines = ["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Python: {requires_python}"] if requires_python else []
    lines += [f"License-Expression: {expression}"] if expression else []
    lines += [f"License: {license}"] if license and not expression else []
    lines += [f"Classifier: {one}" for one in classifiers]
    lines += [f"Requires-Dist: {one}" for one in requires]
    return "\n".join([*lines, "", ""]).encode()


def _wheel(module: str, version: str, metadata: bytes, *, payload: str, tag: str) -> bytes:
    folder = f"{module}-{version}.dist-info"
    files = {
        f"{module}.py": f"__version__ = {version!r}\n# {payload}\n".encode(),
        f"{folder}/METADATA": metadata,
        f"{folder}/WHEEL": (
            f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n".encode()
        ),
    }
    rows = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in files.items()]
    files[f"{folder}/RECORD"] = "\n".join([*rows, f"{folder}/RECORD,,", ""]).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, _ZIP_TIME), data)
    return buffer.getvalue()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


def _sdist(name: str, version: str, *, payload: str) -> bytes:
    module = name.replace("-", "_").lower()
    stem = f"{module}-{version}"
    files = {
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "pyproject.toml": (
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        ),
        f"{module}.py": f"__version__ = {version!r}\n# {payload}\n",
        "backend.py": _BACKEND.format(name=name, module=module, version=version),
    }
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for path, text in files.items():
            data = text.encode()
            member = tarfile.TarInfo(f"{stem}/{path}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


_BACKEND = '''"""Builds this one wheel with the standard library alone."""
import zipfile
from pathlib import Path

FOLDER = "{module}-{version}.dist-info"
METADATA = "Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n"
WHEEL = "Wheel-Version: 1.0\\nGenerator: tests\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    filename = "{module}-{version}-py3-none-any.whl"
    files = {{
        "{module}.py": Path("{module}.py").read_text(),
        FOLDER + "/METADATA": METADATA,
        FOLDER + "/WHEEL": WHEEL,
    }}
    record = "".join(name + ",,\\n" for name in [*files, FOLDER + "/RECORD"])
    with zipfile.ZipFile(Path(wheel_directory) / filename, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr(FOLDER + "/RECORD", record)
    return filename
'''
