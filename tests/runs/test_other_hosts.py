"""N08: an index counts only from its own host, in every ecosystem."""

from __future__ import annotations

from typing import Any

import pytest

from mirrors import warnings
from mirrors.models import Snapshot
from tests import scene
from tests.condatree import FakeConda
from tests.crantree import FakeCran
from tests.rogue import redirecting
from tests.simpletree import FakeSimple
from tests.upstream import FakeUpstream

pytestmark = pytest.mark.django_db(transaction=True)

INDEXES = {
    "conda": ("repodata.json.zst", "repodata.json.bz2", "repodata.json"),
    "CRAN": ("PACKAGES.gz", "PACKAGES", "PACKAGES.rds"),
}


def upstream(kind: str) -> tuple[FakeUpstream, str, list[str]]:
    """A server with one package, its address as a source, and the paths of its index."""
    if kind == "conda":
        conda = FakeConda()
        conda.add("noarch", "secret", "1.0")
        conda.publish()
        return conda, conda.channel, [conda.path("noarch", name) for name in INDEXES[kind]]
    if kind == "CRAN":
        cran = FakeCran()
        cran.add("secret", "1.0")
        cran.publish()
        return cran, cran.repository, [cran.path(name) for name in INDEXES[kind]]
    simple = FakeSimple()
    simple.add_wheel("secret", "1.0")
    simple.publish()
    return simple, simple.index, [simple.root, simple.page("secret")]


@pytest.mark.parametrize("kind", ["conda", "CRAN", "python_simple"])
def test_N08_a_strangers_index_never_takes_the_place_of_ones_own(kind: str, settings: Any) -> None:
    home, source, paths = upstream(kind)
    stranger, _, _ = upstream(kind)
    with home, stranger:
        settings.UPSTREAM_ALLOW = (home.url, stranger.url)
        mirror = scene.mirror(
            scene.channel(), source, mirror_type=kind, mirror_mode="active", filters={}
        )
        assert scene.run_now(mirror).state == "completed"
        before = Snapshot.objects.count()
        for path in paths:
            home.set(path, b"changed")
            home.behave(path, redirecting(f"{stranger.url}{path}"))
        run = scene.run_now(mirror)
        assert run.state == "failed"
        assert home.url in run.error
        assert stranger.url in run.error
        assert stranger.count() == 0
        assert Snapshot.objects.count() == before


def test_N08_one_page_that_leads_elsewhere_stays_as_it_was_and_is_told(settings: Any) -> None:
    with FakeSimple() as home, FakeSimple() as stranger:
        settings.UPSTREAM_ALLOW = (home.url, stranger.url)
        for name in ("secret", "other"):
            home.add_wheel(name, "1.0")
            stranger.add_wheel(name, "9.0")
        home.publish()
        stranger.publish()
        mirror = scene.mirror(
            scene.channel(),
            home.index,
            mirror_type="python_simple",
            mirror_mode="active",
            filters={"projects": ["secret", "other"]},
        )
        scene.run_now(mirror)
        home.behave(home.page("secret"), redirecting(f"{stranger.index}secret/"))
        run = scene.run_now(mirror)
        assert (run.state, run.counts["listed"]) == ("completed", 2)
        assert stranger.count() == 0
        (text,) = warnings.of(mirror)
        assert home.url in text
        assert stranger.url in text
