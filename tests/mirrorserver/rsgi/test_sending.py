"""What is made while it is sent goes through a pipe: whole, at the client's pace, and bounded."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mirrorserver.rsgi import sending
from tests.mirrorserver.rsgi.exchanges import Exchange

HANDLES = Path("/proc/self/fd")
PIECE = os.urandom(100_000)
COUNT = 20
"""Together more than a pipe holds."""


class Pieces:
    """Gives `count` pieces and counts them; then raises `error`, or sets `at_end`."""

    def __init__(
        self,
        count: int = COUNT,
        error: Exception | None = None,
        *,
        piece: bytes = PIECE,
        at_end: threading.Event | None = None,
    ) -> None:
        self.given, self._count, self._error = 0, count, error
        self._piece, self._at_end = piece, at_end

    async def all(self) -> AsyncIterator[bytes]:
        while self.given < self._count:
            self.given += 1
            yield self._piece
        if self._at_end is not None:
            self._at_end.set()
        if self._error is not None:
            raise self._error


def send(exchange: Exchange, pieces: Pieces, *, leaves: bool = False) -> None:
    """Answer with the pieces; the client may be gone before."""

    async def run() -> None:
        gone = asyncio.get_running_loop().create_future()
        if leaves:
            gone.set_result(None)
        await sending.send_stream(exchange, 200, [], pieces.all(), gone)

    handles = len(list(HANDLES.iterdir()))
    try:
        asyncio.run(run())
    finally:
        # No handle of the pipe stays, whatever happened; the reader's own one may be open.
        assert len(list(HANDLES.iterdir())) <= handles + 1
        assert sending._pipes == 0


def test_all_pieces_come_in_order() -> None:
    exchange = Exchange()
    exchange.pace.set()
    send(exchange, Pieces())
    assert exchange.finish() == PIECE * COUNT


def test_one_piece_that_fits_is_not_lost_though_it_is_read_late() -> None:
    exchange = Exchange()
    exchange.pace.set()
    exchange.may_open.clear()
    # Granian opens the pipe only when everything is in it and nothing more is written.
    send(exchange, Pieces(count=1, piece=b"whole", at_end=exchange.may_open))
    assert exchange.finish() == b"whole"


def test_an_answer_without_any_piece_is_sent_at_once_and_needs_no_pipe() -> None:
    exchange = Exchange()
    send(exchange, Pieces(count=0))
    assert (exchange.status, exchange.body, exchange.file) == (200, b"", None)
    assert not exchange.opened.is_set()


def test_what_fails_before_its_first_piece_leaves_the_answer_open() -> None:
    exchange = Exchange()
    with pytest.raises(ValueError, match="no bytes"):
        send(exchange, Pieces(count=0, error=ValueError("no bytes")))
    assert exchange.status == 0


def test_a_client_that_takes_nothing_ends_the_stream(settings: Any) -> None:
    settings.STALLED_SECONDS = 0.05
    exchange, pieces = Exchange(), Pieces()
    send(exchange, pieces)
    assert pieces.given < COUNT
    found = exchange.finish()
    assert found is not None
    assert len(found) < len(PIECE) * COUNT


def test_a_client_that_has_left_is_sent_no_more() -> None:
    exchange, pieces = Exchange(), Pieces()
    send(exchange, pieces, leaves=True)
    assert pieces.given < COUNT
    exchange.finish()


def test_a_reader_that_closes_ends_the_stream() -> None:
    exchange, pieces = Exchange(), Pieces(count=10_000)
    exchange.most = len(PIECE)
    exchange.pace.set()
    send(exchange, pieces)
    assert pieces.given < 10_000
    exchange.finish()


def test_what_fails_while_it_is_made_ends_before_the_promised_length() -> None:
    exchange = Exchange()
    exchange.pace.set()
    with pytest.raises(ValueError, match="wrong bytes"):
        send(exchange, Pieces(count=3, error=ValueError("wrong bytes")))
    assert exchange.finish() == PIECE * 3


def test_more_streams_than_the_process_may_send_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sending, "MOST_PIPES", 0)
    exchange, pieces = Exchange(), Pieces()
    with pytest.raises(sending.TooManyStreams):
        send(exchange, pieces)
    assert (pieces.given, exchange.status) == (0, 0)
