"""What the engine costs beside its peers and the floor.

Every way is run in turn, round after round, so that whatever else the machine does meets all of them; only
the ratios of one run mean something. They are taken from the best round of each way, which is what the
way can do; where the median is far above the best, the machine was not quiet. Before each there is a pause
and a run that does not count: OpenBLAS's threads go on spinning after a product, which doubles the time of
whatever comes next, and each way has filled the caches with its own.
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
"""Of the folded graph, as the TensorFlow Lite converter counts it."""
_MATRIX: Final = 1536
_LARGE_BATCH: Final = 8
_PAUSE_S: Final = 0.1
_OF_FUNCTION, _OF_PREDICT, _OF_FLOOR = 2.0, 4.0, 0.85
Way = Callable[[], Any]


@dataclass(frozen=True)
class EngineRow:
    """One way at one batch size: milliseconds for a radiograph, in its best round and in the median."""

    name: str
    batch: int
    best_ms: float
    median_ms: float


def _tutorial_network() -> keras.Model:
    features = build_feature_network()
    pooled = keras.layers.GlobalAveragePooling2D()(features.output)
    return keras.Model(features.input, keras.layers.Dense(14, activation="sigmoid")(pooled))


def _floor() -> Way:
    matrix = np.random.default_rng(0).random((_MATRIX, _MATRIX), np.float32)
    return lambda: matrix @ matrix


def ways_of(bundle: Path, threads: int) -> dict[tuple[str, int], Way]:
    """Every way to run the network, at batch 1 and 8, by name and batch."""
    litert, openvino = LiteRtEngine(bundle, threads), OpenVinoEngine(bundle, threads)
    saved, network = TensorFlowEngine(bundle), _tutorial_network()
    ways: dict[tuple[str, int], Way] = {}
    for batch in (1, _LARGE_BATCH):
        radiographs = draw_synthetic_radiographs(batch)
        floats = radiographs.astype(np.float32)
        ways["keras predict", batch] = lambda x=floats: network.predict(x, verbose=0)  # type: ignore[misc]
        ways["tf.function", batch] = lambda x=radiographs: saved.run(x)  # type: ignore[misc]
        ways["LiteRT", batch] = lambda x=radiographs: litert.run(x)  # type: ignore[misc]
        ways["OpenVINO", batch] = lambda x=radiographs: openvino.run(x)  # type: ignore[misc]
    return ways


def _seconds_of(way: Way) -> float:
    """How long a way takes where it alone computes, and has just done the same."""
    time.sleep(_PAUSE_S)
    way()
    started_s = time.perf_counter()
    way()
    return time.perf_counter() - started_s


def measure(ways: dict[tuple[str, int], Way], rounds: int) -> list[EngineRow]:
    """Run all ways in turn; the floor's row comes first."""
    floor, seconds = _floor(), {key: [] for key in [("SGEMM floor", 1), *ways]}  # type: ignore[var-annotated]
    for _ in range(rounds):
        for key, way in {("SGEMM floor", 1): floor, **ways}.items():
            seconds[key].append(_seconds_of(way) / key[1])
    share = GFLOP_A_RADIOGRAPH / (2 * _MATRIX**3 / 1e9)
    seconds["SGEMM floor", 1] = [each * share for each in seconds["SGEMM floor", 1]]
    return [
        EngineRow(name, batch, min(each) * 1000, float(np.median(each)) * 1000)
        for (name, batch), each in seconds.items()
    ]


def _compared(
    row: EngineRow, peer: EngineRow, threads: int, bound: float | None, kind: Kind = "x"
) -> table.SpeedRow:
    """A way beside another; radiographs a second, so that more is better."""
    figure, other = (SpeedFigure(1000 / each.best_ms, "/s", each.name) for each in (row, peer))
    return table.ratio(f"engine, batch {row.batch}, {threads} threads", figure, other, bound, kind)


def rows(bundle: Path, rounds: int) -> list[table.SpeedRow]:
    """The engines for CPUs against their bounds; for a process of its own, since TensorFlow stays in it."""
    threads = usable_cpus()
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    measured = {(row.name, row.batch): row for row in measure(ways_of(bundle, threads), rounds)}
    found = []
    for engine, batch in itertools.product(("LiteRT", "OpenVINO"), (1, _LARGE_BATCH)):
        ours, floor = measured[engine, batch], measured["SGEMM floor", 1]
        found.append(_compared(ours, measured["tf.function", batch], threads, _OF_FUNCTION))
        found.append(_compared(ours, measured["keras predict", batch], threads, _OF_PREDICT))
        found.append(_compared(ours, floor, threads, _OF_FLOOR if batch == 1 else None, "%"))
    slowest = max(row.median_ms / row.best_ms for row in measured.values())
    return [
        *found,
        table.SpeedRow("engine, how noisy: median over best round", f"{slowest:.2f}x at most", "", ""),
    ]
