"""What the engine costs beside its peers and the floor: ``python -m benchmarks.engine BUNDLE``.

Every way is run in turn, round after round, so that whatever else the machine does meets all of them; only
the ratios of one run mean something. They are taken from the best round of each way, which is what the
way can do; where the median is far above the best, the machine was not quiet.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf

from predictor.engines import LiteRtEngine, TensorFlowEngine
from predictor.export import synthetic_radiographs
from predictor.network import feature_network

GFLOP_A_RADIOGRAPH: Final = 5.09
"""Of the folded graph, as the TensorFlow Lite converter counts it."""
_MATRIX: Final = 1536
_LARGE_BATCH: Final = 8
Way = Callable[[], Any]


@dataclass(frozen=True)
class Row:
    """One way at one batch size: milliseconds for a radiograph, in its best round and in the median."""

    name: str
    batch: int
    best_ms: float
    median_ms: float

    def ratio_to(self, floor: "Row") -> float:
        """How fast it is, where the floor is 1."""
        return floor.best_ms / self.best_ms


def _tutorial_network() -> keras.Model:
    features = feature_network()
    pooled = keras.layers.GlobalAveragePooling2D()(features.output)
    return keras.Model(features.input, keras.layers.Dense(14, activation="sigmoid")(pooled))


def _floor() -> Way:
    matrix = np.random.default_rng(0).random((_MATRIX, _MATRIX), np.float32)
    return lambda: matrix @ matrix


def ways_of(bundle: Path, threads: int) -> dict[tuple[str, int], Way]:
    """Every way to run the network, at batch 1 and 8, by name and batch."""
    litert, saved, network = LiteRtEngine(bundle, threads), TensorFlowEngine(bundle), _tutorial_network()
    ways: dict[tuple[str, int], Way] = {}
    for batch in (1, _LARGE_BATCH):
        radiographs = synthetic_radiographs(batch)
        floats = radiographs.astype(np.float32)
        ways["keras predict", batch] = lambda x=floats: network.predict(x, verbose=0)  # type: ignore[misc]
        ways["tf.function", batch] = lambda x=radiographs: saved.run(x)  # type: ignore[misc]
        ways["LiteRT", batch] = lambda x=radiographs: litert.run(x)  # type: ignore[misc]
    return ways


def measure(ways: dict[tuple[str, int], Way], rounds: int) -> list[Row]:
    """Run all ways in turn; the floor's row comes first."""
    floor, seconds = _floor(), {key: [] for key in [("SGEMM floor", 1), *ways]}  # type: ignore[var-annotated]
    for turn in range(rounds + 1):
        for key, way in {("SGEMM floor", 1): floor, **ways}.items():
            started_s = time.perf_counter()
            way()
            if turn:  # the first round warms
                seconds[key].append((time.perf_counter() - started_s) / key[1])
    share = GFLOP_A_RADIOGRAPH / (2 * _MATRIX**3 / 1e9)
    seconds["SGEMM floor", 1] = [each * share for each in seconds["SGEMM floor", 1]]
    return [
        Row(name, batch, min(each) * 1000, float(np.median(each)) * 1000)
        for (name, batch), each in seconds.items()
    ]


def main() -> None:
    """Measure, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    rows = measure(ways_of(arguments.bundle, arguments.threads), arguments.rounds)
    reference = {row.batch: row for row in rows if row.name == "tf.function"}
    sys.stdout.write("way              batch  best ms  median ms  of the floor  of tf.function\n")
    for row in rows:
        sys.stdout.write(
            f"{row.name:<16} {row.batch:>5} {row.best_ms:>8.1f} {row.median_ms:>10.1f}"
            f" {row.ratio_to(rows[0]):>13.0%} {row.ratio_to(reference[row.batch]):>14.2f}x\n"
        )


if __name__ == "__main__":
    main()
