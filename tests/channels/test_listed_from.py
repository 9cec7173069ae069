from __future__ import annotations

import pytest
from django.db.models import TextField
from django.db.models.functions import Cast

from channels.listed_from import ListedFrom, entry_of
from channels.models import Package
from tests.channels import factory

SOURCES = [ListedFrom(3, 1, ["a-1.conda"]), ListedFrom(4, 2, None)]


def test_a_file_belongs_to_the_entry_that_names_it_and_else_to_the_rest() -> None:
    assert entry_of(SOURCES, "a-1.conda") == SOURCES[0]
    assert entry_of(SOURCES, "b-1.conda") == SOURCES[1]
    assert entry_of(SOURCES[:1], "b-1.conda") is None
    assert entry_of([], "a-1.conda") is None


@pytest.mark.django_db
def test_rows_and_lists_of_values_have_the_entries_that_were_saved() -> None:
    row = Package(channel=factory.channel("main"), name="a", section="noarch", family="conda")
    row.added_in, row.sources = 1, SOURCES
    row.save()
    row.refresh_from_db()
    assert row.sources == SOURCES
    row.sources = SOURCES[1:]
    Package.objects.bulk_update([row], ["sources"])
    assert list(Package.objects.values_list("sources", flat=True)) == [SOURCES[1:]]
    text = Package.objects.annotate(text=Cast("sources", TextField())).get().text
    assert text.replace(" ", "") == "[[4,2,null]]"
