"""What clients are given."""

from __future__ import annotations

import pytest
import zstandard

from ecosystems.documents import document_compressor


@pytest.mark.parametrize("level", [1, 3, 10])
def test_whoever_unpacks_a_document_needs_a_window_of_128_kib(level: int) -> None:
    packed = document_compressor(level).compress(bytes(range(256)) * 8192)
    assert zstandard.get_frame_parameters(packed).window_size == 128 * 1024
