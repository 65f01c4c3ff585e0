"""How many cores this process may use: a container sees all of its node's, and gets a share of their time."""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_MEMBERSHIP: Final = Path("/proc/self/cgroup")
_MOUNTS: Final = Path("/sys/fs/cgroup")


def usable_cpus(membership: Path = _MEMBERSHIP, mounts: Path = _MOUNTS) -> int:
    """The cores that the kernel lets this process run on, but no more than it gets the time of, rounded up.

    Threads beyond that wait for each other: on two cores, LiteRT takes 1.5 times as long with 16 threads.

    Args:
        membership: Says in which control groups this process is.
        mounts: Where control groups are.

    Source:
        cgroups(7); Linux kernel documentation, "Control Group v2" (``cpu.max``) and "CFS Bandwidth Control"
        (``cpu.cfs_quota_us``); a Kubernetes limit of the resource ``cpu`` becomes the one or the other.
    """
    shares = [share for group in _groups(membership, mounts) if (share := _share_of(group))]
    return max(1, math.ceil(min([len(os.sched_getaffinity(0)), *shares])))


def _groups(membership: Path, mounts: Path) -> Iterator[Path]:
    """The folders of the groups that bound processor time, each with those that it lies in.

    In a container the path may be the host's, where there is nothing; what is mounted is its own group then.
    """
    with suppress(OSError):
        for line in membership.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            mount = mounts / "cpu" if controllers else mounts  # version 1 has a folder for each controller
            group = mount / path.lstrip("/")
            yield group
            yield from (parent for parent in group.parents if parent.is_relative_to(mount))


def _share_of(group: Path) -> float | None:
    """The cores that a group gets the time of; None where it has all that it can take."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        with suppress(OSError, ValueError):  # "max" is no number
            quota, period = map(int, " ".join((group / name).read_text() for name in names).split())
            return quota / period if quota > 0 else None
    return None
