"""The files under static/vendor are those that were taken from their packages, and no others."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from web.templatetags import ui

ROOT = Path(__file__).resolve().parent.parent.parent
VENDOR = ROOT / "static" / "vendor"
MANIFEST = json.loads((VENDOR / "manifest.json").read_text(encoding="utf-8"))
LOCK = json.loads((ROOT / "frontend" / "package-lock.json").read_text(encoding="utf-8"))


def test_every_file_is_in_the_manifest_and_nothing_else_is() -> None:
    assert {path.name for path in VENDOR.iterdir()} - {"manifest.json"} == set(MANIFEST)


def test_every_file_has_the_hash_of_the_manifest() -> None:
    for name, about in MANIFEST.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == about["sha256"], name


def test_every_file_is_under_a_free_license_and_of_the_locked_version() -> None:
    for name, about in MANIFEST.items():
        assert about["license"] in {"MIT", "0BSD", "Apache-2.0", "BSD-2-Clause"}, name
        locked = LOCK["packages"][f"node_modules/{about['package']}"]
        assert about["version"] == locked["version"], name


def test_no_file_asks_for_a_map_or_carries_a_picture_that_the_policy_forbids() -> None:
    for path in VENDOR.iterdir():
        body = path.read_bytes()
        assert b"sourceMappingURL" not in body, path.name
        if path.suffix == ".css":
            assert b"url(data:" not in body, path.name
            assert b'url("data:' not in body, path.name


def test_the_lock_names_no_registry() -> None:
    assert not any("resolved" in package for package in LOCK["packages"].values())


def test_every_icon_that_pages_name_is_in_the_sprite_and_no_other_is() -> None:
    sprite = set(re.findall(r'<symbol id="([^"]+)"', (VENDOR / "icons.svg").read_text("utf-8")))
    named = {picture for picture, _, _ in ui.BADGES.values()}
    for path in (ROOT / "templates").rglob("*.html"):
        named.update(re.findall(r'{% icon "([^"]+)"', path.read_text("utf-8")))
    assert named <= sprite
    source = (ROOT / "web" / "templatetags" / "ui.py").read_text("utf-8")
    assert sprite - named <= set(re.findall(r'"([a-z0-9-]+)"', source))
