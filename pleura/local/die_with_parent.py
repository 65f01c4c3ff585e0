"""Run a command that ends together with its parent process, also when the parent is killed.

This module runs as a script and imports nothing of Pleura: ``python -I -S die_with_parent.py PARENT SIGNAL
AS_NOBODY COMMAND...``. On Linux the command replaces this process, and the kernel sends it SIGNAL when its
parent ends. Elsewhere this process stays and watches the parent.
"""

import contextlib
import ctypes
import os
import pwd
import signal
import subprocess
import sys
import time
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
_POLL_S: Final = 0.5


def _become_nobody() -> None:
    """Give up root and all its rights, for ever: PostgreSQL refuses to run as root."""
    nobody = pwd.getpwnam("nobody")
    # the groups first: without root they cannot be changed any more
    os.setgroups([])
    os.setgid(nobody.pw_gid)
    os.setuid(nobody.pw_uid)
    if sys.platform == "linux":
        # a program that is installed for root, such as sudo, gives no right back
        ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _use_batch_scheduling() -> None:
    """Let a sender keep its core when its message wakes this process.

    On one machine the receiver would often take the core of the sender, which then waits in the middle of a
    request. The shares of the cores stay the same.
    """
    # 746 to 852 cached answers a second with it, 644 to 689 without (docs/decisions/0017)
    with contextlib.suppress(OSError):  # a sandbox may forbid it
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _replace_this_process(parent: int, death_signal: int, command: list[str]) -> None:
    _use_batch_scheduling()
    # after _become_nobody, because a change of the user clears the signal; execve keeps it
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    # a parent that ended before the call of prctl causes no signal
    if os.getppid() != parent:
        sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606


def _watch_parent(parent: int, death_signal: int, command: list[str]) -> int:
    child = subprocess.Popen(command)  # noqa: S603
    for forwarded in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(forwarded, lambda number, _: child.send_signal(number))
    while child.poll() is None:
        if os.getppid() != parent:
            child.send_signal(death_signal)
        time.sleep(_POLL_S)
    return child.returncode


def main(arguments: list[str]) -> int:
    """Run the command that the arguments name."""
    parent, death_signal, as_nobody, *command = arguments
    if as_nobody == "1":
        _become_nobody()
    if sys.platform == "linux":
        _replace_this_process(int(parent), int(death_signal), command)
    return _watch_parent(int(parent), int(death_signal), command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
