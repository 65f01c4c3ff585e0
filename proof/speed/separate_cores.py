"""Measure the whole way with half of the cores reserved for inference, as a predictor's pod has its own.

The services, the client, PostgreSQL and the object store share the other half. On shared cores, their
processor time lowers the rate of the whole way. Here only the time counts for which inference waits for them.
"""

import contextlib
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from predictor.engines.engine import EngineKind
from proof.lab.running_stack import RunningStack
from proof.lab.stack import running_stack
from proof.speed.costs import find_pids
from proof.speed.engine_alone import EngineAlone
from proof.speed.lab import SpeedLab, median, prepare_all_forms, print_progress
from proof.speed.table import SpeedFigure, SpeedRow
from proof.speed.whole_way import (
    ALONE,
    WayRound,
    list_request_ways,
    list_way_rows,
    measure_round,
)

Cores = Sequence[int]


def split_cores() -> tuple[Cores, Cores]:
    """Split the cores into those for inference and those for everything else."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[: len(cores) // 2], cores[len(cores) // 2 :]


def _pin_processes(pids: Sequence[int], cores: Cores) -> None:
    """Let processes run on these cores only. Processes that they start later inherit this."""
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(ProcessLookupError):  # the thread has just ended
                os.sched_setaffinity(int(thread.name), cores)


@contextlib.contextmanager
def _pin_stack(stack: RunningStack, inference: Cores, others: Cores) -> Iterator[None]:
    """Pin the predictor to its cores, and all other processes, this one included, to the others."""
    for part, pids in find_pids(stack).items():
        _pin_processes(pids, inference if part == "predictor" else others)
    all_cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, others)
    try:
        yield
    finally:
        os.sched_setaffinity(0, all_cores)


def _measure_engine_here(bundle: Path, kind: EngineKind, cores: Cores, seconds: float) -> tuple[float, float]:
    os.sched_setaffinity(0, cores)
    # Opened only now, because the engine's threads inherit the cores of this process.
    engine = EngineAlone(bundle, kind, len(cores))
    return max(engine.measure_per_s(seconds)), engine.measure_median_ms(ALONE)


def _measure_engine(lab: SpeedLab, cores: Cores) -> tuple[float, float]:
    """Measure the rate and the median time of the engine alone, in a new process on its cores."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measure_engine_here, lab.bundle, lab.kind, cores, lab.effort.seconds).result()


def measure_separate_cores(lab: SpeedLab) -> list[SpeedRow]:
    """Compare eight clients and one client, in every form, with the engine alone on the same cores."""
    inference, others = split_cores()
    if not inference:
        return [SpeedRow("whole way, inference on cores of its own", "one core: not measured", "", "")]
    with running_stack(
        lab.bundle, "--no-cache", "--threads", str(len(inference)), environment=lab.settings
    ) as stack:
        ways = list_request_ways(prepare_all_forms(stack, lab.effort.radiographs))
        engines, rounds = list[tuple[float, float]](), {way.name: list[WayRound]() for way in ways}
        with _pin_stack(stack, inference, others):
            for number in range(lab.effort.rounds):
                engines.append(_measure_engine(lab, inference))
                for way in ways:
                    print_progress(f"apart: round {number + 1}, {way.name}")
                    rounds[way.name].append(measure_round(lab, stack.record.address, way))
    label = f"engine on {len(inference)} of {len(inference) + len(others)} cores"
    best = SpeedFigure(median([per_s for per_s, _ in engines]), "/s", label)
    alone = SpeedFigure(median([median_ms for _, median_ms in engines]), "ms", label)
    return list_way_rows(rounds, best, alone, ", inference apart")
