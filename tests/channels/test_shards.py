"""What shards and fetched packages hold, packed and opened."""

from __future__ import annotations

import threading

import zstandard

from channels import shards


def test_a_body_comes_back_as_it_was() -> None:
    body = b'{"packages": {}}' * 100
    stored = shards.compress(body)
    assert len(stored) < len(body)
    assert shards.decompress(stored) == body
    assert zstandard.decompress(stored) == body


def test_a_column_of_any_database_is_opened() -> None:
    stored = shards.compress(b"records")
    assert shards.decompress(memoryview(stored)) == b"records"


def test_threads_open_shards_at_the_same_time() -> None:
    stored = [shards.compress(bytes([number]) * 100_000) for number in range(8)]
    bodies: list[set[bytes]] = [set() for _ in stored]

    def work(number: int) -> None:
        for _ in range(50):
            bodies[number].add(shards.decompress(stored[number]))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bodies == [{bytes([number]) * 100_000} for number in range(8)]
