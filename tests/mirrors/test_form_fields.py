"""What the fields of a mirror's form may hold, and which field an error names."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from channels.models import Channel
from history.models import Event
from mirrors import services
from mirrors.models import Mirror
from tests.mirrors.mirror_forms import SOURCE, make_mirror, wrong_fields

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("allowed_upstreams")]


@pytest.mark.parametrize(
    "name", ["", "  ", "a/b", "17", "a\nb", "..", "x" * 201, "6f1ed002-ab5e-4b1c-8a52-7a4c2f1b6a11"]
)
def test_a_mirror_may_not_be_called(channel: Channel, name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        make_mirror(channel, name)
    assert wrong_fields(caught) == {"mirror_name"}


def test_every_wrong_field_of_a_new_mirror_is_named_at_once(channel: Channel) -> None:
    with pytest.raises(ValidationError) as caught:
        make_mirror(
            channel,
            "a/b",
            "ftp://mirror.example.org/x",
            mirror_mode="lazy",
            cron="61 * * * *",
            filters={"exclude_specs": ["good", "bad =="]},
        )
    assert wrong_fields(caught) == {
        "mirror_name",
        "source_root",
        "mirror_mode",
        "cron",
        "filters.exclude_specs.1",
    }


def test_every_wrong_field_of_an_edit_is_named_at_once_and_nothing_is_saved(
    channel: Channel,
) -> None:
    mirror = make_mirror(channel, filters={"exclude_specs": ["old"]})
    body = {
        "mirror_name": "a/b",
        "mirror_mode": "active",
        "mirror_type": "CRAN",
        "cron": "61 * * * *",
        "filters": {"exclude_specs": ["bad =="]},
    }
    with pytest.raises(ValidationError) as caught:
        services.edit(mirror, body, actor="admin")
    assert wrong_fields(caught) == {
        "mirror_name",
        "mirror_mode",
        "mirror_type",
        "cron",
        "filters.exclude_specs.0",
    }
    mirror.refresh_from_db()
    assert mirror.filter.terms["exclude_specs"] == ["old"]


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
        make_mirror(channel, **{"source": SOURCE, **body})  # type: ignore[arg-type]
    assert wrong_fields(caught) == {field}
    assert not Mirror.objects.exists()
    assert not Event.objects.filter(type="mirror_created").exists()


def test_a_frequency_edit_moves_the_next_run_and_another_edit_does_not(channel: Channel) -> None:
    mirror = make_mirror(channel)
    due = mirror.next_run_at
    mirror = services.edit(mirror, {"filters": {}}, actor="ann")
    assert mirror.next_run_at == due
    mirror = services.edit(
        mirror, {"cron": "30 4 * * *", "cron_timezone": "Asia/Tokyo"}, actor="ann"
    )
    assert mirror.next_run_at is not None
    assert (mirror.next_run_at.hour, mirror.next_run_at.minute) == (19, 30)


def test_mode_and_type_never_change(channel: Channel) -> None:
    mirror = make_mirror(channel)
    with pytest.raises(ValidationError, match="never changes") as caught:
        services.edit(mirror, {"mirror_mode": "active"}, actor="ann")
    assert wrong_fields(caught) == {"mirror_mode"}
    with pytest.raises(ValidationError, match="never changes"):
        services.edit(mirror, {"mirror_type": "CRAN"}, actor="ann")
    services.edit(mirror, {"mirror_mode": "passive", "mirror_type": "conda"}, actor="ann")
