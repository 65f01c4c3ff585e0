"""Count of the cores that a process may use: a container sees all cores, but gets a share of their time."""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_MEMBERSHIP: Final = Path("/proc/self/cgroup")
_MOUNTS: Final = Path("/sys/fs/cgroup")


def usable_cpus(membership: Path = _MEMBERSHIP, mounts: Path = _MOUNTS) -> int:
    """Count the cores that this process may run on, limited by its share of processor time, rounded up.

    More threads than that wait for each other: on two cores, LiteRT takes 1.5 times as long with 16 threads.

    Args:
        membership: File that names the control groups of this process.
        mounts: Folder of the control groups.

    Source:
        cgroups(7); Linux kernel documentation, "Control Group v2" (``cpu.max``) and "CFS Bandwidth Control"
        (``cpu.cfs_quota_us``). A Kubernetes limit of the resource ``cpu`` sets one of them.
    """
    # os.cpu_count() would count the cores of the node, not those of the pod (docs/decisions/0015)
    shares = [share for group in _find_groups(membership, mounts) if (share := _read_share(group))]
    return max(1, math.ceil(min([len(os.sched_getaffinity(0)), *shares])))


def _find_groups(membership: Path, mounts: Path) -> Iterator[Path]:
    """Find the folders of the groups that limit processor time, with their parents.

    In a container the path may be the host's and not exist. The mounted folder is then the process's group.
    """
    with suppress(OSError):
        for line in membership.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            # version 1 names the folder "cpu,cpuacct" or "cpuacct,cpu", and always has a link "cpu"
            mount = mounts / "cpu" if controllers else mounts
            group = mount / path.lstrip("/")
            yield group
            yield from (parent for parent in group.parents if parent.is_relative_to(mount))


def _read_share(group: Path) -> float | None:
    """Read the share of a group, in cores; None without a limit."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        with suppress(OSError, ValueError):  # "max" is not a number
            quota, period = map(int, " ".join((group / name).read_text() for name in names).split())
            return quota / period if quota > 0 else None
    return None
