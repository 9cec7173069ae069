"""Work on a claimed row: however it ends, the row says so, once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db.models import F

from channels.errors import Interrupted, NoSpace, WrongState
from channels.lease import Fenced
from channels.leased_work import Ending, working_on
from channels.models import Publication
from channels.states import JobState
from tests import scene

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def row() -> Publication:
    """A publication that this process has claimed."""
    publication = Publication.objects.create(channel=scene.channel())
    assert publication.claim(state=JobState.RUNNING)
    return publication


def ends(row: Publication) -> tuple[Callable[[Ending], bool], list[Ending]]:
    """An `End` that writes to the row, and what it was called with."""
    endings: list[Ending] = []

    def end(ending: Ending) -> bool:
        endings.append(ending)
        rows = Publication.objects.filter(pk=row.pk, fence=row.fence, state=JobState.RUNNING)
        return bool(rows.update(state=ending.state, error=ending.error))

    return end, endings


@pytest.mark.parametrize(
    ("error", "state", "text"),
    [
        (Interrupted(), JobState.STOPPED, ""),
        (WrongState("frozen meanwhile"), JobState.STOPPED, "frozen meanwhile"),
        (NoSpace("the disk is full"), JobState.FAILED, "the disk is full"),
        (OSError("no such file"), JobState.FAILED, "no such file"),
        (Fenced("another owner"), JobState.STOPPED, ""),
    ],
)
def test_an_error_ends_the_row_and_goes_on(
    row: Publication, error: Exception, state: JobState, text: str
) -> None:
    end, endings = ends(row)
    with pytest.raises(type(error)), working_on(row, end):
        raise error
    row.refresh_from_db()
    assert (row.state, row.error, endings) == (state, text, [Ending(state, text, error)])


def test_an_internal_error_is_told_by_its_id_alone(row: Publication) -> None:
    end, _ = ends(row)
    with pytest.raises(KeyError), working_on(row, end):
        raise KeyError("secret")
    row.refresh_from_db()
    assert row.state == JobState.FAILED
    assert row.error.startswith("Internal error ")
    assert "secret" not in row.error


def test_an_error_goes_no_further_where_nobody_waits_for_it(row: Publication) -> None:
    end, endings = ends(row)
    with working_on(row, end, raises=False):
        raise NoSpace("full")
    assert [ending.error for ending in endings] == ["full"]


def test_whoever_has_lost_the_row_leaves_it_to_its_new_owner(row: Publication) -> None:
    Publication.objects.filter(pk=row.pk).update(fence=F("fence") + 1, owner="another")
    end, _ = ends(row)
    with working_on(row, end):
        row.write(revision=1)
    row.refresh_from_db()
    assert (row.state, row.owner) == (JobState.RUNNING, "another")


def test_work_that_succeeds_writes_its_own_end(row: Publication) -> None:
    end, endings = ends(row)
    with working_on(row, end) as heartbeat:
        heartbeat.check()
        row.write(state=JobState.COMPLETED)
    assert endings == []
    assert not row.lock_path.exists()
