"""One process tree: starts the parts of the server, restarts what dies, ends all together.

Signals are blocked and waited for, so the loop below is the only place where anything
happens. Each part runs in a session of its own: Ctrl-C reaches only this process, which passes it
on as TERM to the part's main process; KILL goes to the part's whole group.
"""

import contextlib
import logging
import logging.handlers
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

KILL_AFTER_SECONDS = 12.0
SECOND_TERM_SECONDS = 4.0
"""Until TERM is sent again to parts that were only starting, and may have missed the first."""
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
# A part that ran this long was healthy: its next restart is again a quick one.
HEALTHY_SECONDS = 60.0

_END_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
_WATCHED_SIGNALS = _END_SIGNALS | {signal.SIGCHLD}
_LAUNCH = Path(__file__).with_name("launch.py")
_LOG_BYTES, _LOG_FILES = 10_000_000, 3


@dataclass
class Part:
    """One child: what to run, and how its last start went."""

    name: str
    command: list[str]
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    started: float = field(default=0.0, init=False)
    due: float = field(default=0.0, init=False)
    pause: float = field(default=FIRST_PAUSE_SECONDS, init=False)

    @property
    def starting(self) -> bool:
        """Whether it may still be starting."""
        return time.monotonic() - self.started < 2 * KILL_AFTER_SECONDS


class Supervisor:
    """Runs `parts` until a signal asks for the end."""

    def __init__(
        self, parts: list[Part], *, keep_open: tuple[int, ...] = (), logs: Path | None = None
    ) -> None:
        self._parts = parts
        self._keep_open = keep_open
        self._logs = logs

    def run(self, ready: Callable[[], bool]) -> int:
        """Until ended; `ready` is asked twice a second until it says yes. Returns an exit code."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED_SIGNALS)
        try:
            is_ready = False
            while True:
                self._start_due()
                received = signal.sigtimedwait(_WATCHED_SIGNALS, 0.5)
                if received and received.si_signo in _END_SIGNALS:
                    return self._end()
                self._schedule_restarts()
                is_ready = is_ready or ready()
        finally:
            self._kill_all()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _start_due(self) -> None:
        now = time.monotonic()
        for part in self._parts:
            if part.process is None and part.due <= now:
                self._start(part)

    def _start(self, part: Part) -> None:
        launch = [sys.executable, str(_LAUNCH), str(os.getpid())]
        part.started = time.monotonic()
        part.process = subprocess.Popen(
            [*launch, *part.command],
            env=part.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # The locks of `instance`: held until the last process of the server has ended.
            pass_fds=self._keep_open,
        )
        assert part.process.stdout is not None
        threading.Thread(
            target=_copy_output,
            args=(part.name, part.process.stdout, self._logs),
            name=f"output of {part.name}",
            daemon=True,
        ).start()

    def _schedule_restarts(self) -> None:
        now = time.monotonic()
        for part in self._parts:
            if part.process is None or part.process.poll() is None:
                continue
            if now - part.started >= HEALTHY_SECONDS:
                part.pause = FIRST_PAUSE_SECONDS
            # What it forked would go on with the old part's work beside the new one's.
            _kill_group(part.process)
            _say(
                f"{part.name} ended ({_cause(part.process.returncode)}); "
                f"it starts again in {part.pause:g} s."
            )
            part.process, part.due = None, now + part.pause
            part.pause = min(part.pause * 2, LONGEST_PAUSE_SECONDS)

    def _end(self) -> int:
        """TERM to all; at a second signal, or after `KILL_AFTER_SECONDS`, `run` kills them."""
        _say("Ending. Once more Ctrl-C ends at once.")
        running = [part for part in self._parts if part.process and part.process.poll() is None]
        deadline = time.monotonic() + KILL_AFTER_SECONDS
        next_term = 0.0
        while any(part.process and part.process.poll() is None for part in running):
            left = deadline - time.monotonic()
            if time.monotonic() >= next_term:
                _terminate(part for part in running if not next_term or part.starting)
                next_term = time.monotonic() + SECOND_TERM_SECONDS
            if left <= 0:
                _say("Not all parts ended in time; they are killed and continue at the next start.")
                return 1
            received = signal.sigtimedwait(_WATCHED_SIGNALS, min(left, 0.5))
            if received and received.si_signo in _END_SIGNALS:
                return 1
        _say("Ended.")
        return 0

    def _kill_all(self) -> None:
        for part in self._parts:
            if part.process is not None:
                _kill_group(part.process)
                part.process.wait()


def _terminate(parts: Iterable[Part]) -> None:
    for part in parts:
        if part.process is not None and part.process.poll() is None:
            part.process.terminate()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """The part led its own session, so its process id names the group of all it forked."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _cause(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


def _say(text: str) -> None:
    # A console that went away is no reason to end, nor to leave a part's output unread.
    with contextlib.suppress(OSError):
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def _copy_output(name: str, source: IO[bytes], folder: Path | None) -> None:
    """What the part writes, line by line: to the console, and to a file that rotates."""
    log_file: logging.Handler | None = None
    if folder is not None:
        log_file = logging.handlers.RotatingFileHandler(
            folder / f"{name}.log", maxBytes=_LOG_BYTES, backupCount=_LOG_FILES, encoding="utf-8"
        )
    with source:
        for raw in source:
            line = raw.decode("utf-8", "replace").rstrip("\n")
            _say(f"{name:8} {line}")
            if log_file is not None:
                log_file.emit(logging.makeLogRecord({"msg": line}))
    if log_file is not None:
        log_file.close()
