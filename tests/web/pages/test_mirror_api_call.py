"""The form as a call of the API."""

from __future__ import annotations

import html
import json
import shlex

import pytest
from django.conf import settings

from channels.models import Channel
from mirrors.models import Mirror
from tests.web.pages.mirror_pages import SOURCE, TAB, browser, text

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("allowed")]


def test_the_form_is_shown_as_a_call_of_the_api_that_does_the_same(channel: Channel) -> None:
    client = browser()
    sent = {
        "mirror_mode": "passive", "mirror_name": "it's", "source_root": SOURCE,
        "mirror_type": "conda", "frequency": "0 0 * * *", "exclude_specs": "numpy <2\nq*",
        "cve_score_threshold": "0",
    }  # fmt: skip
    page = html.unescape(text(client.post(f"{TAB}call/", sent)))
    command = page.split("<code>")[-1].split("</code>")[0]
    words = shlex.split(command)
    assert words[:4] == ["curl", "-X", "POST", f"{settings.PUBLIC_URL}/api/channels/main/mirrors"]
    body = json.loads(words[words.index("-d") + 1])
    assert body["filters"] == {"exclude_specs": ["numpy <2", "q*"], "cve_score_threshold": 0}
    assert not Mirror.objects.exists()
    client.post("/api/channels/main/mirrors", body, content_type="application/json")
    mirror = Mirror.objects.get(name="it's")
    assert mirror.filter.terms["exclude_specs"] == ["numpy <2", "q*"]
    edited = html.unescape(text(client.post(f"{TAB}call/", {**sent, "mirror": mirror.pk})))
    assert f"curl -X PUT {settings.PUBLIC_URL}/api/channels/main/mirrors/{mirror.pk} " in edited
    assert "mirror_mode" not in edited
    assert "Enter the URL of the source." in text(client.post(f"{TAB}call/", {}))
