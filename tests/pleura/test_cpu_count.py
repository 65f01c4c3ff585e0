"""Count of the cores that a process may use."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pleura.cpu_count import usable_cpus
from proof.lab.service_key import KEY_ONLY

_CORES = len(os.sched_getaffinity(0))


def _cores(folder: Path, membership: str, files: dict[str, str]) -> int:
    """What is found where the kernel's files are these: only who is root on a machine may make a group."""
    said, mounts = folder / "cgroup", folder / "fs"
    said.write_text(membership)
    for name, text in files.items():
        (mounts / name).parent.mkdir(parents=True, exist_ok=True)
        (mounts / name).write_text(text)
    return usable_cpus(said, mounts)


def test_cpu_affinity_limits_the_cores() -> None:
    """A process that is bound to one core has one, and so has its predictor."""
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from pleura.cpu_count import usable_cpus\n"
        "from predictor.settings import PredictorSettings\n"
        "print(usable_cpus(), PredictorSettings.read().threads)"
    )
    environment = os.environ | KEY_ONLY
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["1", "1"]


@pytest.mark.parametrize(
    ("membership", "files"),
    [
        ("0::/\n", {"cpu.max": "50000 100000\n"}),
        ("0::/a/b\n", {"cpu.max": "max 100000\n", "a/cpu.max": "100000 100000", "a/b/cpu.max": "max 100000"}),
        ("0::/a\n", {"cpu.max": "200000 100000\n", "a/cpu.max": "100000 100000\n"}),
        ("0::/of/the/host\n", {"cpu.max": "100000 100000\n"}),
        (
            "3:memory:/\n2:cpuacct,cpu:/a\n",
            {"cpu/a/cpu.cfs_quota_us": "50000\n", "cpu/a/cpu.cfs_period_us": "100000\n"},
        ),
    ],
)
def test_a_share_of_the_time_counts_as_so_many_cores(
    tmp_path: Path, membership: str, files: dict[str, str]
) -> None:
    """The smallest share of all groups of a process is its limit, in both versions of control groups."""
    assert _cores(tmp_path, membership, files) == 1


@pytest.mark.parametrize(
    ("membership", "files"),
    [
        ("", {}),
        ("0::/\n", {"cpu.max": "max 100000\n"}),
        ("0::/\n", {"cpu.max": "9900000 100000\n"}),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}),
        ("1:cpuset:/\n", {"cpu/cpu.cfs_quota_us": "1\n", "cpu/cpu.cfs_period_us": "100000\n"}),
        ("0::/\n", {"cpu.max": "nonsense"}),
    ],
)
def test_without_a_limit_all_cores_count(tmp_path: Path, membership: str, files: dict[str, str]) -> None:
    """No limit, a limit above the number of cores, one of another controller, and one that is unreadable."""
    assert _cores(tmp_path, membership, files) == _CORES


def test_part_of_a_core_counts_as_one(tmp_path: Path) -> None:
    """One and a half cores count as two: with one thread, some time stays unused."""
    assert _cores(tmp_path, "0::/\n", {"cpu.max": "150000 100000\n"}) == min(2, _CORES)
