"""What people do with mirrors."""

from __future__ import annotations

import json

import pytest
from django.core.exceptions import ValidationError

from channels import services as channel_manage
from channels.errors import Stale, WrongState
from channels.models import Channel, Generation
from channels.secrets import unseal
from history.models import Event
from mirrors import form_warnings, run_control, services, source_urls
from mirrors.models import Mirror, Upstream
from tests import scene
from tests.web.client import person

pytestmark = pytest.mark.django_db

SOURCE = "https://mirror.example.org/conda/main"


@pytest.fixture(autouse=True)
def allowed(settings: object) -> None:
    settings.UPSTREAM_ALLOW = (  # type: ignore[attr-defined]
        "https://mirror.example.org",
        "https://other.example.org",
        "http://mirror.example.org",
    )
    settings.PUBLIC_URL = "http://127.0.0.1:8000"  # type: ignore[attr-defined]


@pytest.fixture
def channel() -> Channel:
    return scene.channel()


def make(channel: Channel, name: str = "m", source: str = SOURCE, **body: object) -> Mirror:
    return services.create(
        channel, {"mirror_name": name, "source_root": source, **body}, owner=scene.admin()
    )


def fields(caught: pytest.ExceptionInfo[ValidationError]) -> set[str]:
    return set(caught.value.message_dict)


def wanted(channel: Channel) -> int:
    return Channel.objects.values_list("requested_version", flat=True).get(pk=channel.pk)


def test_a_mirror_gets_the_defaults_of_the_form(channel: Channel) -> None:
    mirror = make(channel)
    assert (mirror.mode, mirror.kind, mirror.cron) == ("passive", "conda", "0 0 1 * *")
    assert mirror.cron_timezone == "UTC"
    assert mirror.next_run_at is not None
    assert (mirror.next_run_at.day, mirror.next_run_at.hour) == (1, 0)
    assert not mirror.runs.exists()
    event = Event.objects.get(type="mirror_created")
    assert (event.mirror_id, event.actor) == (mirror.pk, "admin")
    assert event.meta["after"]["source_root"] == SOURCE


def test_run_now_makes_a_pending_run(channel: Channel) -> None:
    assert make(channel, run_now=True).runs.get().state == "pending"


@pytest.mark.parametrize(
    "name", ["", "  ", "a/b", "17", "a\nb", "..", "x" * 201, "6f1ed002-ab5e-4b1c-8a52-7a4c2f1b6a11"]
)
def test_a_mirror_may_not_be_called(channel: Channel, name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        make(channel, name)
    assert fields(caught) == {"mirror_name"}


def test_every_wrong_field_of_a_new_mirror_is_named_at_once(channel: Channel) -> None:
    with pytest.raises(ValidationError) as caught:
        make(
            channel,
            "a/b",
            "ftp://mirror.example.org/x",
            mirror_mode="lazy",
            cron="61 * * * *",
            filters={"exclude_specs": ["good", "bad =="]},
        )
    assert fields(caught) == {
        "mirror_name",
        "source_root",
        "mirror_mode",
        "cron",
        "filters.exclude_specs.1",
    }


def test_every_wrong_field_of_an_edit_is_named_at_once_and_nothing_is_saved(
    channel: Channel,
) -> None:
    mirror = make(channel, filters={"exclude_specs": ["old"]})
    body = {
        "mirror_name": "a/b",
        "mirror_mode": "active",
        "mirror_type": "CRAN",
        "cron": "61 * * * *",
        "filters": {"exclude_specs": ["bad =="]},
    }
    with pytest.raises(ValidationError) as caught:
        services.edit(mirror, body, actor="admin")
    assert fields(caught) == {
        "mirror_name",
        "mirror_mode",
        "mirror_type",
        "cron",
        "filters.exclude_specs.0",
    }
    mirror.refresh_from_db()
    assert mirror.filter.terms["exclude_specs"] == ["old"]


def test_a_mirrors_name_is_unique_on_the_server_and_free_after_deletion(channel: Channel) -> None:
    mirror = make(channel, "approved software")
    other = scene.channel("other")
    with pytest.raises(WrongState, match="exists on this server"):
        make(other, "approved software")
    services.delete(mirror, actor="ann")
    again = make(other, "approved software")
    services.delete(again, actor="ann")
    assert make(channel, "approved software").name == "approved software"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"mirror_mode": "lazy"}, "mirror_mode"),
        ({"mirror_type": "rpm"}, "mirror_type"),
        ({"cron": "0 0 31 2 *"}, "cron"),
        ({"cron": "@daily"}, "cron"),
        ({"cron_timezone": "Mars/Base"}, "cron_timezone"),
        ({"filters": {"only_specs": ["a"], "exclude_specs": ["b"]}}, "filters.only_specs"),
        ({"filters": {"types": ["conda"]}}, "filters.types"),
        ({"filters": {"include_specs": ["a", "=="]}}, "filters.include_specs.1"),
        ({"filters": {"cve_score_threshold": float("nan")}}, "filters.cve_score_threshold"),
        ({"proxy": "https://proxy:1"}, "proxy"),
        ({"proxy": "proxy:3128"}, "proxy"),
        ({"proxy": "http://proxy:99999"}, "proxy"),
        ({"proxy": "http://u:p@proxy:3128/path"}, "proxy"),
        ({"proxy": "http://***@proxy:3128"}, "proxy"),
        ({"source_root": ""}, "source_root"),
        ({"source_root": "conda-forge"}, "source_root"),
        ({"source_root": "ftp://mirror.example.org/x"}, "source_root"),
        ({"source_root": "file:///etc"}, "source_root"),
        ({"source_root": "https://evil.example.net/x"}, "source_root"),
        ({"source_root": "http://169.254.169.254/latest"}, "source_root"),
        ({"source_root": SOURCE + "?a=b"}, "source_root"),
        ({"source_root": "https://mirror.example.org:443.evil/x"}, "source_root"),
        ({"source_root": "https://mirror.example.org\\@evil.example.net/"}, "source_root"),
    ],
)
def test_a_form_that_cannot_be_right_is_refused_with_its_field(
    channel: Channel, body: dict[str, object], field: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        make(channel, **{"source": SOURCE, **body})  # type: ignore[arg-type]
    assert fields(caught) == {field}
    assert not Mirror.objects.exists()
    assert not Event.objects.filter(type="mirror_created").exists()


def test_a_login_in_the_source_is_sealed_and_shown_as_stars(channel: Channel) -> None:
    mirror = make(channel, source="https://ann:s3cret@mirror.example.org/conda/main")
    upstream = mirror.upstream
    assert upstream.url == SOURCE
    assert b"s3cret" not in bytes(upstream.credential)
    assert "s3cret" in unseal(upstream.credential)
    assert source_urls.redacted_url(upstream) == "https://***@mirror.example.org/conda/main"
    assert "s3cret" not in json.dumps(list(Event.objects.values("data", "meta")))
    token = make(channel, "t", "https://mirror.example.org/t/abc-123/main")
    assert token.upstream.url == "https://mirror.example.org/main"
    assert source_urls.redacted_url(token.upstream) == "https://mirror.example.org/t/***/main"


def test_a_login_stays_while_the_host_stays_and_leaves_with_it(channel: Channel) -> None:
    mirror = make(channel, source="https://ann:s3cret@mirror.example.org/conda/main")
    login = unseal(mirror.upstream.credential)
    for source in ("https://***@mirror.example.org/conda/main", "https://mirror.example.org/else"):
        mirror = services.edit(mirror, {"source_root": source}, actor="ann")
        assert unseal(mirror.upstream.credential) == login
    for source in ("https://other.example.org/else", "https://***@other.example.org/else"):
        moved = services.edit(mirror, {"source_root": source}, actor="ann")
        assert not moved.upstream.credential
    kept = make(channel, "k", "https://ann:s3cret@mirror.example.org/conda/main")
    # Another scheme is another place, too: the login must not go over plain HTTP.
    kept = services.edit(kept, {"source_root": "http://mirror.example.org/conda/main"}, actor="ann")
    assert not kept.upstream.credential


def test_mirrors_of_one_source_share_their_upstream_and_other_logins_do_not(
    channel: Channel,
) -> None:
    first, second = make(channel, "a"), make(channel, "b", SOURCE + "/")
    assert first.upstream_id == second.upstream_id
    third = make(channel, "c", "https://ann:s3cret@mirror.example.org/conda/main")
    assert third.upstream_id != first.upstream_id
    assert Upstream.objects.count() == 2


def test_a_proxy_is_sealed_shown_with_stars_and_cleared_by_an_empty_text(channel: Channel) -> None:
    mirror = make(channel, proxy="http://bob:pw@proxy.example.org:3128")
    assert unseal(mirror.upstream.proxy) == "http://bob:pw@proxy.example.org:3128"
    assert source_urls.redacted_proxy(mirror.upstream) == "http://***@proxy.example.org:3128"
    for body in (
        {"proxy": "http://***@proxy.example.org:3128"},
        {"proxy": None},
        {"cron": "0 1 * * *"},
    ):
        mirror = services.edit(mirror, body, actor="ann")
        assert unseal(mirror.upstream.proxy) == "http://bob:pw@proxy.example.org:3128"
    mirror = services.edit(mirror, {"proxy": ""}, actor="ann")
    assert source_urls.redacted_proxy(mirror.upstream) is None
    assert not mirror.skip_guard


def test_an_own_channel_is_a_source_by_its_address(channel: Channel) -> None:
    target = scene.channel("target")
    mirror = make(target, source="http://127.0.0.1:8000/api/repo/main/")
    assert mirror.upstream.channel == channel
    sub = scene.channel("sub", parent=channel)
    deep = make(target, "deep", "http://127.0.0.1:8000/api/repo/main/sub")
    assert deep.upstream.channel == sub


@pytest.mark.parametrize(
    "path", ["/api/repo/nothing", "/api/repo/main/nothing", "/", "/api/repo/", "/admin"]
)
def test_an_address_of_this_server_that_is_no_channel_is_refused(
    channel: Channel, path: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        make(scene.channel("target"), source="http://127.0.0.1:8000" + path)
    assert fields(caught) == {"source_root"}


def test_an_own_channel_must_be_readable_by_the_mirrors_owner(channel: Channel) -> None:
    channel_manage.edit(channel, {"privacy": "private"}, actor="admin")
    anna = person("anna")
    target = channel_manage.create("annas", anna)
    body = {"mirror_name": "m", "source_root": "http://127.0.0.1:8000/api/repo/main"}
    with pytest.raises(ValidationError, match="There is no channel main here"):
        services.create(target, body, owner=anna)


def test_circles_of_own_channels_are_refused_when_saved(channel: Channel) -> None:
    other = scene.channel("other")
    own = "http://127.0.0.1:8000/api/repo/"
    with pytest.raises(ValidationError, match="circle: main from main"):
        make(channel, source=own + "main")
    make(other, "o", own + "main")
    with pytest.raises(ValidationError, match="circle: main from other from main"):
        make(channel, "m", own + "other")
    mirror = make(channel, "m")
    with pytest.raises(ValidationError, match="circle"):
        services.edit(mirror, {"source_root": own + "other"}, actor="ann")


def test_an_edit_keeps_what_it_does_not_name_and_replaces_filters_whole(channel: Channel) -> None:
    mirror = make(channel, filters={"subdirs": ["noarch"], "exclude_specs": ["zlib"]})
    before, generation = wanted(channel), Generation.objects.get(pk=1).number
    mirror = services.edit(mirror, {"filters": {"exclude_specs": ["six"]}}, actor="ann")
    assert mirror.filter.terms["subdirs"] == []
    assert mirror.filter.terms["exclude_specs"] == ["six"]
    assert (mirror.name, mirror.cron, mirror.upstream.url) == ("m", "0 0 1 * *", SOURCE)
    assert wanted(channel) > before
    assert Generation.objects.get(pk=1).number > generation
    event = Event.objects.get(type="mirror_updated")
    assert event.meta["before"]["filters"]["exclude_specs"] == ["zlib"]
    assert event.meta["after"]["filters"]["exclude_specs"] == ["six"]
    assert not mirror.skip_guard


def test_a_frequency_edit_moves_the_next_run_and_another_edit_does_not(channel: Channel) -> None:
    mirror = make(channel)
    due = mirror.next_run_at
    mirror = services.edit(mirror, {"filters": {}}, actor="ann")
    assert mirror.next_run_at == due
    mirror = services.edit(
        mirror, {"cron": "30 4 * * *", "cron_timezone": "Asia/Tokyo"}, actor="ann"
    )
    assert mirror.next_run_at is not None
    assert (mirror.next_run_at.hour, mirror.next_run_at.minute) == (19, 30)


def test_mode_and_type_never_change(channel: Channel) -> None:
    mirror = make(channel)
    with pytest.raises(ValidationError, match="never changes") as caught:
        services.edit(mirror, {"mirror_mode": "active"}, actor="ann")
    assert fields(caught) == {"mirror_mode"}
    with pytest.raises(ValidationError, match="never changes"):
        services.edit(mirror, {"mirror_type": "CRAN"}, actor="ann")
    services.edit(mirror, {"mirror_mode": "passive", "mirror_type": "conda"}, actor="ann")


def test_a_changed_source_skips_the_guard_once_and_drops_the_hold(channel: Channel) -> None:
    mirror = make(channel)
    Mirror.objects.update(held={"noarch": {"snapshot": None, "reason": "It is empty."}})
    mirror = services.edit(mirror, {"source_root": SOURCE}, actor="ann")
    assert mirror.held
    mirror = services.edit(mirror, {"source_root": SOURCE + "2"}, actor="ann")
    assert mirror.skip_guard
    assert mirror.held == {}


def test_run_now_during_a_run_asks_for_one_more(channel: Channel) -> None:
    mirror = make(channel, run_now=True)
    mirror = services.edit(mirror, {"run_now": True}, actor="ann")
    assert mirror.run_again
    assert mirror.runs.count() == 1


def test_an_edit_of_an_older_version_is_refused(channel: Channel) -> None:
    mirror = make(channel)
    services.edit(mirror, {"cron": "0 1 * * *"}, actor="ann", expected=1)
    with pytest.raises(Stale):
        services.edit(mirror, {"cron": "0 2 * * *"}, actor="bob", expected=1)


def test_deleting_a_mirror_stops_its_run_and_takes_its_packages(channel: Channel) -> None:
    mirror = make(channel, run_now=True)
    before = wanted(channel)
    services.delete(mirror, actor="ann")
    mirror.refresh_from_db()
    assert mirror.deleted_at
    assert mirror.next_run_at is None
    assert mirror.runs.get().state == "stopped"
    assert wanted(channel) > before
    event = Event.objects.get(type="mirror_deleted")
    assert event.data["mirror"] == "m"
    with pytest.raises(WrongState, match="deleted"):
        services.edit(mirror, {"cron": "0 1 * * *"}, actor="ann")
    with pytest.raises(WrongState):
        run_control.request_run(mirror, cause="manual", actor="ann")


def test_deleting_a_channel_deletes_its_mirrors(channel: Channel) -> None:
    mirror = make(channel, run_now=True)
    services.delete_channel(channel, actor="ann")
    mirror.refresh_from_db()
    assert mirror.deleted_at
    assert not Channel.objects.filter(deleted_at=None).exists()


def test_a_form_that_will_disappoint_is_saved_with_a_warning(channel: Channel) -> None:
    mirror = make(channel, filters={"subdirs": ["linux-64"]}, cron="0 * * * *")
    assert len(mirror.warnings) == 2
    assert "noarch" in mirror.warnings[0]
    assert "more often than daily" in mirror.warnings[1]
    channel_manage.edit(channel, {"filters": {"types": ["cran"]}}, actor="ann")
    channel.refresh_from_db()
    form_warnings.update_for_channel(channel)
    mirror.refresh_from_db()
    assert "allows only the types CRAN" in mirror.warnings[0]


def test_a_hundred_thousand_specs_in_one_body_are_fine(channel: Channel) -> None:
    specs = [f"package-{number}" for number in range(100_000)]
    mirror = make(channel, filters={"only_specs": specs})
    assert len(mirror.filter.terms["only_specs"]) == 100_000
    told = Event.objects.get(type="mirror_created").meta["after"]["filters"]["only_specs"]
    assert (len(told), told[-1]) == (101, "and 99,900 more")
