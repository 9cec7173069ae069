"""What tests of the pages about mirrors share: a browser, the form, the addresses."""

from __future__ import annotations

from typing import Any

from django.test import Client

from tests.web.client import person

SOURCE = "https://mirror.example.org/conda/main"
TAB = "/channels/main/mirrors/"


def browser(name: str = "admin", role: str = "author") -> Client:
    """A signed-in browser."""
    client = Client()
    client.force_login(person(name, role))
    return client


def text(response: Any, *, status: int = 200) -> str:
    """The page, once its status is as expected."""
    assert response.status_code == status, response.content.decode()[:2000]
    return str(response.content.decode())


def form(**fields: Any) -> dict[str, Any]:
    """The Create mirror form as a browser sends it when little is filled in."""
    return {
        "mirror_mode": "passive",
        "mirror_name": "m",
        "source_root": SOURCE,
        "proxy": "",
        "mirror_type": "conda",
        "subdirs": ["noarch"],
        "frequency": "0 0 1 * *",
        "cron": "",
        "cron_timezone": "UTC",
        # A browser sends the ticks that the form begins with.
        "exclude_malware": "on",
        **fields,
    }
