"""Measure the engine without a service around it. The whole service is compared with this rate."""

import statistics
import threading
import time
from pathlib import Path

import numpy as np

from pleura.cpu_count import usable_cpus
from predictor.engines.engine import Engine, EngineKind, open_engine


class EngineAlone:
    """One engine on all cores, and one engine on each core.

    The engines live in the client's process and are idle while the service is measured.
    """

    def __init__(self, bundle: Path, kind: EngineKind, cores: int | None = None) -> None:
        cores = cores or usable_cpus()
        self._wide = open_engine(kind, bundle, cores)
        self._narrow = [open_engine(kind, bundle, 1) for _ in range(cores)]
        rng = np.random.default_rng(0)
        # The time of a network does not depend on what the picture shows.
        self._tensor = rng.integers(0, 256, (1, 224, 224, 1), np.uint8)
        # docs/decisions/0032: a first run that does not count.
        for engine in (self._wide, *self._narrow):
            engine.run(self._tensor)

    def measure_median_ms(self, number: int) -> float:
        """Measure the median time of ``number`` radiographs in sequence, on all cores."""
        seconds = []
        for _ in range(number):
            began_s = time.perf_counter()
            self._wide.run(self._tensor)
            seconds.append(time.perf_counter() - began_s)
        return 1000 * statistics.median(seconds)

    def measure_per_s(self, seconds: float) -> tuple[float, float]:
        """Measure radiographs a second of one engine on all cores, and of one engine on each core."""
        return self._measure_rate([self._wide], seconds / 2), self._measure_rate(self._narrow, seconds / 2)

    def _measure_rate(self, engines: list[Engine], seconds: float) -> float:
        began_s, done = time.perf_counter(), [0] * len(engines)

        def read(position: int) -> None:
            while time.perf_counter() < began_s + seconds:
                engines[position].run(self._tensor)
                done[position] += 1

        # Threads are enough: the engines release the interpreter's lock while they compute.
        threads = [threading.Thread(target=read, args=(position,)) for position in range(len(engines))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(done) / (time.perf_counter() - began_s)
