"""What every benchmark of the service needs: a stack, radiographs, the engine alone, how long to measure."""

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
from proof.speed import requests
from proof.speed.engine_alone import EngineAlone
from proof.speed.table import SpeedFigure, SpeedRow, at_most

T = TypeVar("T")
CLIENTS: Final = 8
"""Those who ask at once where nothing else is said."""


@dataclass(frozen=True)
class Effort:
    """How often each thing is measured in turn, for how long, on how many radiographs of each form.

    ``hits`` are the requests over which memory must be flat.
    """

    rounds: int
    seconds: float
    radiographs: int
    hits: int = 0


@dataclass(frozen=True)
class SpeedLab:
    """Where proof.speed of the service run."""

    bundle: Path
    effort: Effort
    kind: EngineKind
    engine: EngineAlone
    runner: asyncio.Runner

    failed: list[Reply] = field(default_factory=list)
    """What came back that is no answer, nor a refusal where there may be some."""

    @property
    def settings(self) -> Mapping[str, str]:
        """What a stack must be told to run the same engine."""
        return {"PLEURA_ENGINE": self.kind}

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a load to its end."""
        return self.runner.run(work)

    def load(
        self, address: str, requests: Sequence[bytes], clients: int = CLIENTS, may_refuse: bool = False
    ) -> LoadResult:
        """Let clients ask for as long as one load lasts, the same questions again and again."""
        load = self.run(send_from_clients(address, cycle(requests), clients, self.effort.seconds))
        self.failed.extend(load.failed if may_refuse else load.unanswered)
        if not load.answered:
            raise AssertionError(f"nothing was answered: {load.replies[:1]}")
        return load

    def failures(self) -> SpeedRow:
        """How many requests have failed, and how."""
        kinds = ", ".join(f"{status}" for status in sorted({reply.status for reply in self.failed}))
        return at_most(
            f"requests that failed, or were refused to {CLIENTS} clients",
            SpeedFigure(len(self.failed), "requests"),
            0,
            kinds,
        )


@contextlib.contextmanager
def speed_lab(bundle: Path, effort: Effort) -> Iterator[SpeedLab]:
    """A lab with an event loop of its own, and the engine that the predictor is set to."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        kind = PredictorSettings.read().engine
        yield SpeedLab(bundle, effort, kind, EngineAlone(bundle, kind), runner)


@dataclass(frozen=True)
class PreparedRequests:
    """Requests about the same radiographs, by id and with the file."""

    by_id: Sequence[bytes]
    with_file: Sequence[bytes]
    ids: Sequence[str]


def prepare(stack: RunningStack, number: int, form: str = "PNG") -> PreparedRequests:
    """Make radiographs, put them into the stack's store, and make the requests that ask about them."""
    files, token = make_fresh_radiographs(number, seed=time.time_ns() % 2**32, form=form), stack.make_token()
    ids = upload_files(stack.record, files, f"benchmark/{time.time_ns()}")
    return PreparedRequests(
        [requests.by_id(token, each) for each in ids],
        [requests.with_file(token, file) for file in files],
        ids,
    )


def prepare_all(stack: RunningStack, number: int) -> Mapping[str, PreparedRequests]:
    """The same in every form."""
    return {form: prepare(stack, number, form) for form in FORMS}


def median(values: Sequence[float]) -> float:
    """The median of the rounds."""
    return statistics.median(values)


def print_progress(what: str) -> None:
    """Tell whoever waits how far it is; the table goes to standard output, this does not."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {what}\n")
    sys.stderr.flush()
