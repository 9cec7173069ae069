"""Which of the stated hashes verifies a file."""

from __future__ import annotations

import hashlib

from ecosystems import checksums


def test_every_algorithm_has_digests_of_the_length_that_hashlib_gives() -> None:
    for algorithm in checksums.STRONGEST_FIRST:
        digest = hashlib.new(algorithm, b"bytes").hexdigest()
        assert checksums.is_digest(algorithm, digest.upper())
        assert not checksums.is_digest(algorithm, digest[1:])


def test_sha256_counts_before_any_other_and_md5_comes_last() -> None:
    hashes = {name: hashlib.new(name, b"bytes").hexdigest() for name in checksums.STRONGEST_FIRST}
    assert checksums.strongest(hashes) == f"sha256={hashes['sha256']}"
    assert checksums.STRONGEST_FIRST[-1] == "md5"
    del hashes["sha256"]
    assert checksums.strongest(hashes) == f"sha512={hashes['sha512']}"


def test_what_is_no_digest_of_its_algorithm_is_passed_over() -> None:
    hashes = {"sha256": "short", "crc32": "a" * 8, "sha1": "A" * 40}
    assert checksums.strongest(hashes) == f"sha1={'a' * 40}"
    assert checksums.strongest({"shake_256": "a" * 64}) == ""
