"""Run a command that does not outlive whoever started it, not even when that one is killed.

Started as a script, before anything of Pleura is imported: ``python -I -S guard.py PARENT SIGNAL AS_NOBODY
COMMAND...``. On Linux the kernel sends SIGNAL to the command when its parent ends, and the command takes the
place of this process; elsewhere this process stays, and watches the parent.
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
_PR_SET_KEEPCAPS: Final = 8
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_RAISE: Final = 2
_CAPABILITY_VERSION_3: Final = 0x20080522
_CAP_DAC_OVERRIDE: Final = 1
_POLL_S: Final = 0.5


def _become_nobody() -> None:
    """Give up root, and on Linux keep the right to read and write files whoever owns them.

    PostgreSQL refuses to run as root; the folders above its data may be closed to everyone else.
    """
    nobody = pwd.getpwnam("nobody")
    libc = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "linux":
        libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(nobody.pw_gid)
    os.setuid(nobody.pw_uid)
    if sys.platform == "linux":
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
        kept = 1 << _CAP_DAC_OVERRIDE
        libc.capset(header, (ctypes.c_uint32 * 6)(kept, kept, kept, 0, 0, 0))
        libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)


def _interrupt_nobody() -> None:
    """Have the kernel let whoever wakes this process finish, rather than take its core at once.

    On one machine each message wakes another process, mostly on the core of the sender, which then stands
    still in the middle of a request. Processes get the same share of the cores either way.
    """
    with contextlib.suppress(OSError):  # a sandbox may forbid it
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _replace_this_process(parent: int, death_signal: int, command: list[str]) -> None:
    _interrupt_nobody()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606


def _watch_parent(parent: int, death_signal: int, command: list[str]) -> int:
    child = subprocess.Popen(command)  # noqa: S603
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(each, lambda number, _: child.send_signal(number))
    while child.poll() is None:
        if os.getppid() != parent:
            child.send_signal(death_signal)
        time.sleep(_POLL_S)
    return child.returncode


def main(arguments: list[str]) -> int:
    """Run the command of the command line."""
    parent, death_signal, as_nobody, *command = arguments
    if as_nobody == "1":
        _become_nobody()
    if sys.platform == "linux":
        _replace_this_process(int(parent), int(death_signal), command)
    return _watch_parent(int(parent), int(death_signal), command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
