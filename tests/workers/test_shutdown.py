"""What a worker's pool processes learn about the end of their worker."""

import os
import subprocess
import sys

from workers import shutdown


def test_outside_a_worker_nobody_asks_for_the_end() -> None:
    shutdown.announce()
    assert not shutdown.requested()


def test_a_forked_process_sees_what_its_worker_announces() -> None:
    # In an interpreter of its own: forking is the point, and pytest's process should stay whole.
    script = """
import os, sys
from workers import shutdown
shutdown.begin()
child = os.fork()
if child == 0:
    while not shutdown.requested():
        pass
    os._exit(7)
assert not shutdown.requested()
shutdown.announce()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    ended = subprocess.run([sys.executable, "-c", script], env=os.environ, timeout=60)
    assert ended.returncode == 7
