"""Attacks: read or publish a private channel of this server by mirroring it."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.exceptions import ValidationError
from django.test import Client as Browser

from accounts import tokens
from accounts.caller import Caller
from accounts.first_start import ROLES
from accounts.models import Role, Token, User
from channels import access, readership
from channels import services as channel_manage
from channels.models import Channel, SourceLink
from ecosystems.errors import BadIndex
from history.models import Event
from mirrors import services
from mirrors.models import Mirror, Preview
from runs import accept_snapshots, preview
from tests import scene
from tests.channels import factory
from tests.web.client import Api
from tests.wsgi import Client, application
from workers import retention

pytestmark = pytest.mark.django_db(transaction=True)

FILE = factory.made("whispered-1.0-0.conda", b"whispered" * 100)


@pytest.fixture(autouse=True)
def world(settings: Any) -> None:
    """The administrator's private channel `vault`; amy, an author, has a channel of her own."""
    settings.UPSTREAM_ALLOW = ("http://127.0.0.1:9",)
    settings.PUBLIC_URL = "http://testserver"
    for name, attributes in ROLES.items():
        Role.objects.get_or_create(name=name, defaults={"attributes": attributes})
    vault = channel_manage.create("vault", scene.admin(), privacy="private")
    factory.publish(vault, {"noarch": [FILE]})
    channel_manage.create("amys", amy(), privacy="authenticated")


def amy() -> User:
    found = User.objects.filter(username="amy").first()
    return found or factory.user("amy", role="author")


def at(name: str) -> Channel:
    found: Channel = Channel.objects.at(name).select_related("parent", "owner").get()
    return found


def source(name: str = "vault") -> str:
    return f"{django_settings.PUBLIC_URL}/api/repo/{name}"


def body(**more: Any) -> dict[str, Any]:
    return {"mirror_name": "m", "source_root": source(), **more}


def admins_mirror(channel: Channel, **more: Any) -> Mirror:
    """A mirror that the administrator owns, in a channel that amy may change."""
    made = {"source_root": "http://127.0.0.1:9/channel", **more}
    return services.create(channel, body(**made), owner=scene.admin())


def limited(user: User, *channels: str, level: str = "manage", scopes: Any = ()) -> str:
    resources = [{"channel": name, "level": level} for name in channels]
    return tokens.issue(user, "limited", expires=None, resources=resources, scopes=list(scopes))[1]


def callers() -> dict[str, Api]:
    """Who may change mirrors in `amys`, and may not read `vault`."""
    admin = scene.admin()
    return {
        "an author": Api(amy()),
        "a token for another channel": Api(X_Auth=limited(admin, "amys")),
        "a token without a reading scope": Api(
            X_Auth=limited(admin, scopes=["channel.mirror:edit"])
        ),
    }


NAMES = ("an author", "a token for another channel", "a token without a reading scope")


@pytest.mark.parametrize("name", NAMES)
def test_a_private_channel_is_no_source_for_whoever_may_not_read_it(name: str) -> None:
    api = callers()[name]
    status, answer = api.post("/channels/amys/mirrors", body())
    assert (status, "There is no channel vault here" in str(answer)) == (422, True), answer
    mirror = admins_mirror(at("amys"))
    where = f"/channels/amys/mirrors/{mirror.pk}"
    assert api.put(where, {"source_root": source()})[0] == 422
    mirror.refresh_from_db()
    assert mirror.upstream.channel is None


@pytest.mark.parametrize("name", NAMES)
def test_neither_preview_nor_connection_test_tells_its_names(name: str) -> None:
    api = callers()[name]
    mirror = admins_mirror(at("amys"))
    for more in ({}, {"mirror": str(mirror.pk)}):
        status, answer = api.post("/mirrors/preview", body(channel="amys", **more))
        assert status == 422, answer
    assert not Preview.objects.exists()
    status, answer = api.post("/mirrors/test", {"source_root": source()})
    assert status in (403, 422), answer
    assert "whispered" not in str(answer)


@pytest.mark.parametrize("name", NAMES)
def test_a_mirror_that_reads_it_is_not_changed_or_run_by_whoever_may_not(name: str) -> None:
    channel_manage.edit(at("amys"), {"privacy": "private"}, actor="admin")
    mirror = admins_mirror(at("amys"), source_root=source())
    api = callers()[name]
    where = f"/channels/amys/mirrors/{mirror.pk}"
    assert api.put(where, {"filters": {}})[0] == 422
    for verb in ("run", "restart", "release"):
        assert api.post(f"{where}/{verb}")[0] == 403, verb
    assert not mirror.runs.exists()


def test_pages_ask_the_same_as_the_api() -> None:
    channel_manage.edit(at("amys"), {"privacy": "private"}, actor="admin")
    mirror = admins_mirror(at("amys"), source_root=source())
    browser = Browser()
    browser.force_login(amy())
    where = f"/channels/amys/mirrors/{mirror.pk}"
    for verb in ("restart", "release", "retry"):
        assert browser.post(f"{where}/{verb}/").status_code == 403, verb
    done = browser.post(f"/channels/amys/mirrors/bulk/?do=run&mirror={mirror.pk}")
    assert "may not read" in done.content.decode()
    form = {
        "source_root": source(),
        "mirror_type": "conda",
        "mirror_mode": "passive",
        "mirror_name": "n",
        "frequency": "0 0 1 * *",
        "cron_timezone": "UTC",
    }
    for part in ("test", "preview"):
        answer = browser.post(f"/channels/amys/mirrors/{part}/", form).content.decode()
        assert "There is no channel vault here" in answer, part
        assert "whispered" not in answer
    assert not mirror.runs.exists()
    assert not Preview.objects.exists()


def test_a_preview_that_was_begun_is_worked_out_and_shown_only_while_the_source_allows_it() -> None:
    channel_manage.edit(at("vault"), {"privacy": "authenticated"}, actor="admin")
    row = preview.begin(at("amys"), body(), asker=Caller(amy()))
    channel_manage.edit(at("vault"), {"privacy": "private"}, actor="admin")
    preview.execute(row.pk, interrupted=lambda: False)
    row.refresh_from_db()
    assert (row.state, row.result) == ("failed", {})
    assert Api(amy()).get(f"/mirrors/preview/{row.pk}")[0] == 404
    mine = preview.begin(at("vault"), body(source_root=source("amys")), asker=Caller(scene.admin()))
    assert Api(scene.admin()).get(f"/mirrors/preview/{mine.pk}")[0] == 200
    secret = limited(scene.admin(), "vault")
    assert Api(X_Auth=secret).get(f"/mirrors/preview/{mine.pk}")[0] == 404


def test_a_run_asks_the_owner_again() -> None:
    channel_manage.edit(at("vault"), {"privacy": "authenticated"}, actor="admin")
    mirror = services.create(at("amys"), body(), owner=amy())
    channel_manage.edit(at("vault"), {"privacy": "private"}, actor="admin")
    with pytest.raises(BadIndex, match="amy may not read the channel vault"):
        accept_snapshots.check_source(Mirror.objects.get(pk=mirror.pk))
    Mirror.objects.update(owner=None)
    with pytest.raises(BadIndex, match="may not read the channel vault"):
        accept_snapshots.check_source(Mirror.objects.get(pk=mirror.pk))
    User.objects.filter(username="admin").update(is_active=False)
    Mirror.objects.update(owner=scene.admin())
    with pytest.raises(BadIndex, match="may not read"):
        accept_snapshots.check_source(Mirror.objects.get(pk=mirror.pk))


# Privacy does not launder.


def opened(channel: Channel | None = None, **more: Any) -> Mirror:
    """`vault`, mirrored by the administrator into a channel with more readers."""
    channel = channel or at("amys")
    caller = Caller(scene.admin())
    return services.create(channel, body(**more), owner=caller.user, actor=caller)


def test_a_mirror_for_more_readers_needs_a_word_of_who_manages_the_source() -> None:
    with pytest.raises(ValidationError) as caught:
        opened()
    assert list(caught.value.message_dict) == ["publish_to_more_readers"]
    assert not Mirror.objects.exists()
    assert not SourceLink.objects.exists()
    status, answer = Api(scene.admin()).post("/channels/amys/mirrors", body())
    assert (status, "publish_to_more_readers" in str(answer)) == (422, True)
    status, answer = Api(scene.admin()).post(
        "/channels/amys/mirrors", body(publish_to_more_readers=True)
    )
    assert (status, answer["publish_to_more_readers"]) == (201, True), answer
    assert any("admin allows" in text for text in answer["warnings"]), answer["warnings"]
    assert access.effective_privacy(at("amys")) == "authenticated"


def test_only_who_manages_the_source_can_give_that_word() -> None:
    channel_manage.edit(at("vault"), {"privacy": "authenticated"}, actor="admin")
    open_ = channel_manage.create("open", amy(), privacy="public")
    status, answer = Api(amy()).post(
        f"/channels/{open_.name}/mirrors", body(publish_to_more_readers=True)
    )
    assert (status, "Only who manages the channel vault" in str(answer)) == (422, True), answer
    weak = tokens.issue(
        scene.admin(),
        "weak",
        expires=None,
        resources=[
            {"channel": "open", "level": "manage"},
            {"channel": "vault", "level": "read"},
        ],
    )[1]
    status, _ = Api(X_Auth=weak).post("/channels/open/mirrors", body(publish_to_more_readers=True))
    assert status == 422


def test_the_form_explains_it_and_has_the_box() -> None:
    browser = Browser()
    browser.force_login(scene.admin())
    where = "/channels/amys/mirrors/create/"
    page = browser.get(where).content.decode()
    assert "Publish to more readers" in page
    form = {
        "mirror_mode": "passive",
        "mirror_name": "m",
        "source_root": source(),
        "mirror_type": "conda",
        "frequency": "0 0 1 * *",
        "cron_timezone": "UTC",
    }
    answer = browser.post(where, form)
    assert answer.status_code == 422
    assert "would show it to more readers" in answer.content.decode()
    answer = browser.post(where, {**form, "publish_to_more_readers": "on"})
    assert answer.status_code == 302, answer.content.decode()
    assert SourceLink.objects.get().granted_by == "admin"


def tightened() -> tuple[Channel, Channel]:
    """`vault` was open when `amys` and, behind it, `far` began to mirror it; now it is private."""
    channel_manage.edit(at("vault"), {"privacy": "public"}, actor="admin")
    channel_manage.edit(at("amys"), {"privacy": "public"}, actor="admin")
    services.create(at("amys"), body(), owner=amy())
    far = channel_manage.create("far", scene.admin(), privacy="public")
    channel_manage.create("sub", scene.admin(), parent=far, privacy="public")
    services.create(far, body(mirror_name="n", source_root=source("amys")), owner=scene.admin())
    for name in ("amys", "far"):
        factory.publish(at(name), {"noarch": [FILE]})
    assert access.effective_privacy(at("far")) == "public"
    channel_manage.edit(at("vault"), {"privacy": "private"}, actor="admin")
    return at("amys"), at("far")


@pytest.mark.parametrize("path", ["amys", "far", "far/sub"])
def test_a_source_that_becomes_private_closes_what_mirrors_it(path: str) -> None:
    tightened()
    assert access.effective_privacy(at(path)) == "private"
    reader = factory.user("rita", role="reader")
    assert path not in {one.path for one in access.visible_channels(reader)}
    assert path not in {one.path for one in access.visible_channels(None)}
    index = f"/api/repo/{path}/noarch/repodata.json"
    assert Client(application).get(index).status == 401
    secret = tokens.issue(reader, "t", expires=None)[1]
    assert Client(application).get(index, X_Auth=secret).status == 404


def test_even_its_owner_gets_no_bytes_of_a_source_that_became_private() -> None:
    channel, _ = tightened()
    secret = tokens.issue(amy(), "t", expires=None)[1]
    get = f"/api/repo/amys/noarch/{FILE.filename}"
    assert Client(application).get(get, X_Auth=secret).status == 404
    assert access.can(amy(), channel, "manage"), "she can still delete its mirror"
    admin = tokens.issue(scene.admin(), "t", expires=None)[1]
    assert Client(application).get(get, X_Auth=admin).status == 200


def test_a_word_given_once_can_be_seen_and_taken_back_by_the_sources_owner() -> None:
    opened(publish_to_more_readers=True)
    link = SourceLink.objects.get()
    assert [one.channel.path for one in readership.links_to(at("vault"))] == ["amys"]
    readership.revoke(link, actor="admin")
    assert access.effective_privacy(at("amys")) == "private"


def test_files_come_only_while_the_source_lets_the_mirrors_owner_read_it() -> None:
    channel, _ = tightened()
    vault = at("vault")
    assert not readership.may_pass_on(channel, vault)
    Role.objects.filter(name="author").update(attributes={"channel": "manage", "mirror": "manage"})
    assert readership.may_pass_on(channel, vault)


def test_a_mirror_that_is_deleted_or_moved_opens_nothing_before_its_packages_are_gone(
    settings: Any,
) -> None:
    settings.KEEP_HOURS = 0
    channel, _ = tightened()
    mirror = Mirror.objects.get(name="m")
    revision = channel.revisions.get(number=channel.current)
    revision.inputs = {"mirrors": {str(mirror.pk): {"sections": {"noarch": 987654}}}}
    revision.save()
    services.delete(mirror, actor="admin")
    retention.forget_source_links()
    assert access.effective_privacy(at("amys")) == "private"
    channel.revisions.update(inputs={})
    retention.forget_source_links()
    assert access.effective_privacy(at("amys")) == "public"


def test_a_limited_token_is_no_wider_than_its_resources() -> None:
    secret = limited(scene.admin(), "amys")
    who = Caller(scene.admin(), Token.objects.get(digest=tokens.digest(secret)))
    assert not readership.may_mirror(at("vault"), owner=scene.admin(), actor=who)
    assert readership.may_mirror(at("vault"), owner=scene.admin(), actor=Caller(scene.admin()))


# Who manages a source sees who mirrors it, and takes a permission back.


def test_mirrored_by_is_seen_and_taken_back_with_the_api() -> None:
    opened(publish_to_more_readers=True)
    api = Api(scene.admin())
    status, answer = api.get("/channels/vault/mirrored-by")
    assert (status, answer["total_count"]) == (200, 1), answer
    item = answer["items"][0]
    mirror = Mirror.objects.get()
    assert (item["channel"], str(item["mirror_id"])) == ("amys", str(mirror.pk))
    assert (item["publish_to_more_readers"], item["granted_by"]) == (True, "admin")
    assert item["granted_at"]
    factory.publish(at("amys"), {"noarch": [FILE]})
    index = "/api/repo/amys/noarch/repodata.json"
    secret = tokens.issue(factory.user("rita", role="reader"), "t", expires=None)[1]
    assert Client(application).get(index, X_Auth=secret).status == 200
    address = f"/channels/vault/mirrored-by/{item['id']}"
    assert Api(amy()).delete(address)[0] == 404, "she may not know of the channel"
    assert api.delete(f"/channels/amys/mirrored-by/{item['id']}")[0] == 404, "of another channel"
    assert api.delete(address)[0] == 204
    assert Client(application).get(index, X_Auth=secret).status == 404
    item = api.get("/channels/vault/mirrored-by")[1]["items"][0]
    assert (item["publish_to_more_readers"], item["granted_by"]) == (False, None)
    shown = api.get(f"/channels/amys/mirrors/{mirror.pk}")[1]
    assert shown["publish_to_more_readers"] is False
    assert any("only those who may read it" in text for text in shown["warnings"])
    assert api.delete("/channels/vault/mirrored-by/987654")[0] == 404


def test_mirrored_by_is_seen_and_taken_back_on_the_page() -> None:
    opened(publish_to_more_readers=True)
    link = SourceLink.objects.get()
    browser = Browser()
    browser.force_login(scene.admin())
    page = browser.get("/channels/vault/settings/").content.decode()
    assert "Mirrored by" in page
    assert "published to more readers, allowed by admin" in page
    address = f"/channels/vault/settings/mirrored-by/{link.pk}/"
    assert address in page
    question = browser.get(address).content.decode()
    assert "Stop publishing vault to the readers of amys?" in question
    assert SourceLink.objects.get().more_readers, "a question changes nothing"
    answer = browser.post(address, follow=True)
    assert "amys now has only the readers of vault." in answer.content.decode()
    assert access.effective_privacy(at("amys")) == "private"
    assert "only those who may read it" in str(Mirror.objects.get().warnings)
    assert address not in browser.get("/channels/vault/settings/").content.decode()
    channel_manage.edit(at("vault"), {"privacy": "public"}, actor="admin")
    reader = Browser()
    reader.force_login(amy())
    page = reader.get("/channels/vault/settings/").content.decode()
    assert "Mirrored by" not in page, "it names channels that a reader may not know of"


# History shows settings of mirrors to those only who may see mirrors.


def _readings(user: User, secret: str) -> dict[str, str]:
    """The history of `open` wherever it stands, as this user or with this token sees it."""
    browser = Browser()
    browser.force_login(user)
    found = {"api": str(Api(X_Auth=secret).get("/channels/open/history?limit=100")[1])}
    for page in ("", "export.csv", "export.json"):
        answer: Any = browser.get(f"/channels/open/history/{page}")
        assert answer.status_code == 200
        body = b"".join(answer.streaming_content) if answer.streaming else answer.content
        found[page or "page"] = body.decode()
    for event in Event.objects.filter(channel_id=at("open").pk):
        page = browser.get(f"/channels/open/history/{event.pk}/").content.decode()
        found[f"event {event.pk}"] = page
    return found


def test_history_and_its_exports_hide_settings_of_mirrors_from_who_may_see_none() -> None:
    channel_manage.create("open", scene.admin(), privacy="public")
    first = "http://127.0.0.1:9/first-source"
    mirror = services.create(
        at("open"),
        body(source_root=first, filters={"exclude_specs": ["hidden-spec"]}),
        owner=scene.admin(),
    )
    services.edit(mirror, {"source_root": "http://127.0.0.1:9/second-source"}, actor="admin")
    ended = scene.run_now(mirror)
    assert ended.error
    opened(at("open"), mirror_name="own", publish_to_more_readers=True)
    secrets = ("first-source", "second-source", "hidden-spec", "127.0.0.1:9", "vault")
    blind = factory.user("blind", role="no mirrors", channel="read")
    readings = _readings(blind, tokens.issue(blind, "t", expires=None)[1])
    assert len(readings) > 5
    for place, text in readings.items():
        assert not [one for one in secrets if one in text], place
    seen = _readings(scene.admin(), tokens.issue(scene.admin(), "t", expires=None)[1])
    everything = "".join(seen[place] for place in ("api", "export.csv", "export.json"))
    assert not [one for one in secrets if one not in everything]
    weak = tokens.issue(scene.admin(), "weak", expires=None, scopes=["channel:view"])[1]
    status, answer = Api(X_Auth=weak).get("/channels/open/history?limit=100")
    assert status == 403 or not [one for one in secrets if one in str(answer)]
