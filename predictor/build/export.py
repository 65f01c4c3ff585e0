"""Write the serving graph as SavedModel and as LiteRT model, and require the same outputs from both."""

import tempfile
from pathlib import Path
from typing import Final

import numpy as np
import tensorflow as tf

from predictor.engines.agreement import require_same
from predictor.engines.engine import LITERT_FILE, SAVED_MODEL_FOLDER, SIGNATURE, Radiographs
from predictor.engines.litert import LiteRtEngine
from predictor.engines.tensorflow import TensorFlowEngine
from predictor.build.graph import ServingGraph
from pleura.contract import SIZE_PX

_PROOF_RADIOGRAPHS: Final = 6


def write_saved_model(graph: ServingGraph, folder: Path) -> None:
    """Save the graph with its one signature. The same graph always gives the same files."""
    tf.saved_model.save(graph, str(folder), signatures={SIGNATURE: graph.answer})
    (folder / "fingerprint.pb").unlink(missing_ok=True)  # it holds a random number


def write_litert(graph: ServingGraph, file: Path) -> None:
    """Convert the graph. Its signature keeps the names of the input and the outputs."""
    with tempfile.TemporaryDirectory() as folder:
        write_saved_model(graph, Path(folder))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
        file.write_bytes(converter.convert())


def draw_synthetic_radiographs(count: int, seed: int = 0) -> Radiographs:
    """Draw smooth shapes with noise, in the grey scale of prepared radiographs."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:SIZE_PX, 0:SIZE_PX] / SIZE_PX
    drawn = []
    for _ in range(count):
        pixels = random.normal(0.0, 0.05, (SIZE_PX, SIZE_PX))
        for height, row, column, width in random.uniform(0.1, 0.9, (8, 4)):
            pixels += height * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / width**2)
        drawn.append((pixels - pixels.min()) / np.ptp(pixels) * 255)
    radiographs: Radiographs = np.rint(np.stack(drawn)[..., None]).astype(np.uint8)
    return radiographs


def require_agreement(bundle: Path, radiographs: Radiographs, threads: int = 2) -> None:
    """Require the same outputs from both forms of the model.

    Raises:
        DifferentGraphs: The outputs differ.
    """
    saved = TensorFlowEngine(bundle).run(radiographs)
    folded = LiteRtEngine(bundle, threads).run(radiographs)
    require_same(saved, folded, "LiteRT and SavedModel")


def write_graphs(saved: ServingGraph, folded: ServingGraph, folder: Path) -> None:
    """Write both forms of the model into the folder of a bundle.

    Args:
        saved: The graph as it was trained.
        folded: The same graph for LiteRT, with a batch of one.
        folder: The folder, which exists.

    Raises:
        DifferentGraphs: Their outputs for synthetic radiographs differ.
    """
    write_saved_model(saved, folder / SAVED_MODEL_FOLDER)
    write_litert(folded, folder / LITERT_FILE)
    require_agreement(folder, draw_synthetic_radiographs(_PROOF_RADIOGRAPHS))
