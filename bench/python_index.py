"""The Simple index that `bench.python` measures with: 600,000 projects of which 500 change."""

from __future__ import annotations

import hashlib
import json
import random
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from ecosystems.pack import PackWriter
from ecosystems.python import simple
from ecosystems.python.previous import PagesMeta, Serials

PROJECTS = 600_000
CHANGED = 500
FIRST_SERIAL = 1000
CHANGED_SERIAL = 10_000_000
LIST, CHANGES, PACK = "index.json", "changes.json", "old.pack"
JSON_TYPE = "application/vnd.pypi.simple.v1+json"


def names() -> list[str]:
    """The projects, in their order."""
    # The factor spreads the names over the alphabet, as real ones are; the number keeps them apart.
    return sorted(f"project-{number * 2654435761 % 2**32:x}-{number}" for number in range(PROJECTS))


def listing(serials: dict[str, int]) -> bytes:
    """The list of projects as JSON."""
    projects = [{"_last-serial": serial, "name": name} for name, serial in serials.items()]
    meta = {"_last-serial": max(serials.values()), "api-version": "1.4"}
    return json.dumps({"meta": meta, "projects": projects}, separators=(",", ":")).encode()


def page(name: str, serial: int, *, files: int = 2) -> bytes:
    """A project's page as JSON, of the size of real ones."""
    module = name.replace("-", "_")
    entries = []
    for number in range(files):
        filename = f"{module}-{number // 4}.{number % 4}-py3-none-any.whl"
        # Any hash will do, but a different one each: equal ones would compress away.
        digest = hashlib.sha256(filename.encode()).hexdigest()
        entries.append(
            {
                "core-metadata": {"sha256": digest},
                "data-dist-info-metadata": {"sha256": digest},
                "filename": filename,
                "hashes": {"sha256": digest},
                "provenance": None,
                "requires-python": ">=3.9",
                "size": 12_345 + number,
                "upload-time": "2026-01-02T03:04:05.678901Z",
                "url": f"https://files.example/packages/{digest[:2]}/{digest[2:4]}/{filename}",
                "yanked": False,
            }
        )
    meta = {"_last-serial": serial, "api-version": "1.4"}
    return json.dumps({"files": entries, "meta": meta, "name": name, "versions": []}).encode()


def metadata(name: str, serial: int) -> bytes:
    """The same project as the JSON that bandersnatch reads."""
    entries = json.loads(page(name, serial, files=3))["files"]
    files = [
        {
            "digests": entry["hashes"] | {"md5": "0" * 32},
            "filename": entry["filename"],
            "md5_digest": "0" * 32,
            "packagetype": "bdist_wheel",
            "requires_python": entry["requires-python"],
            "size": entry["size"],
            "upload_time_iso_8601": entry["upload-time"],
            "url": entry["url"],
            "yanked": False,
        }
        for entry in entries
    ]
    info = {"name": name, "version": "0.0", "requires_python": ">=3.9"}
    document = {"info": info, "last_serial": serial, "releases": {"0.0": files}, "urls": files}
    return json.dumps(document).encode()


def generate(folder: Path) -> dict[str, int]:
    """Write the list after 500 changes, what changed, and the pack of the time before."""
    before = {name: FIRST_SERIAL + number for number, name in enumerate(names())}
    with PackWriter(folder / PACK) as writer:
        for name, serial in before.items():
            address = f"https://index.example/simple/{name}/"
            project = simple.project(
                page(name, serial), name=name, requested_url=address, url=address
            )
            writer.add(name, project.body, project.count)
        # Risen before: serials are trusted once they have been seen to rise, so unchanged pages are
        # not asked for.
        serials = Serials(max(before.values()), risen=True)
        writer.close(PagesMeta(serials=before, list_serials=serials).dump())
    changed = random.Random(1).sample(sorted(before), CHANGED)
    after = before | {name: CHANGED_SERIAL + number for number, name in enumerate(changed)}
    (folder / LIST).write_bytes(listing(after))
    (folder / CHANGES).write_text(json.dumps({name: after[name] for name in changed}))
    return {"projects": len(after)}


def serve(folder: Path) -> None:
    """Serve the list and the pages of the changed projects; prints its address first."""
    index = (folder / LIST).read_bytes()
    changes: dict[str, int] = json.loads((folder / CHANGES).read_text())
    etag = f'"{hashlib.sha256(index).hexdigest()}"'

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Print no line for each request: the measuring process reads this output."""

        def do_GET(self) -> None:
            # bandersnatch asks the older JSON API for a project's files.
            legacy_api = self.path.startswith("/pypi/")
            name = self.path.removeprefix("/simple").strip("/")
            if legacy_api:
                name = self.path.split("/")[2]
            unchanged = not name and self.headers.get("If-None-Match") == etag
            body = b"" if unchanged else page(name, changes[name], files=3) if name else index
            if legacy_api:
                body = metadata(name, changes[name])
            self.send_response(304 if unchanged else 200)
            self.send_header("Content-Type", JSON_TYPE)
            self.send_header("Content-Length", str(len(body)))
            if legacy_api:
                self.send_header("X-PyPI-Last-Serial", str(changes[name]))
            if not name:
                self.send_header("ETag", etag)
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
