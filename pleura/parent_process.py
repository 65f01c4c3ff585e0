"""Ends a process together with its parent."""

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def end_with_parent(parent: int) -> None:
    """Let the kernel end this process when its parent ends in any way (on Linux).

    Args:
        parent: The process id that the parent gave. The parent may have ended already.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # a parent that ended before the call of prctl causes no signal
    if os.getppid() != parent:
        os._exit(1)
