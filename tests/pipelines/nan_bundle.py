"""A sealed bundle that passes every check when it is built, and answers NaN to a white radiograph."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.bundles import TINY_FEATURES, description, head_arrays

_ROOT = Path(__file__).parents[2]


def nan_bundle(folder: Path) -> Path:
    """Build it; TensorFlow stays in a process of its own."""
    command = [sys.executable, "-m", "tests.pipelines.nan_bundle", str(folder)]
    subprocess.run(command, cwd=_ROOT, check=True, stdout=subprocess.DEVNULL)
    return folder


def _write(folder: Path) -> None:
    import numpy as np
    import tensorflow as tf

    from pleura.bundle import seal
    from predictor.export import write_graphs
    from predictor.graph import ServingGraph
    from predictor.weights import head_of

    weights = np.linspace(-1, 1, TINY_FEATURES, dtype=np.float32)

    def features(x: Any) -> Any:
        darkness = tf.reduce_mean(255.0 - x, axis=(1, 2, 3), keepdims=True)
        no_number_if_white = darkness * tf.math.rsqrt(darkness) * 1e-3
        tiles = tf.nn.avg_pool2d(x / 255.0, 32, 32, "VALID")
        return tf.nn.relu(tiles * weights + 0.5) + no_number_if_white

    head = head_of(head_arrays(TINY_FEATURES))
    folder.mkdir(parents=True, exist_ok=True)
    write_graphs(ServingGraph(features, head), ServingGraph(features, head, batch=1), folder)
    seal(folder, description())


if __name__ == "__main__":
    _write(Path(sys.argv[1]))
