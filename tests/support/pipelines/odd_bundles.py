"""Sealed bundles that pass every check when they are built, but cannot serve."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from proof.lab.bundles import TINY_FEATURES, build_description, make_head_arrays

_ROOT = Path(__file__).parents[3]


def nan_bundle(folder: Path) -> Path:
    """Build a bundle that answers NaN to a white radiograph."""
    return _build("nan", folder)


def large_bundle(folder: Path) -> Path:
    """Build a bundle that takes radiographs of 448 x 448."""
    return _build("large", folder)


def _build(kind: str, folder: Path) -> Path:
    """Build a bundle in another process, so that this one does not import TensorFlow."""
    command = [sys.executable, "-m", "tests.support.pipelines.odd_bundles", kind, str(folder)]
    subprocess.run(command, cwd=_ROOT, check=True, stdout=subprocess.DEVNULL)
    return folder


def _write(kind: str, folder: Path) -> None:
    import numpy as np
    import tensorflow as tf

    import predictor.build.export
    import predictor.build.graph
    from pleura.bundle import seal
    from predictor.build.weights import take_head

    tile_px = 32
    if kind == "large":
        for module in (predictor.build.export, predictor.build.graph):
            vars(module)["SIZE_PX"] = 448
        tile_px = 64
    weights = np.linspace(-1, 1, TINY_FEATURES, dtype=np.float32)

    def features(x: Any) -> Any:
        darkness = tf.reduce_mean(255.0 - x, axis=(1, 2, 3), keepdims=True)
        nan_if_white = darkness * tf.math.rsqrt(darkness) * 1e-3
        tiles = tf.nn.avg_pool2d(x / 255.0, tile_px, tile_px, "VALID")
        return tf.nn.relu(tiles * weights + 0.5) + nan_if_white

    graph = predictor.build.graph.ServingGraph
    head = take_head(make_head_arrays(TINY_FEATURES))
    folder.mkdir(parents=True, exist_ok=True)
    predictor.build.export.write_graphs(graph(features, head), graph(features, head, batch=1), folder)
    seal(folder, build_description())


if __name__ == "__main__":
    _write(sys.argv[1], Path(sys.argv[2]))
