"""Rows in batches of a bounded size."""

from __future__ import annotations

from channels.batches import batched


def test_items_come_in_their_order_and_the_last_batch_may_be_shorter() -> None:
    assert list(batched(iter(range(5)), 2)) == [[0, 1], [2, 3], [4]]


def test_of_nothing_there_is_no_batch() -> None:
    assert list(batched([])) == []
