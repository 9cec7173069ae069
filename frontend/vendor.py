"""Copy the front-end files that the server serves from the installed packages to static/vendor/.

Run by hand after a change of package.json; the result is committed, so nobody else needs Node:

    cd frontend && npm install --ignore-scripts && python vendor.py

The rule: only the files named here are taken. Hints at source maps are cut off (the maps are
not served), pictures inside style sheets become files (the pages' policy allows no `data:`),
the icons in use become one sprite, and manifest.json says of each file where it is from, under
which license, and its SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from urllib.parse import unquote_to_bytes

HERE = Path(__file__).resolve().parent
MODULES = HERE / "node_modules"
TARGET = HERE.parent / "static" / "vendor"

FILES = {
    "tabler.min.css": "@tabler/core/dist/css/tabler.min.css",
    "tabler-vendors.min.css": "@tabler/core/dist/css/tabler-vendors.min.css",
    "tom-select.bootstrap5.min.css": "tom-select/dist/css/tom-select.bootstrap5.min.css",
    "tom-select.min.js": "tom-select/dist/js/tom-select.complete.min.js",
    "htmx.min.js": "htmx.org/dist/htmx.min.js",
    "idiomorph-ext.min.js": "idiomorph/dist/idiomorph-ext.min.js",
}
SPRITE = "icons.svg"
LICENSES = {"htmx.org": "0BSD", "idiomorph": "0BSD", "tom-select": "Apache-2.0"}
"""Of the packages; all others are MIT. Compared with what each package says of itself."""

_SOURCE_MAP = re.compile(rb"\n?(?://|/\*)# sourceMappingURL=[^\n]*")
_PICTURE = re.compile(rb"""url\((["'])data:image/svg\+xml(?:;charset=utf-?8)?,(.*?)\1\)""")
_DRAWING = re.compile(r"<svg[^>]*>(.*)</svg>", re.DOTALL)


def main() -> None:
    """Write static/vendor/ anew."""
    TARGET.mkdir(parents=True, exist_ok=True)
    for old in TARGET.iterdir():
        old.unlink()
    manifest = {}
    for name, source in FILES.items():
        body = _SOURCE_MAP.sub(b"", (MODULES / source).read_bytes()).rstrip() + b"\n"
        if name.endswith(".css"):
            for drawing in {found[2] for found in _PICTURE.finditer(body)}:
                manifest[_picture_name(drawing)] = _write(
                    _picture_name(drawing), unquote_to_bytes(drawing), _package(source)
                )
            body = _PICTURE.sub(
                lambda found: b"url(" + _picture_name(found[2]).encode() + b")", body
            )
            if b"url(data:" in body or b'url("data:' in body or b"url('data:" in body:
                raise SystemExit(f"{name} has a picture inside that is not understood.")
        manifest[name] = _write(name, body, _package(source))
    manifest[SPRITE] = _write(SPRITE, _sprite().encode(), "@tabler/icons")
    text = json.dumps(dict(sorted(manifest.items())), indent=2)
    (TARGET / "manifest.json").write_text(f"{text}\n", encoding="utf-8")
    _strip_hosts()


def _write(name: str, body: bytes, package: str) -> dict[str, str]:
    (TARGET / name).write_bytes(body)
    about = json.loads((MODULES / package / "package.json").read_text(encoding="utf-8"))
    expected = LICENSES.get(package, "MIT")
    if about["license"] != expected:
        raise SystemExit(f"{package} is under {about['license']} now, not under {expected}.")
    return {
        "package": package,
        "version": about["version"],
        "license": about["license"],
        "sha256": hashlib.sha256(body).hexdigest(),
    }


def _picture_name(drawing: bytes) -> str:
    return f"picture-{hashlib.sha256(drawing).hexdigest()[:12]}.svg"


def _package(source: str) -> str:
    parts = source.split("/")
    return "/".join(parts[:2] if source.startswith("@") else parts[:1])


def _sprite() -> str:
    symbols = []
    for icon in (HERE / "icons.txt").read_text(encoding="utf-8").split():
        path = MODULES / "@tabler/icons/icons/outline" / f"{icon}.svg"
        drawn = _DRAWING.search(path.read_text(encoding="utf-8"))
        if drawn is None:
            raise SystemExit(f"{path} is no drawing.")
        strokes = " ".join(drawn[1].split()).replace("> <", "><")
        symbols.append(f'<symbol id="{icon}" viewBox="0 0 24 24">{strokes}</symbol>')
    return '<svg xmlns="http://www.w3.org/2000/svg">\n' + "\n".join(symbols) + "\n</svg>\n"


def _strip_hosts() -> None:
    """The lock file says what is installed, not from where."""
    path = HERE / "package-lock.json"
    lock = json.loads(path.read_text(encoding="utf-8"))
    for package in lock["packages"].values():
        package.pop("resolved", None)
    path.write_text(f"{json.dumps(lock, indent=2)}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
