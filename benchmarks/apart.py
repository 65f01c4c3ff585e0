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
from typing import Final

from benchmarks.costs import pids_of
from benchmarks.engine_alone import EngineAlone
from benchmarks.lab import CLIENTS, Lab, middle, prepare_all, say
from benchmarks.table import Figure, Row, ratio
from benchmarks.whole_way import ways_of
from predictor.engines import EngineKind
from proof.stack import running
from tests.stacks import RunningStack

_SHARE: Final = 0.80
Cores = Sequence[int]


def halves() -> tuple[Cores, Cores]:
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


def _engine_per_s(bundle: Path, kind: EngineKind, cores: Cores, seconds: float) -> float:
    os.sched_setaffinity(0, cores)
    return max(EngineAlone(bundle, kind, len(cores)).per_s(seconds))


def _measured_apart(lab: Lab, cores: Cores) -> float:
    """Radiographs a second of the engine alone, from a process of its own on its cores."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_engine_per_s, lab.bundle, lab.kind, cores, lab.effort.seconds).result()


def rows(lab: Lab) -> list[Row]:
    """Radiographs a second at eight clients in every form, beside the engine alone on the same cores."""
    inference, others = halves()
    if not inference:
        return [Row("whole way, inference on cores of its own", "one core: not measured", "", "")]
    with running(
        lab.bundle, "--no-cache", "--threads", str(len(inference)), environment=lab.settings
    ) as stack:
        ways = ways_of(prepare_all(stack, lab.effort.radiographs))
        engines, rates = list[float](), {way.name: list[float]() for way in ways}
        with _apart(stack, inference, others):
            for number in range(lab.effort.rounds):
                engines.append(_measured_apart(lab, inference))
                for way in ways:
                    say(f"apart: round {number + 1}, {way.name}")
                    rates[way.name].append(lab.load(stack.recorded.address, way.requests).per_s)
    peer = Figure(
        middle(engines), "/s", f"engine on {len(inference)} of {len(inference) + len(others)} cores"
    )
    return [
        ratio(
            f"whole way, {name}, {CLIENTS} clients, inference apart",
            Figure(middle(of_way), "/s"),
            peer,
            _SHARE,
            "%",
        )
        for name, of_way in rates.items()
    ]
