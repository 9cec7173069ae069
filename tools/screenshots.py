"""Write pictures of every page, light and dark, wide and narrow, to var/screenshots/.

It starts a server of its own with a database of its own. Arguments: names of pages; none = all;
`--to FOLDER` writes there. `--docs` instead writes the pictures of the README, to docs/.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "var" / "screenshots"
DOCS = ROOT / "docs"
SHOWN = ("overview", "create-mirror", "mirror-details")
SIZES = {"wide": (1280, 900), "narrow": (390, 844)}
SIGN_IN = "sign-in"


def main(arguments: list[str]) -> None:
    """Take the pictures with a data folder that is thrown away."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--docs", action="store_true")
    parser.add_argument("--to", type=Path, default=TARGET)
    chosen = parser.parse_args(arguments)
    folder = DOCS if chosen.docs else chosen.to
    with tempfile.TemporaryDirectory() as data:
        _prepare(data)
        from playwright.sync_api import sync_playwright  # noqa: PLC0415

        fake_conda = import_module("tests.condatree").FakeConda
        folder.mkdir(parents=True, exist_ok=True)
        with fake_conda() as conda, sync_playwright() as play:
            base, cookie, pages = _serve(conda)
            browser = play.chromium.launch(
                # Chromium refuses to run as root with its sandbox.
                executable_path=shutil.which("chromium"),
                args=["--no-sandbox", "--disable-gpu"],
            )
            names = SHOWN if chosen.docs else chosen.names or pages
            chosen_pages = {name: path for name, path in pages.items() if name in names}
            looks = [("light", "wide")] if chosen.docs else product(("light", "dark"), SIZES)
            for theme, size in looks:
                end = "" if chosen.docs else f".{theme}.{size}"
                files = {folder / f"{name}{end}.png": path for name, path in chosen_pages.items()}
                _take(browser, base, cookie, files=files, theme=theme, size=size, whole=bool(end))
            browser.close()
    sys.stdout.write(f"The pictures are in {folder}.\n")


def _prepare(data: str) -> None:
    sys.path.insert(0, str(ROOT))
    # The browser's event loop runs in this thread; Django would refuse to work in it.
    os.environ.update(
        DATA=data,
        DJANGO_SETTINGS_MODULE="mirrorserver.settings",
        DJANGO_ALLOW_ASYNC_UNSAFE="1",
        UPSTREAM_ALLOW="http://127.0.0.1:*",
    )
    import django  # noqa: PLC0415 - only after the environment is set

    django.setup()
    from django.core.management import call_command  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)


def _serve(conda: Any) -> tuple[str, dict[str, str], dict[str, str]]:
    """A running server's address, the administrator's cookie, and the pages."""
    from django.conf import settings  # noqa: PLC0415
    from django.contrib.staticfiles.handlers import StaticFilesHandler  # noqa: PLC0415
    from django.test import Client  # noqa: PLC0415
    from django.test.testcases import LiveServerThread  # noqa: PLC0415

    stages = import_module("tests.e2e.stage")
    stage = stages.build(conda)
    server = LiveServerThread("127.0.0.1", StaticFilesHandler, connections_override={})
    server.daemon = True
    server.start()
    server.is_ready.wait()
    client = Client()
    client.force_login(stage.admin)
    name = settings.SESSION_COOKIE_NAME
    base = f"http://127.0.0.1:{server.port}"
    cookie = {"name": name, "value": client.cookies[name].value, "url": base}
    return base, cookie, {**stages.pages(stage), SIGN_IN: "/sign-in/"}


def _take(
    browser: Browser,
    base: str,
    cookie: dict[str, str],
    *,
    files: dict[Path, str],
    theme: Any,
    size: str,
    whole: bool,
) -> None:
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
    page = context.new_page()
    for path, address in files.items():
        context.clear_cookies()
        if not path.name.startswith(SIGN_IN):
            context.add_cookies([cookie])  # type: ignore[list-item]
        page.goto(base + address)
        page.screenshot(path=path, full_page=whole)
    context.close()


if __name__ == "__main__":
    main(sys.argv[1:])
