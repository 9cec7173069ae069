"""The rules that keep a mirror of a Python index small."""

from __future__ import annotations

from typing import Any

import pytest

from ecosystems import registry
from ecosystems.kinds import Kind
from ecosystems.records import Record
from filters.rules import Reason, compile_rules, judge, normalized, problems
from filters.rules.model import MIRROR_RULES

SPEC = registry.get(Kind.PYTHON).parse_spec


def outcome(filters: dict[str, Any], *records: Record, kind: str = "python") -> list[Reason | None]:
    rules = compile_rules(filters, spec=SPEC, by="mirror")
    return judge("simple", "tool", records, mirror=rules, channels=(), kind=kind)


def rules_of(filters: dict[str, Any], *filenames: str) -> list[str]:
    """The name of the rule that refuses each file; "" for none."""
    records = [Record(filename=name, name="tool", version="1.0") for name in filenames]
    return [str(reason.rule) if reason else "" for reason in outcome(filters, *records)]


def wheel(tags: str) -> str:
    return f"tool-1.0-{tags}.whl"


SDIST, ANY = "tool-1.0.tar.gz", wheel("py3-none-any")


def test_formats_leave_the_other_format_out() -> None:
    files = (SDIST, ANY, "tool-1.0.egg", "tool-1.0-variants.json")
    assert rules_of({"file_formats": ["wheel"]}, *files) == ["file_formats", "", "file_formats", ""]
    chosen = ["file_formats"] * 3
    assert rules_of({"file_formats": ["sdist"]}, *files) == ["", *chosen]
    assert rules_of({"file_formats": ["sdist", "wheel"]}, *files[:2]) == ["", ""]


@pytest.mark.parametrize(
    ("tags", "kept"),
    [
        ("py3-none-any", True),
        ("py2.py3-none-any", True),
        ("py2-none-any", False),
        ("cp311-cp311-win_amd64", True),
        ("cp310-cp310-win_amd64", False),
        ("cp39-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64", True),
        ("cp313-abi3-win_amd64", False),
        ("py39-none-any", True),
        ("py312-none-any", False),
        ("1-cp311-cp311-win_amd64", True),
        ("cp311-cp311-win_amd64-cuda12", True),
        ("1-cp310-cp310-win_amd64-cuda12", False),
        ("pp310-pypy310_pp73-win_amd64", False),
    ],
)
def test_python_versions_keep_what_they_can_install(tags: str, kept: bool) -> None:
    expected = "" if kept else "python_versions"
    assert rules_of({"python_versions": ["3.11"]}, wheel(tags), SDIST) == [expected, ""]


def test_platform_tags_keep_what_fits_and_what_runs_anywhere() -> None:
    filters = {"platform_tags": ["manylinux*_x86_64", "win_amd64"]}
    files = (
        wheel("cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64"),
        wheel("cp311-cp311-macosx_11_0_arm64"),
        wheel("cp311-cp311-win_amd64-label"),
        ANY,
        SDIST,
    )
    assert rules_of(filters, *files) == ["", "platform_tags", "", "", ""]


def test_the_newest_versions_are_counted_among_what_other_rules_keep() -> None:
    versions = ["1.9", "1.10", "2.0", "2.1", "3.0rc1"]
    records = [Record(filename=f"tool-{text}.zip", name="tool", version=text) for text in versions]
    filters = {"newest_versions": 2, "exclude_specs": ["tool==2.1"]}
    reasons = outcome(filters, *records)
    rules = [str(reason.rule) if reason else "" for reason in reasons]
    assert rules == ["newest_versions", "", "", "exclude_specs", ""]
    assert reasons[0] is not None
    assert reasons[0].detail == "the version 1.9 is older than the 2 newest ones"


def test_versions_of_other_types_are_ordered_as_theirs_are() -> None:
    versions = ["1.9", "1.10", "1.10rc1"]
    records = [Record(filename=f"{v}.conda", name="tool", version=v) for v in versions]
    reasons = outcome({"newest_versions": 1}, *records, kind="conda")
    assert [reason is None for reason in reasons] == [False, True, False]


def test_only_pre_releases_are_counted_where_there_is_nothing_else() -> None:
    records = [Record(filename=v, name="tool", version=v) for v in ("1.0a1", "1.0a2")]
    assert [r is None for r in outcome({"newest_versions": 1}, *records)] == [False, True]


def test_the_largest_size_says_both_numbers_and_lets_unknown_sizes_pass() -> None:
    sizes = (1000, 1001, -1)
    records = [Record(filename="a.zip", name="tool", version="1", size=size) for size in sizes]
    reasons = outcome({"largest_size": 1000}, *records)
    assert [reason is None for reason in reasons] == [True, False, True]
    assert reasons[1] is not None
    assert reasons[1].detail == "has 1,001 bytes, and 1,000 are the most"


def test_files_without_a_hash_need_a_mirror_that_allows_them() -> None:
    record = Record(filename="a.zip", name="tool", version="1", unhashed=True)
    (reason,) = outcome({}, record)
    assert reason is not None
    assert str(reason.rule) == "unhashed"
    assert outcome({"allow_unhashed": True}, record) == [None]


@pytest.mark.parametrize(
    ("filters", "fields"),
    [
        ({"file_formats": ["egg"]}, ["file_formats"]),
        ({"file_formats": "wheel"}, ["file_formats"]),
        ({"python_versions": ["3.11", "2.7", "3", 3.11]}, ["python_versions"] * 3),
        ({"platform_tags": ["a b", "x" * 101, None]}, ["platform_tags"] * 3),
        ({"platform_tags": ["x"] * 101}, ["platform_tags"]),
        ({"newest_versions": 0, "largest_size": True}, ["newest_versions", "largest_size"]),
        ({"newest_versions": "3"}, ["newest_versions"]),
        ({"allow_unhashed": "yes"}, ["allow_unhashed"]),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_field(
    filters: dict[str, Any], fields: list[str]
) -> None:
    assert [problem.field for problem in problems(filters, spec=SPEC)] == fields


def test_a_channel_has_none_of_these_fields() -> None:
    filters = {"newest_versions": 3, "allow_unhashed": True, "file_formats": []}
    fields = [problem.field for problem in problems(filters, spec=SPEC, by="channel")]
    assert sorted(fields) == ["allow_unhashed", "newest_versions"]


def test_every_field_has_a_reason_and_a_canonical_form() -> None:
    form = normalized({"platform_tags": [" WIN_amd64 ", "win_amd64"], "newest_versions": 2})
    assert (form["platform_tags"], form["newest_versions"]) == (["win_amd64"], 2)
    assert {"unhashed", "file_formats", "newest_versions", "largest_size"} <= set(MIRROR_RULES)
