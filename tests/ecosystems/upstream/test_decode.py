"""Compressed indexes: rows N04 and N14."""

from __future__ import annotations

import bz2
import gzip
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from ecosystems.errors import BadIndex
from ecosystems.upstream import open_decoded

BODY = random.Random(7).randbytes(300_000) + b'{"packages": {}}' * 260_000
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "zst": lambda data: zstandard.ZstdCompressor(level=1, write_checksum=True).compress(data),
    "bz2": lambda data: bz2.compress(data, 1),
    "gz": lambda data: gzip.compress(data, 1),
}
KINDS = pytest.mark.parametrize("kind", ["zst", "bz2", "gz"])
CAP = 1 << 30


@pytest.fixture
def decode(tmp_path: Path):
    def decode(data: bytes, kind: str, cap: int = CAP) -> bytes:
        path = tmp_path / "index"
        path.write_bytes(data)
        blocks = []
        for block in open_decoded(path, kind, cap=cap):
            assert 0 < len(block) <= 4 << 20
            blocks.append(block)
        return b"".join(blocks)

    return decode


@KINDS
@pytest.mark.parametrize("size", [0, 1, 2 << 20, 4 << 20, len(BODY)])
def test_what_was_compressed_comes_back(decode, kind: str, size: int):
    assert decode(COMPRESS[kind](BODY[:size]), kind) == BODY[:size]


@KINDS
def test_several_streams_one_after_another_are_one_index(decode, kind: str):
    assert (
        decode(COMPRESS[kind](b"one") + COMPRESS[kind](BODY) + COMPRESS[kind](b"two"), kind)
        == b"one" + BODY + b"two"
    )


def test_identity_is_passed_on_within_the_cap(decode):
    assert decode(BODY, "identity") == BODY
    with pytest.raises(BadIndex, match="more than 1000 bytes"):
        decode(BODY, "identity", cap=1000)


@KINDS
@pytest.mark.parametrize("missing", [1, 4, 9, 1000])
def test_N04_a_truncated_stream_is_refused(decode, kind: str, missing: int):
    with pytest.raises(BadIndex, match="cut off"):
        decode(COMPRESS[kind](BODY)[:-missing], kind)


@KINDS
def test_N04_a_stream_cut_between_two_frames_of_it_is_refused_in_the_middle_of_the_second(
    decode, kind: str
):
    second = COMPRESS[kind](BODY)
    with pytest.raises(BadIndex, match="cut off"):
        decode(COMPRESS[kind](b"one") + second[: len(second) // 2], kind)


@KINDS
@pytest.mark.parametrize("more", [b"\0", b"x", b"<html>" * 100])
def test_N04_what_follows_the_end_is_refused(decode, kind: str, more: bytes):
    with pytest.raises(BadIndex, match="Something follows"):
        decode(COMPRESS[kind](BODY) + more, kind)


@KINDS
@pytest.mark.parametrize("data", [b"", b"x", b'{"packages": {}}'])
def test_N04_what_is_not_compressed_is_refused(decode, kind: str, data: bytes):
    with pytest.raises(BadIndex, match="There is no"):
        decode(data, kind)


@KINDS
def test_N04_a_changed_byte_is_noticed(decode, kind: str):
    data = bytearray(COMPRESS[kind](BODY))
    data[150_000] ^= 0x55
    with pytest.raises(BadIndex, match=r"damaged|cut off|Something follows"):
        decode(bytes(data), kind)


def test_a_skippable_zstd_frame_is_skipped(decode):
    skippable = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"
    assert decode(skippable + COMPRESS["zst"](b"one"), "zst") == b"one"
    with pytest.raises(BadIndex, match="cut off"):
        decode(COMPRESS["zst"](b"one") + skippable[:-1], "zst")


def test_a_zstd_frame_without_size_and_checksum_is_read(decode):
    writer = zstandard.ZstdCompressor(level=1).compressobj()
    data = writer.compress(BODY[:1_000_000]) + writer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    data += writer.compress(BODY[1_000_000:]) + writer.flush()
    assert decode(data, "zst") == BODY


@KINDS
def test_N14_a_bomb_stops_at_the_cap(tmp_path: Path, kind: str):
    path = tmp_path / "bomb"
    path.write_bytes(COMPRESS[kind](bytes(64 << 20)))
    assert path.stat().st_size < 400_000
    seen: list[int] = []
    with pytest.raises(BadIndex, match="decodes to more than 10000000 bytes"):
        seen.extend(len(block) for block in open_decoded(path, kind, cap=10_000_000))
    assert sum(seen) <= 10_000_000


def test_N14_a_zstd_window_above_128_MiB_is_refused(decode):
    # A frame header by hand: no content size, window 256 MiB, then one empty last block.
    data = b"\x28\xb5\x2f\xfd" + bytes([0x00, 18 << 3]) + b"\x01\x00\x00"
    with pytest.raises(BadIndex, match="window of 268435456 bytes"):
        decode(data, "zst")
