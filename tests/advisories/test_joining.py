"""Records that share an id, put together as a pure matter."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisories.formats.scores import Score, ScoreVersion
from advisories.matching.joining import Summary, best_name, components, merged


def test_entries_that_share_a_key_through_others_are_one_component() -> None:
    assert components([["a", "b"], ["c"], ["d", "c"], ["b", "d"], []]) == [[0, 1, 2, 3], [4]]
    assert components([["a"], ["b"]]) == [[0], [1]]


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=3), max_size=8))
def test_components_are_a_partition_in_which_no_key_is_shared(keys: list[list[str]]) -> None:
    found = components(keys)
    assert sorted(place for places in found for place in places) == list(range(len(keys)))
    texts = [{text for place in places for text in keys[place]} for places in found]
    assert sum(map(len, texts)) == len(set().union(*texts)) if texts else True


@pytest.mark.parametrize(
    ("ids", "name"),
    [
        (["PYSEC-2021-1", "GHSA-a", "CVE-2021-9"], "CVE-2021-9"),
        (["CVE-2021-10", "CVE-2021-9"], "CVE-2021-9"),
        (["MAL-1", "RSEC-2"], "RSEC-2"),
        (["ORG-7"], "ORG-7"),
    ],
)
def test_a_vulnerability_is_called_by_its_best_id(ids: list[str], name: str) -> None:
    assert best_name(ids) == name


def summary(**fields: object) -> Summary:
    plain = {
        "name": "CVE-1",
        "score": None,
        "malware": False,
        "withdrawn": False,
        "modified": dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
        "published": None,
        "text": "",
    }
    return Summary(**{**plain, **fields})  # type: ignore[arg-type]


HIGH, LOW = Score(9.0, ScoreVersion.V3_1), Score(2.0, ScoreVersion.V3_1)
SUMMARIES = st.builds(
    summary,
    name=st.sampled_from(["CVE-1", "CVE-2", "GHSA-1"]),
    score=st.sampled_from([None, HIGH, LOW, Score(3.0, ScoreVersion.V4_0)]),
    malware=st.booleans(),
    withdrawn=st.booleans(),
    modified=st.sampled_from([dt.datetime(2024, n, 1, tzinfo=dt.UTC) for n in (1, 2, 3)]),
)


def test_what_is_withdrawn_says_nothing_beside_what_is_not() -> None:
    live, gone = summary(score=LOW), summary(score=HIGH, withdrawn=True, malware=True, text="old")
    both = merged(gone, live)
    assert (both.score, both.malware, both.withdrawn, both.text) == (LOW, False, False, "old")
    assert merged(gone, gone).withdrawn


@given(SUMMARIES, SUMMARIES, SUMMARIES)
def test_records_can_come_in_any_order(one: Summary, two: Summary, three: Summary) -> None:
    assert merged(one, two) == merged(two, one)
    assert merged(merged(one, two), three) == merged(one, merged(two, three))
