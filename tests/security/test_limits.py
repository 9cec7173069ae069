"""Attack: ask too often. Limits are per account and address, and all processes share them."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import LazySettings
from django.core.cache import cache
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from accounts import limits
from accounts.limits import TooMany
from channels import notify
from mirrors import run_control
from mirrors.models import Preview, Upstream
from runs import preview
from tests import scene
from tests.web.client import Api, person

DAY = 24 * 3600
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def fresh() -> None:
    """No counts of other tests, which Redis keeps."""
    cache.clear()


def refused(call: Any, *args: Any) -> int:
    """How many of ten calls are refused."""
    told = []
    for _ in range(10):
        try:
            call(*args)
        except TooMany as error:
            told.append(error)
    assert all(1 <= error.retry_after <= DAY for error in told)
    return len(told)


def test_who_is_refused_costs_no_further_look(django_assert_num_queries: Any) -> None:
    rate = f"3/{DAY}"
    assert refused(limits.hit_setting_or_raise, "t", "a", rate, "At most {}.") == 7
    with django_assert_num_queries(0):
        assert refused(limits.hit_setting_or_raise, "t", "a", rate, "At most {}.") == 10
    assert refused(limits.hit_setting_or_raise, "t", "b", rate, "At most {}.") == 7
    assert refused(limits.hit_setting_or_raise, "t", "a", "", "At most {}.") == 0


def test_what_is_remembered_of_refusals_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_REMEMBERED", 5)
    for number in range(20):
        refused(limits.hit_setting_or_raise, "t", str(number), f"1/{DAY}", "No.")
    assert len(limits._refused) <= 5


def test_writes_of_an_account_are_429_with_a_time_in_api_and_pages(settings: LazySettings) -> None:
    settings.LIMIT_WRITES = f"2/{DAY}"
    api = Api(person("admin"))
    codes = [api.post("/channels", {"name": f"c{n}"})[0] for n in range(4)]
    assert codes == [201, 201, 429, 429]
    status, told = api.post("/channels", {"name": "d"})
    assert (status, told["error"]["code"]) == (429, "too_many_requests")
    assert "at most 2 in 86,400 seconds for an account" in told["message"]
    assert api.get("/channels")[0] == 200
    other = Api(person("other", role="author"))
    assert other.post("/channels", {"name": "e"})[0] == 201
    client = Client()
    client.force_login(scene.User.objects.get(username="admin"))
    answer = client.post("/create-channel/", {"name": "f"})
    assert answer.status_code == 429
    assert int(answer["Retry-After"]) > 0
    assert "Too many changes at once" in answer.content.decode()
    part = client.post("/create-channel/", {"name": "f"}, headers={"HX-Request": "true"})
    assert (part.status_code, part["Content-Type"]) == (429, "text/plain; charset=utf-8")


def test_writes_without_an_account_count_for_the_address(settings: LazySettings) -> None:
    settings.LIMIT_WRITES = f"2/{DAY}"
    codes = [Client().post("/sign-in/", {}, REMOTE_ADDR="10.0.0.1").status_code for _ in range(3)]
    assert codes[-1] == 429
    assert Client().post("/sign-in/", {}, REMOTE_ADDR="10.0.0.2").status_code != 429


def test_runs_by_hand_are_limited_per_mirror_and_the_schedule_is_not(
    settings: LazySettings,
) -> None:
    settings.LIMIT_RUNS = f"2/{DAY}"
    settings.UPSTREAM_ALLOW = ("https://mirror.example.org",)
    channel = scene.channel()
    first, second = (scene.mirror(channel, f"https://mirror.example.org/{n}") for n in "ab")

    def begin(mirror: Any, cause: str) -> None:
        row = run_control.request_run(mirror, cause=cause, actor="admin")
        type(row).objects.filter(pk=row.pk).update(state="completed", ended_at=timezone.now())

    assert refused(begin, first, "manual") == 8
    assert refused(begin, first, "schedule") == 0
    assert refused(begin, second, "manual") == 8
    api = Api(scene.admin())
    answer = api.client.post(f"/api/channels/main/mirrors/{first.pk}/run", headers=api.headers)
    assert answer.status_code == 429
    assert int(answer["Retry-After"]) > 0


def test_runs_asked_for_with_a_change_count_as_runs_by_hand(settings: LazySettings) -> None:
    settings.LIMIT_RUNS = f"2/{DAY}"
    settings.UPSTREAM_ALLOW = ("https://mirror.example.org",)
    mirror = scene.mirror(scene.channel(), "https://mirror.example.org/a")
    api = Api(scene.admin())

    def change(**body: Any) -> int:
        status, _ = api.put(f"/channels/main/mirrors/{mirror.pk}", body)
        mirror.runs.filter(state="pending").update(state="completed", ended_at=timezone.now())
        return status

    assert [change(run_now=True) for _ in range(4)] == [202, 202, 429, 429]
    assert int(api.last["Retry-After"]) > 0
    assert mirror.runs.count() == 2
    assert change(cron="0 4 * * *") == 202


def test_of_each_user_one_preview_runs_and_a_few_wait(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LIMIT_PREVIEWS = 3
    channel = scene.channel()
    upstream = Upstream.objects.create(kind="conda", url="https://m.example.org", key="k")
    asker = scene.admin()

    def begin() -> Preview:
        return preview.request(channel, upstream=upstream, mode="passive", terms={}, asker=asker)

    rows = [begin() for _ in range(3)]
    with pytest.raises(TooMany, match="3 previews that wait or run"):
        begin()
    assert rows[0].claim(state="running")
    preview.execute(rows[1].pk, interrupted=lambda: False)
    rows[1].refresh_from_db()
    assert rows[1].state == "pending"
    Preview.objects.filter(pk=rows[0].pk).update(state="completed")
    woken: list[int] = []
    monkeypatch.setattr(notify, "preview", woken.append)
    preview.execute(rows[1].pk, interrupted=lambda: False)
    assert woken == [rows[2].pk]
    rows[1].refresh_from_db()
    assert rows[1].state == "failed"
    begin()


def test_a_busy_database_is_503_with_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A true lock: everything else waits for it and goes on."""

    def locked(*_: Any, **__: Any) -> None:
        raise OperationalError("database is locked")

    admin = scene.admin()
    api = Api(admin)
    client = Client(raise_request_exception=False)
    client.force_login(admin)
    monkeypatch.setattr("channels.services.create", locked)
    answer = api.client.post(
        "/api/channels", {"name": "a"}, content_type="application/json", headers=api.headers
    )
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    answer = client.post("/create-channel/", {"name": "a", "privacy": "public"})
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert "busy" in answer.content.decode()
