"""What a process remembers is bounded in bytes, keys included."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

from ecosystems import licenses, memo
from ecosystems.conda import version
from ecosystems.memo import Sized
from ecosystems.python import names


def test_the_oldest_are_forgotten_when_all_weigh_too_much() -> None:
    kept: Sized[int] = Sized(10_000)
    for number in range(100):
        kept.put(number, number, 900)
    assert list(kept.items) == list(range(90, 100))
    assert kept.weight <= 10_000
    kept.find(90)
    kept.put(100, 100, 900)
    assert 90 in kept.items
    assert 91 not in kept.items


def test_keys_weigh_too() -> None:
    kept: Sized[None] = Sized(100_000)
    for number in range(100):
        kept.put(f"{number}" * 10_000, None, 0)
    assert sum(map(sys.getsizeof, kept.items)) <= 100_000


def test_what_is_put_again_or_dropped_is_weighed_once() -> None:
    kept: Sized[int] = Sized(10_000)
    for _ in range(50):
        kept.put("a", 1, 900)
    assert kept.weight < 1000
    kept.drop("a")
    assert (kept.weight, kept.items) == (0, {})
    kept.put("large", 1, 20_000)
    assert not kept.items


def test_one_that_is_larger_than_all_is_made_once_and_displaces_all() -> None:
    kept: Sized[str] = Sized(10_000)
    kept.put("a", "a", 900)
    made: list[int] = []

    def make() -> str:
        made.append(1)
        return "large"

    for _ in range(3):
        assert kept.get("large", make, lambda _: 1_000_000) == "large"
    assert (len(made), list(kept.items)) == (1, ["large"])


def test_threads_leave_the_weight_right() -> None:
    kept: Sized[int] = Sized(50_000)

    def work(start: int) -> None:
        for number in range(2000):
            kept.put((start + number) % 300, number, 500)
            kept.drop(number % 7)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(0, 800, 100)))
    assert kept.weight == sum(500 + sys.getsizeof(key) for key in kept.items)


def test_long_texts_are_not_remembered() -> None:
    """What users and upstreams write decides how long a key is."""
    calls: list[str] = []

    @memo.short(10)
    def length(text: str) -> int:
        calls.append(text)
        return len(text)

    for text in ("a" * memo.LONGEST, "b" * (memo.LONGEST + 1)):
        for _ in range(3):
            assert length(text) == len(text)
    assert len(calls) == 1 + 3
    for function in (version.parsed, version._segment_key, names.canonical_version):
        assert not hasattr(function, "cache_info"), function
    assert not hasattr(licenses.families, "cache_info")
