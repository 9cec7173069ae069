"""How old data may be before people are told."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from advisories import staleness
from advisories.models import Feed, Source

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def unconfigured(settings: Any) -> None:
    settings.OSV_URL = settings.NVD_URL = settings.CONDA_MAPPING_URL = None


def feed(source: Source, days: float | None, url: str = "", error: str = "") -> None:
    now = timezone.now()
    succeeded = None if days is None else now - dt.timedelta(days=days)
    Feed.objects.create(source=source, url=url, tried_at=now, succeeded_at=succeeded, error=error)


def stale() -> list[str]:
    return [str(source) for source in staleness.stale_sources()]


def test_what_nobody_has_or_configured_is_not_stale() -> None:
    assert stale() == []
    assert not staleness.has_data()


def test_uploads_age() -> None:
    feed(Source.OSV, 6)
    feed(Source.MAPPING, 8.5)
    assert stale() == ["conda name mapping data is 8 days old."]


def test_a_bundle_is_data_of_every_kind() -> None:
    feed(Source.BUNDLE, 30)
    assert len(stale()) == 3
    feed(Source.OSV, 1)
    assert [text.split()[0] for text in stale()] == ["NVD", "conda"]


def test_of_configured_files_the_oldest_counts(settings: Any) -> None:
    settings.OSV_URL = "https://osv.example.org"
    assert stale() == [], "the first refresh has yet to come"
    feed(Source.OSV, 1, "https://osv.example.org/PyPI/all.zip")
    feed(Source.OSV, None, "https://osv.example.org/CRAN/all.zip", "It answers 503.")
    assert stale() == ["OSV data never came. The last attempt failed: It answers 503."]
    feed(Source.BUNDLE, 2)
    assert stale() == [], "a bundle brought it meanwhile"


def test_whole_years_of_nvd_may_be_a_week_old(settings: Any) -> None:
    settings.NVD_URL = "https://nvd.example.org"
    feed(Source.NVD, 7.1, "https://nvd.example.org/nvdcve-2.0-2024.json.gz")
    feed(Source.NVD, 0, "https://nvd.example.org/nvdcve-2.0-modified.json.gz")
    assert stale() == []


def test_the_limit_is_the_operators(settings: Any) -> None:
    settings.STALE_FEED_DAYS = 2
    feed(Source.OSV, 3)
    assert stale() == ["OSV data is 3 days old."]
