"""Reads the number that says whether what is remembered still holds, without blocking the loop.

SQLite answers at once, so it is asked on the loop, once for all requests that had come before;
another database is asked by a thread, once for all requests that have come since it was asked last.
"""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor

from django.conf import settings

from delivery import cache


class Generations:
    """One reader for one event loop."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="generation")
        self._next: asyncio.Future[int] | None = None
        self._reading = False
        database = settings.DATABASES["default"]
        self._file = str(database["NAME"]) if "sqlite3" in database["ENGINE"] else ""
        self._sqlite: sqlite3.Connection | None = None
        self._number: int | None = None
        """What SQLite said in this turn of the loop."""

    async def read(self) -> int:
        """The number as it stands now, or later. Raises Django's database errors."""
        if self._file and (number := self._this_turn()) is not None:
            return number
        if (answer := self._next) is None:
            answer = self._next = asyncio.get_running_loop().create_future()
            if not self._reading:
                self._start_reading()  # which has taken it: whoever comes later waits for the next
        # A client that leaves must not end the wait of the others.
        return await asyncio.shield(answer)

    def _this_turn(self) -> int | None:
        """What SQLite said when it was asked for a request that had come no earlier than this."""
        if self._number is None:
            # Before it is asked: whoever comes after the answer comes after this in the loop, too.
            asyncio.get_running_loop().call_soon(self._next_turn)
            self._number = self._at_once()
        return self._number

    def _next_turn(self) -> None:
        self._number = None

    def _at_once(self) -> int | None:
        """What SQLite says without waiting for anybody; None where it cannot."""
        try:
            if self._sqlite is None:
                self._sqlite = sqlite3.connect(self._file, timeout=0, isolation_level=None)
            # All rows: a read transaction stays open until SQLite has said that there is no more.
            rows = self._sqlite.execute(cache.READ).fetchall()
        except sqlite3.Error:
            self._sqlite = None
            return None
        return int(rows[0][0]) if rows else 0

    def _start_reading(self) -> None:
        waiting, self._next = self._next, None
        assert waiting is not None
        self._reading = True
        asked = asyncio.wrap_future(self._thread.submit(cache.read))

        def settle(answer: asyncio.Future[int]) -> None:
            self._reading = False
            if self._next is not None:
                self._start_reading()
            if error := answer.exception():
                waiting.set_exception(error)
                waiting.exception()  # whoever asked may have left
            else:
                waiting.set_result(answer.result())

        asked.add_done_callback(settle)
