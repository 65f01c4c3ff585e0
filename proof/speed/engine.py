"""Compare the engines with other ways to run the network, and with the time of a matrix product.

Every call runs once in each round, so that a disturbance of the machine affects all of them. Only the ratios
of one run are meaningful. They use the best round of each call. A median far above the best shows that the
machine was busy. A pause and an uncounted run precede each timing. OpenBLAS's threads spin for a while after
a product and would double the time of the next call, and each call must find its own data in the caches.
"""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf

from pleura.cpu_count import usable_cpus
from predictor.build.export import draw_synthetic_radiographs
from predictor.build.network import build_feature_network
from predictor.engines.litert import LiteRtEngine
from predictor.engines.openvino import OpenVinoEngine
from predictor.engines.tensorflow import TensorFlowEngine
from proof.speed import table
from proof.speed.table import Kind, SpeedFigure

GFLOP_A_RADIOGRAPH: Final = 5.09
"""Operations of the folded graph, as the TensorFlow Lite converter counts them."""
_MATRIX: Final = 1536
# docs/decisions/0001: in batches the peers gain, and LiteRT does not.
_LARGE_BATCH: Final = 8
_PAUSE_S: Final = 0.1
_OF_FUNCTION, _OF_PREDICT, _OF_FLOOR = 2.0, 4.0, 0.85
EngineCall = Callable[[], Any]


@dataclass(frozen=True)
class EngineRow:
    """One call at one batch size, with the milliseconds for a radiograph in the best and the median round."""

    name: str
    batch: int
    best_ms: float
    median_ms: float


def _build_tutorial_network() -> keras.Model:
    features = build_feature_network()
    pooled = keras.layers.GlobalAveragePooling2D()(features.output)
    return keras.Model(features.input, keras.layers.Dense(14, activation="sigmoid")(pooled))


def _build_floor() -> EngineCall:
    matrix = np.random.default_rng(0).random((_MATRIX, _MATRIX), np.float32)
    return lambda: matrix @ matrix


def build_engine_calls(bundle: Path, threads: int) -> dict[tuple[str, int], EngineCall]:
    """Build every call that runs the network, at batch 1 and 8, by name and batch."""
    litert, openvino = LiteRtEngine(bundle, threads), OpenVinoEngine(bundle, threads)
    saved, network = TensorFlowEngine(bundle), _build_tutorial_network()
    calls: dict[tuple[str, int], EngineCall] = {}
    for batch in (1, _LARGE_BATCH):
        radiographs = draw_synthetic_radiographs(batch)
        floats = radiographs.astype(np.float32)
        # The default binds the value now: a plain closure would see the arrays of the last batch size.
        calls["keras predict", batch] = lambda x=floats: network.predict(x, verbose=0)  # type: ignore[misc]
        calls["tf.function", batch] = lambda x=radiographs: saved.run(x)  # type: ignore[misc]
        calls["LiteRT", batch] = lambda x=radiographs: litert.run(x)  # type: ignore[misc]
        calls["OpenVINO", batch] = lambda x=radiographs: openvino.run(x)  # type: ignore[misc]
    return calls


def _time_call(call: EngineCall) -> float:
    """Time a call after a pause and an uncounted run of the same call."""
    # docs/decisions/0032: OpenBLAS's threads spin after a product, and LiteRT took 39 ms instead of 21.
    time.sleep(_PAUSE_S)
    call()
    started_s = time.perf_counter()
    call()
    return time.perf_counter() - started_s


def time_calls(calls: dict[tuple[str, int], EngineCall], rounds: int) -> list[EngineRow]:
    """Time all calls in turn. The row of the floor comes first."""
    floor, seconds = _build_floor(), {key: [] for key in [("SGEMM floor", 1), *calls]}  # type: ignore[var-annotated]
    for _ in range(rounds):
        for key, call in {("SGEMM floor", 1): floor, **calls}.items():
            seconds[key].append(_time_call(call) / key[1])
    # The product of two n x n matrices takes n^3 multiplications and as many additions.
    share = GFLOP_A_RADIOGRAPH / (2 * _MATRIX**3 / 1e9)
    seconds["SGEMM floor", 1] = [each * share for each in seconds["SGEMM floor", 1]]
    return [
        EngineRow(name, batch, min(each) * 1000, float(np.median(each)) * 1000)
        for (name, batch), each in seconds.items()
    ]


def _compare(
    row: EngineRow, peer: EngineRow, threads: int, bound: float | None, kind: Kind = "x"
) -> table.SpeedRow:
    """Compare two calls by radiographs a second, so that more is better."""
    figure, other = (SpeedFigure(1000 / each.best_ms, "/s", each.name) for each in (row, peer))
    return table.compare_ratio(f"engine, batch {row.batch}, {threads} threads", figure, other, bound, kind)


def measure_engines(bundle: Path, rounds: int) -> list[table.SpeedRow]:
    """Measure the CPU engines against their bounds. TensorFlow then stays loaded in the process."""
    threads = usable_cpus()
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    measured = {(row.name, row.batch): row for row in time_calls(build_engine_calls(bundle, threads), rounds)}
    rows = []
    for engine, batch in itertools.product(("LiteRT", "OpenVINO"), (1, _LARGE_BATCH)):
        ours, floor = measured[engine, batch], measured["SGEMM floor", 1]
        rows.append(_compare(ours, measured["tf.function", batch], threads, _OF_FUNCTION))
        rows.append(_compare(ours, measured["keras predict", batch], threads, _OF_PREDICT))
        rows.append(_compare(ours, floor, threads, _OF_FLOOR if batch == 1 else None, "%"))
    slowest = max(row.median_ms / row.best_ms for row in measured.values())
    return [
        *rows,
        table.SpeedRow("engine, noise: median over best round", f"{slowest:.2f}x at most", "", ""),
    ]
