"""The whole way where inference has cores of its own, as a predictor's pod has: half of those there are.

Everything else, client, PostgreSQL and object store included, shares the other half. Where all share the same
cores, the processor time of all that keeps the whole way below the engine; here it is what the services make
inference wait for.
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
from proof.speed.costs import pids_of
from proof.speed.engine_alone import EngineAlone
from proof.speed.lab import SpeedLab, median, prepare_all, print_progress
from proof.speed.table import SpeedFigure, SpeedRow
from proof.speed.whole_way import ALONE, Round, overhead_rows, rate_rows, round_of, ways_of

Cores = Sequence[int]


def split_cores() -> tuple[Cores, Cores]:
    """The cores for inference, and those for all else."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[: len(cores) // 2], cores[len(cores) // 2 :]


def _pin(pids: Sequence[int], cores: Cores) -> None:
    """Let processes run on these cores only; what they start later inherits it."""
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.sched_setaffinity(int(thread.name), cores)


@contextlib.contextmanager
def _apart(stack: RunningStack, inference: Cores, others: Cores) -> Iterator[None]:
    """Give the predictor its cores, and all else, this process too, the others."""
    for part, pids in pids_of(stack).items():
        _pin(pids, inference if part == "predictor" else others)
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, others)
    try:
        yield
    finally:
        os.sched_setaffinity(0, everywhere)


def _engine(bundle: Path, kind: EngineKind, cores: Cores, seconds: float) -> tuple[float, float]:
    os.sched_setaffinity(0, cores)
    engine = EngineAlone(bundle, kind, len(cores))
    return max(engine.per_s(seconds)), engine.median_ms(ALONE)


def _measured_apart(lab: SpeedLab, cores: Cores) -> tuple[float, float]:
    """Radiographs a second of the engine alone, and its median, from a process of its own on its cores."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_engine, lab.bundle, lab.kind, cores, lab.effort.seconds).result()


def rows(lab: SpeedLab) -> list[SpeedRow]:
    """Eight clients and one client in every form, beside the engine alone on the same cores."""
    inference, others = split_cores()
    if not inference:
        return [SpeedRow("whole way, inference on cores of its own", "one core: not measured", "", "")]
    with running_stack(
        lab.bundle, "--no-cache", "--threads", str(len(inference)), environment=lab.settings
    ) as stack:
        ways = ways_of(prepare_all(stack, lab.effort.radiographs))
        engines, rounds = list[tuple[float, float]](), {way.name: list[Round]() for way in ways}
        with _apart(stack, inference, others):
            for number in range(lab.effort.rounds):
                engines.append(_measured_apart(lab, inference))
                for way in ways:
                    print_progress(f"apart: round {number + 1}, {way.name}")
                    rounds[way.name].append(round_of(lab, stack.record.address, way))
    what = f"engine on {len(inference)} of {len(inference) + len(others)} cores"
    best = SpeedFigure(median([per_s for per_s, _ in engines]), "/s", what)
    alone = SpeedFigure(median([median_ms for _, median_ms in engines]), "ms", what)
    return [*rate_rows(rounds, best, ", inference apart"), *overhead_rows(rounds, alone, ", inference apart")]
