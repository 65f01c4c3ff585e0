"""Make sealed challengers of the tiny bundle, each with its own difference, in a separate process."""

import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

from pleura.bundle import seal
from proof.lab.bundles import TINY_FEATURES, build_description, make_head_arrays

KINDS: Final = ("close", "nan", "never_ready", "slow", "large")
_ROOT = Path(__file__).parents[2]


def make_challengers(folder: Path) -> dict[str, Path]:
    """Make one bundle of each kind.

    ``close`` answers almost as the tiny bundle does. ``nan`` answers NaN on every radiograph that is not
    blank, which no start-up check can see. ``never_ready`` answers NaN on a blank one too. ``slow`` computes
    more. ``large`` takes radiographs of 448 x 448.
    """
    subprocess.run(
        [sys.executable, "-m", "tests.support.challengers", str(folder)],
        cwd=_ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return {kind: folder / kind for kind in KINDS}


def _write_bundle(folder: Path, kind: str) -> None:
    import tensorflow as tf

    import predictor.build.export
    import predictor.build.graph
    from predictor.build.weights import take_head
    from predictor.engines.engine import LITERT_FILE, SAVED_MODEL_FOLDER

    tile_px = 32
    if kind == "large":  # the last kind, because this changes the size of all that follow
        for module in (predictor.build.export, predictor.build.graph):
            vars(module)["SIZE_PX"] = 448
        tile_px = 64
    weights = np.linspace(-1, 1, TINY_FEATURES, dtype=np.float32)
    kernel = np.random.default_rng(0).normal(0, 0.05, (3, 3, 64, 64)).astype(np.float32)

    def features(x: Any) -> Any:
        tiles = tf.nn.avg_pool2d(x / 255.0, tile_px, tile_px, "VALID")
        maps = tf.nn.relu(tiles * weights + 0.5)
        if kind == "nan":
            return maps + tf.math.log(1.0 - tf.minimum(tf.reduce_sum(tiles), 2.0))
        if kind == "slow":
            wide = tf.tile(x / 255.0, (1, 1, 1, 64))
            for _ in range(3):
                wide = tf.nn.relu(tf.nn.conv2d(wide, kernel, 1, "SAME"))
            return maps + 1e-9 * tf.reduce_mean(wide)
        return maps

    arrays = make_head_arrays(TINY_FEATURES)
    arrays["head/bias"] = arrays["head/bias"] + (np.nan if kind == "never_ready" else 1e-4)
    head = take_head(arrays)
    folder.mkdir(parents=True)
    # write_graphs would refuse NaN, and these bundles must contain it
    export, graph = predictor.build.export, predictor.build.graph.ServingGraph
    export.write_saved_model(graph(features, head), folder / SAVED_MODEL_FOLDER)
    export.write_litert(graph(features, head, batch=1), folder / LITERT_FILE)
    seal(folder, build_description(f"0.1.0-{kind.replace('_', '-')}"))


if __name__ == "__main__":
    for kind in KINDS:
        _write_bundle(Path(sys.argv[1]) / kind, kind)
