"""The whole way, proxy to journal and back, against the engine alone: what the service costs on top."""

import argparse
import io
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from minio import Minio

from benchmarks.radiographs import fresh_radiographs
from pleura.local.access import BUCKET, make_token
from pleura.local.processes import free_port
from pleura.local.state import Recorded, StateFolder
from predictor.engines import LiteRtEngine

_ALONE, _TOGETHER, _CLIENTS = 40, 120, 8


@dataclass(frozen=True)
class Figures:
    """Medians in milliseconds at one client, and answers a second at eight."""

    engine_ms: float
    uncached_ms: float
    cached_ms: float
    engine_per_s: float
    uncached_per_s: float
    cached_per_s: float


def _pleura(state: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "pleura.cli", "--state", str(state), *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def _stack(bundle: Path, state: Path) -> Iterator[Recorded]:
    ports = ("--port", str(free_port()), "--grpc-port", str(free_port()))
    _pleura(state, "up", "--detach", "--bundle", str(bundle), *ports)
    try:
        recorded = StateFolder(state).read()
        assert recorded
        yield recorded
    finally:
        _pleura(state, "down")


def _upload(recorded: Recorded, files: Sequence[bytes]) -> list[str]:
    store = recorded.store
    address = store["url"].removeprefix("http://")
    client = Minio(address, store["access_key"], store["secret_key"], secure=False)
    names = [f"benchmark/{number}.png" for number in range(len(files))]
    for name, file in zip(names, files, strict=True):
        client.put_object(BUCKET, name, io.BytesIO(file), len(file))
    return names


def _median_ms(calls: Sequence[Callable[[], object]]) -> float:
    seconds = []
    for call in calls:
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return 1000 * statistics.median(seconds)


def _per_second(calls: Sequence[Callable[[], object]], clients: int) -> float:
    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        for done in [pool.submit(call) for call in calls]:
            done.result()
    return len(calls) / (time.perf_counter() - began)


class _Client:
    def __init__(self, recorded: Recorded, state: Path) -> None:
        headers = {"authorization": f"Bearer {make_token(state, recorded.issuer)}"}
        self._http = httpx.Client(base_url=recorded.address, headers=headers, trust_env=False, timeout=60)

    def classify(self, image_id: str) -> Callable[[], object]:
        """A call that asks for one radiograph's findings, patiently where it asks too fast."""

        def call() -> object:
            while (answer := self._http.post("/classify", json={"image_id": image_id})).status_code == 429:
                time.sleep(0.05)
            return answer.raise_for_status()

        return call


def measure(bundle: Path) -> Figures:
    """Run everything once, engine and service in turn."""
    engine = LiteRtEngine(bundle, threads=2)
    tensor = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 1), np.uint8)
    files = fresh_radiographs(_ALONE + _TOGETHER + 5, seed=time.time_ns() % 2**32)
    with tempfile.TemporaryDirectory() as folder, _stack(bundle, Path(folder)) as recorded:
        client = _Client(recorded, Path(folder))
        calls = [client.classify(name) for name in _upload(recorded, files)]
        warm, alone, together = calls[:5], calls[5 : 5 + _ALONE], calls[5 + _ALONE :]
        _median_ms(warm)
        engine_ms, uncached_ms = [], []
        for start in range(0, _ALONE, 10):
            engine_ms.append(_median_ms([lambda: engine.run(tensor)] * 10))
            uncached_ms.append(_median_ms(alone[start : start + 10]))
        return Figures(
            statistics.median(engine_ms),
            statistics.median(uncached_ms),
            cached_ms=_median_ms(alone * 2),
            engine_per_s=_per_second([lambda: engine.run(tensor)] * 60, clients=1),
            uncached_per_s=_per_second(together, _CLIENTS),
            cached_per_s=_per_second(together * 4, _CLIENTS),
        )


def table(figures: Figures) -> str:
    """Write the figures as ratios."""
    f = figures
    rows = [
        ("engine alone, one radiograph", f"{f.engine_ms:.1f} ms", "1.00"),
        (
            "whole way, not cached, 1 client",
            f"{f.uncached_ms:.1f} ms",
            f"{f.uncached_ms / f.engine_ms:.2f} x engine, {f.uncached_ms - f.engine_ms:+.1f} ms",
        ),
        (
            "whole way, cached, 1 client",
            f"{f.cached_ms:.1f} ms",
            f"{f.cached_ms / f.engine_ms:.2f} x engine",
        ),
        ("engine alone", f"{f.engine_per_s:.1f} /s", "1.00"),
        (
            f"whole way, not cached, {_CLIENTS} clients",
            f"{f.uncached_per_s:.1f} /s",
            f"{f.uncached_per_s / f.engine_per_s:.2f} x engine",
        ),
        (
            f"whole way, cached, {_CLIENTS} clients",
            f"{f.cached_per_s:.1f} /s",
            f"{f.cached_per_s / f.uncached_per_s:.1f} x not cached",
        ),
    ]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(["| 1024 px PNG by id | median | ratio |", "|---|---:|---:|", *lines])


def main() -> None:
    """Measure, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    print(table(measure(parser.parse_args().bundle)))


if __name__ == "__main__":
    main()
