"""Attack: requests of another site's page, messages and log lines that nobody here wrote."""

from __future__ import annotations

import contextlib
import inspect
import json
import logging
import pickle
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from kombu import Queue
from kombu.exceptions import ContentDisallowed

from accounts.models import SecurityEvent
from mirrors.models import Run
from mirrorserver.celery import app
from mirrorserver.log_redaction import RedactionFilter
from tests import scene
from tests.web.client import PASSWORD, person
from workers import tasks

pytestmark = pytest.mark.django_db(transaction=True)

TOKEN = json.dumps({"name": "t"})


def browser() -> tuple[Client, str]:
    """A signed-in browser, and the CSRF token of a page it has seen."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(person("admin", "admin"))
    client.get("/profile/")
    return client, client.cookies["csrftoken"].value


def test_A07_the_api_takes_from_a_browser_what_no_foreign_form_can_send() -> None:
    client, csrf = browser()
    path, headers = "/api/account/tokens", {"X-CSRFToken": csrf}
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        refused = client.post(path, TOKEN, content_type=kind, headers=headers)
        assert refused.status_code == 415
        assert "application/json" in refused.json()["message"]
        assert client.post(path, TOKEN, content_type=kind).status_code == 403
    taken = client.post(path, TOKEN, content_type="application/json", headers=headers)
    assert taken.status_code == 200


def test_A07_nobody_is_signed_in_by_another_sites_page() -> None:
    person("admin", "admin")
    form = {"username": "admin", "password": PASSWORD}
    client = Client(enforce_csrf_checks=True)
    assert client.post("/sign-in/", form).status_code == 403
    assert client.get("/profile/").status_code == 302
    # The API's sign-in gives a token to whoever reads the answer, and the browser nothing.
    answer = client.post("/api/auth/login", json.dumps(form), content_type="application/json")
    assert answer.status_code == 200
    assert not answer.cookies
    assert client.get("/profile/").status_code == 302


def test_A07_no_page_is_shown_in_another_sites_frame() -> None:
    client, _ = browser()
    for path in ("/", "/sign-in/", "/profile/", "/channels/", "/nowhere/", "/api/docs"):
        answer = client.get(path)
        assert answer.headers["X-Frame-Options"] == "DENY", path
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"], path


def test_A07_cookies_stay_behind_when_another_site_sends_the_request() -> None:
    person("admin", "admin")
    client = Client()
    client.post("/sign-in/", {"username": "admin", "password": PASSWORD})
    session = client.cookies["sessionid"]
    assert (session["samesite"], session["httponly"]) == ("Lax", True)


class Trap:
    """Unpickled, it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.path,)


def test_A12_a_pickled_message_is_refused_and_not_read(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    queue = Queue("a12", routing_key="a12")
    refused: list[Exception] = []
    with app.connection_for_write() as connection, connection.channel() as channel:
        consumer = app.amqp.TaskConsumer(
            channel,
            queues=[queue],
            on_decode_error=lambda message, error: (refused.append(error), message.ack()),
        )
        with consumer:
            app.amqp.producer_pool.acquire(block=True).publish(
                pickle.dumps(Trap(sprung)),
                content_type="application/x-python-serialize",
                content_encoding="binary",
                exchange="",
                routing_key="a12",
                declare=[queue],
            )
            connection.drain_events(timeout=20)
    assert [type(error) for error in refused] == [ContentDisallowed]
    assert not sprung.exists()


def test_A12_a_message_that_names_no_row_changes_nothing() -> None:
    channel = scene.channel()
    before = channel.current
    for task in (tasks.execute_run, tasks.publish_channel, tasks.make_preview, tasks.start_slot):
        for pk in (0, -1, 10**18, "1 OR 1=1", None, {"pk": 1}, ["a"]):
            with contextlib.suppress(TypeError, ValueError):
                task(pk)
    channel.refresh_from_db()
    assert channel.current == before
    assert not Run.objects.exists()


def test_A12_tasks_take_ids_and_nothing_else() -> None:
    assert app.conf.accept_content == ["json"]
    ours = [task for name, task in app.tasks.items() if name.startswith("workers.tasks.")]
    assert len(ours) >= 6
    assert {name for task in ours for name in inspect.signature(task.run).parameters} == {"pk"}


LINES = ("two\nlines", "two\r\nlines", "red\x1b[31m", "next\x85line", "\u2028line", "\u202eturned")


@pytest.mark.parametrize("text", LINES)
def test_A13_a_strange_text_writes_one_line_of_the_log(text: str) -> None:
    record = logging.LogRecord("mirrors", 20, "", 1, "run of %s", (text,), None)
    assert RedactionFilter().filter(record)
    said = record.getMessage()
    assert said.startswith("run of ")
    assert len(said.splitlines()) == 1
    assert said.isprintable()


def test_A13_a_forged_name_is_one_entry_of_the_audit_log() -> None:
    person("admin", "admin")
    name = "ann\n2026-01-01 admin signed in"
    Client().post("/sign-in/", {"username": name, "password": "wrong"})
    event = SecurityEvent.objects.latest("pk")
    assert "\n" not in str(event)
    assert SecurityEvent.objects.count() == 1
