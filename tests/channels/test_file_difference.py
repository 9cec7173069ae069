"""What became of files between two states of a package."""

from __future__ import annotations

from channels.file_difference import FileDifference, file_difference


def test_files_are_added_replaced_or_removed() -> None:
    old = {"same": b"1", "other": b"1", "gone": b"1"}
    new = {"same": b"1", "other": b"2", "fresh": b"1"}
    changes = file_difference(old, new)
    assert changes == FileDifference(added=["fresh"], replaced=["other"], removed=["gone"])
    assert changes.total == 3


def test_names_come_in_the_order_of_the_state_that_has_them() -> None:
    assert file_difference({}, {"b": b"", "a": b""}).added == ["b", "a"]
    assert file_difference({"b": b"", "a": b""}, {}).removed == ["b", "a"]


def test_nothing_differs_from_itself() -> None:
    assert file_difference({"a": b""}, {"a": b""}).total == 0
