"""Write pictures of every page (light, dark, narrow) to var/screenshots/.

It starts a server of its own with a database of its own. Arguments: names of pages; none = all.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "var" / "screenshots"
SIZES = {"wide": (1280, 900), "narrow": (390, 844)}


def main(names: list[str]) -> None:
    """Run in a data folder that is thrown away."""
    sys.path.insert(0, str(ROOT))
    with tempfile.TemporaryDirectory() as data:
        os.environ.update(
            DATA=data,
            DJANGO_SETTINGS_MODULE="mirrorserver.settings",
            DJANGO_ALLOW_ASYNC_UNSAFE="1",
            UPSTREAM_ALLOW="http://127.0.0.1:*",
        )
        import django  # noqa: PLC0415 - only after the environment is set
        from django.conf import settings  # noqa: PLC0415

        django.setup()
        from django.core.management import call_command  # noqa: PLC0415

        settings.DATA = Path(data)
        call_command("migrate", verbosity=0)
        _take(names)


def _take(names: list[str]) -> None:
    from django.conf import settings  # noqa: PLC0415
    from django.contrib.staticfiles.handlers import StaticFilesHandler  # noqa: PLC0415
    from django.core.handlers.wsgi import WSGIHandler  # noqa: PLC0415
    from django.test import Client  # noqa: PLC0415
    from django.test.testcases import LiveServerThread  # noqa: PLC0415
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    from tests.condatree import FakeConda  # noqa: PLC0415
    from tests.e2e import stage as stages  # noqa: PLC0415

    del WSGIHandler
    server = LiveServerThread("127.0.0.1", StaticFilesHandler, connections_override={})
    server.daemon = True
    with FakeConda() as conda:
        stage = stages.build(conda)
        pages = {**stages.pages(stage), "sign-in": "/sign-in/"}
        server.start()
        server.is_ready.wait()
        base = f"http://127.0.0.1:{server.port}"
        client = Client()
        client.force_login(stage.admin)
        cookie = {"name": settings.SESSION_COOKIE_NAME, "url": base}
        cookie["value"] = client.cookies[settings.SESSION_COOKIE_NAME].value
        TARGET.mkdir(parents=True, exist_ok=True)
        with sync_playwright() as play:
            browser = play.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
            )
            for theme in ("light", "dark"):
                for size, (width, height) in SIZES.items():
                    context = browser.new_context(
                        viewport={"width": width, "height": height}, color_scheme=theme
                    )
                    page = context.new_page()
                    for name, path in pages.items():
                        if names and name not in names:
                            continue
                        if name != "sign-in":
                            context.add_cookies([cookie])
                        else:
                            context.clear_cookies()
                        page.goto(base + path)
                        page.screenshot(path=TARGET / f"{name}.{theme}.{size}.png", full_page=True)
                    context.close()
            browser.close()
        server.terminate()
    print(f"Pictures are in {TARGET}.")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
