"""Shared parts of the benchmarks: effort, load, prepared requests and progress lines."""

import asyncio
import contextlib
import statistics
import sys
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any, Final, TypeVar

import uvloop

from predictor.engines.engine import EngineKind
from predictor.settings import PredictorSettings
from proof.lab.client import LoadResult, Reply, send_from_clients
from proof.lab.load import upload_files
from proof.lab.radiographs import FORMS, make_fresh_radiographs
from proof.lab.running_stack import RunningStack
from proof.lab.service_key import KEY_ONLY
from proof.speed import requests
from proof.speed.engine_alone import EngineAlone
from proof.speed.table import SpeedFigure, SpeedRow, require_at_most

T = TypeVar("T")
CLIENTS: Final = 8
"""The default number of concurrent clients."""


@dataclass(frozen=True)
class Effort:
    """The rounds, the seconds of each load, and the radiographs of each form.

    ``hits`` is the number of cache hits over which memory must stay flat.
    """

    rounds: int
    seconds: float
    radiographs: int
    hits: int = 0


@dataclass(frozen=True)
class SpeedLab:
    """The engine, the event loop and the effort with which benchmarks of the service run."""

    bundle: Path
    effort: Effort
    kind: EngineKind
    engine: EngineAlone
    runner: asyncio.Runner

    failed: list[Reply] = field(default_factory=list)
    """Failed replies, and refusals in loads that allow none."""

    @property
    def settings(self) -> Mapping[str, str]:
        """The settings with which a stack runs the same engine."""
        return {"PLEURA_ENGINE": self.kind}

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end."""
        return self.runner.run(work)

    def send_load(
        self, address: str, requests: Sequence[bytes], clients: int = CLIENTS, may_refuse: bool = False
    ) -> LoadResult:
        """Let clients repeat the requests for the duration of one load."""
        load = self.run(send_from_clients(address, cycle(requests), clients, self.effort.seconds))
        # So few clients must be answered: a refusal makes the rate look better than it is.
        self.failed.extend(load.failed if may_refuse else load.unanswered)
        if not load.answered:
            raise AssertionError(f"no request was answered: {load.replies[:1]}")
        return load

    def build_failure_row(self) -> SpeedRow:
        """Build the row that counts failed requests and names their statuses."""
        kinds = ", ".join(f"{status}" for status in sorted({reply.status for reply in self.failed}))
        return require_at_most(
            f"requests that failed, or were refused to {CLIENTS} clients",
            SpeedFigure(len(self.failed), "requests"),
            0,
            kinds,
        )


@contextlib.contextmanager
def start_speed_lab(bundle: Path, effort: Effort) -> Iterator[SpeedLab]:
    """Start a lab with its own event loop and the engine that the predictor's settings name."""
    # uvloop, because the client shares the cores with what it measures.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        kind = PredictorSettings.read(KEY_ONLY).engine
        yield SpeedLab(bundle, effort, kind, EngineAlone(bundle, kind), runner)


@dataclass(frozen=True)
class PreparedRequests:
    """Requests for the same radiographs, by id and with the file."""

    by_id: Sequence[bytes]
    with_file: Sequence[bytes]
    ids: Sequence[str]


def prepare_requests(stack: RunningStack, number: int, form: str = "PNG") -> PreparedRequests:
    """Make radiographs, upload them to the stack's store, and build the requests for them."""
    files, token = make_fresh_radiographs(number, seed=time.time_ns() % 2**32, form=form), stack.make_token()
    ids = upload_files(stack.record, files, f"benchmark/{time.time_ns()}")
    return PreparedRequests(
        [requests.build_id_request(token, image_id) for image_id in ids],
        [requests.build_file_request(token, file) for file in files],
        ids,
    )


def prepare_all_forms(stack: RunningStack, number: int) -> Mapping[str, PreparedRequests]:
    """Prepare requests for radiographs of every form."""
    return {form: prepare_requests(stack, number, form) for form in FORMS}


def median(values: Sequence[float]) -> float:
    """Return the median of the rounds."""
    return statistics.median(values)


def print_progress(message: str) -> None:
    """Write a progress line to standard error. Standard output holds only the table."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {message}\n")
    sys.stderr.flush()
