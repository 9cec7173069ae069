"""Hostile bytes: every reader gives a value or `BadRecord`, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from advisories import bundle, tables
from advisories.formats import csaf, mapping, nvd, openvex, osv, purl, scores
from advisories.formats.report import BadRecord
from advisories.matching.versions import Scheme, Versions
from tests.advisories import records

READERS: dict[str, tuple[Callable[[bytes], object], Any]] = {
    "osv": (osv.parse, json.loads(records.PYYAML)),
    "nvd": (
        nvd.parse,
        records.nvd_item("CVE-2020-1", cvssMetricV31=[records.metric(records.V31, 9.8)]),
    ),
    "mapping": (mapping.parse, {"zlib": None, "pytorch": ["torch"]}),
    "openvex": (openvex.parse, records.OPENVEX),
    "csaf": (csaf.parse, records.CSAF),
    "curation": (
        lambda text: tables.curation(bundle.curation_line(text)),
        {
            "advisory": "CVE-2020-1",
            "family": "python",
            "package": "pyyaml",
            "status": "cleared",
            "author": "ann",
            "created_at": "2024-01-01T00:00:00Z",
            "spec": "<5.4",
            "reason": "not reachable",
        },
    ),
}
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=30)
    | st.sampled_from(["0", "*", "9" * 400, "1!1", "\x00", "2024-01-01T00:00:00Z", records.V40])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
PATIENT = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if not isinstance(value, dict | list):
        return [path]
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    return [path, *(place for key, item in inner for place in _places(item, (*path, key)))]


def _replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[path[0]] = _replaced(value[path[0]], path[1:], new)
    return changed


def check(reader: Callable[[bytes], object], text: bytes) -> None:
    """The reader gives a value, or says what is wrong, and of which record."""
    error = None
    try:
        reader(text)
    except BadRecord as caught:
        error = caught
    assert error is None or (str(error) and len(error.id) <= 300)


@pytest.mark.parametrize("name", READERS)
@PATIENT
@given(data=st.data())
def test_a_record_with_anything_in_any_place_is_read_or_named(name: str, data: Any) -> None:
    reader, valid = READERS[name]
    place = data.draw(st.sampled_from(_places(valid)))
    text = json.dumps(_replaced(valid, place, data.draw(VALUES))).encode()
    check(reader, text)


@pytest.mark.parametrize("name", READERS)
@PATIENT
@given(data=st.data())
def test_a_record_with_changed_bytes_is_read_or_named(name: str, data: Any) -> None:
    reader, valid = READERS[name]
    text = bytearray(json.dumps(valid).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=5))
        if not text:
            break
    check(reader, bytes(text))


@PATIENT
@given(st.text(max_size=60) | st.text("CVSS:.340/AVNLPRUISH ", max_size=60))
@example("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H/E:?")
@example("CVSS:4.0/AV:N/AV:N")
@example("(AV:N)")
def test_a_vector_is_a_score_or_none(vector: str) -> None:
    score = scores.from_vector(vector)
    assert score is None or 0 <= score.value <= 10


@PATIENT
@given(st.text(max_size=80) | st.text("pkg:i/%@?&=#-a1", max_size=80).map("pkg:pypi/{}".format))
def test_a_purl_is_a_package_or_none(text: str) -> None:
    package = purl.parse(text)
    assert package is None or package.ecosystem


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["introduced", "fixed", "last_affected", "limit"]),
        st.text(min_size=1, max_size=12) | st.sampled_from(["0", "*", "1.0", "2.0rc1", "3-4"]),
    ),
    max_size=5,
)


@pytest.mark.parametrize("scheme", Scheme)
@PATIENT
@given(events=EVENTS, versions=st.lists(st.text(min_size=1, max_size=10)), version=st.text())
def test_any_range_can_be_asked_for_any_version(
    scheme: Scheme, events: list[tuple[str, str]], versions: list[str], version: str
) -> None:
    entry = records.affected("a", *events, versions=tuple(versions))
    [affected] = osv.parse(records.osv("A-1", entry)).affected or [None]
    if affected is not None:
        ranges = Versions(affected.ranges, affected.versions, scheme)
        assert ranges.contains(version) in (True, False)
        assert all(ranges.contains(listed) for listed in versions)
