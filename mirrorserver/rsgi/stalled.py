"""Cuts off clients that take nothing of an answer: the system does it, for every connection.

Granian sends files without asking this server again, and has no limit of time for it. It makes its
listening socket itself, so the limit is set there once it listens; accepted connections inherit it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from pathlib import Path

logger = logging.getLogger(__name__)

HANDLES = Path("/proc/self/fd")
PAUSE, TRIES = 0.01, 1000


async def limit(seconds: float) -> None:
    """Wait until this process listens; from then on its stalled connections end after `seconds`.

    What counts is that the client makes room for a piece of the answer in that time, so one that
    reads slowly keeps its connection.
    """
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        logger.warning("This system has no limit of time for clients that read nothing.")
        return
    for _ in range(TRIES):
        if listening := _listening():
            for handle in listening:
                _limit(handle, seconds)
            return
        await asyncio.sleep(PAUSE)
    logger.error("No listening socket was found: clients that read nothing stay connected.")


def _listening() -> list[int]:
    """The handles of this process that are sockets which accept TCP connections."""
    return [int(link.name) for link in HANDLES.iterdir() if _accepts(link)]


def _accepts(link: Path) -> bool:
    with contextlib.suppress(OSError):
        if not str(link.readlink()).startswith("socket:"):
            return False
        with _borrowed(int(link.name)) as listener:
            return listener.family in (socket.AF_INET, socket.AF_INET6) and bool(
                listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            )
    return False


def _limit(handle: int, seconds: float) -> None:
    with _borrowed(handle) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(seconds * 1000))


def _borrowed(handle: int) -> socket.socket:
    """A socket object of its own for the same socket."""
    return socket.socket(fileno=os.dup(handle))
