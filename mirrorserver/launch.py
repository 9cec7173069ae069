"""`launch.py <parent pid> <program> <arguments>`: becomes the program, bound to its parent's life.

The rule: it runs alone, before anything of the project is imported, and only undoes what the
supervisor did to itself (blocked signals) and asks the kernel to be killed with the supervisor.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, program = int(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("The supervisor is gone.")
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.execv(program[0], program)


if __name__ == "__main__":
    main()
