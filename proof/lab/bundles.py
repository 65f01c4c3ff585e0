"""Model bundles for tests: sealed, with the real signature, around a network of one layer."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from pleura.bundle import FindingDescription, InputCheck, Interval, ModelDescription, OperatingPoint, seal
from pleura.contract import INPUT_CLASSES, PREPROCESSING_VERSION
from pleura.findings import FINDINGS
from predictor.build.weights import count_check_inputs

TINY_FEATURES = 8
_ROOT = Path(__file__).parents[2]


def build_description(version: str = "0.0.1") -> ModelDescription:
    """Build a valid description. The last finding is not measured, and the input check flags nothing."""
    interval = Interval(value=0.8, low=0.7, high=0.9)
    findings = tuple(
        FindingDescription(
            name=name,
            operating_point=OperatingPoint(threshold=0.3 + 0.02 * i, sensitivity=0.8, specificity=0.7),
            # One finding without figures, because services must cope with such models.
            auroc=None if name == FINDINGS[-1] else interval,
            sensitivity=None if name == FINDINGS[-1] else interval,
            specificity=None if name == FINDINGS[-1] else interval,
            test_positives=0 if name == FINDINGS[-1] else 100,
            test_negatives=1000,
        )
        for i, name in enumerate(FINDINGS)
    )
    return ModelDescription(
        name="chest-xray",
        version=version,
        preprocessing_version=PREPROCESSING_VERSION,
        findings=findings,
        calibration="none",
        operating_points_chosen="for tests",
        intended_use="tests",
        limitations=("Knows nothing.",),
        training_data=("none",),
        metrics={"macro_auroc": 0.5},
        input_check=InputCheck(
            upright_threshold=0.0,
            not_chest_distance=1e6,
            untypical_distance=1e6,
            chosen="for tests",
            fitted_on=("none",),
        ),
    )


def make_head_arrays(features: int, seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    """Make random arrays of ``weights.npz`` for all that follows the network. The scores are plausible."""
    random = np.random.default_rng(seed)
    # Typicality needs orthonormal components.
    components, _ = np.linalg.qr(random.normal(size=(features, 4)))
    return {
        "head/kernel": random.normal(0, 0.2, (features, len(FINDINGS))),
        "head/bias": random.normal(0, 0.5, len(FINDINGS)),
        # Not 1 and 0, so that a calibration that is left out shows.
        "calibration/scale": random.uniform(0.8, 1.2, len(FINDINGS)),
        "calibration/offset": random.normal(0, 0.1, len(FINDINGS)),
        "typicality/mean": random.uniform(0.2, 0.8, features),
        "typicality/components": components,
        "typicality/variances": random.uniform(0.05, 0.5, 4),
        "typicality/residual_variance": np.array(0.05),
        "typicality/quantiles": np.linspace(0.1, 4.0, 101) * features**0.5,
        "input_check/kernel": random.normal(0, 0.1, (count_check_inputs(features), len(INPUT_CLASSES))),
        "input_check/bias": random.normal(0, 0.1, len(INPUT_CLASSES)),
    }


def save_weights(folder: Path, arrays: dict[str, Any]) -> None:
    """Write ``weights.npz``."""
    np.savez(folder / "weights.npz", **arrays)


def _network_array(variable: str, shape: tuple[int, ...], random: np.random.Generator) -> Any:
    if variable == "kernel":
        return random.normal(0, (2 / np.prod(shape[:-1])) ** 0.5, shape)
    if variable in ("gamma", "moving_variance"):
        return random.uniform(0.5, 1.5, shape)
    return random.normal(0, 0.2, shape)


def make_random_source(folder: Path) -> Path:
    """Make a source folder for ``predictor.build.bundle``, with random values for the real network."""
    from predictor.build.network import build_feature_network

    random = np.random.default_rng(0)
    arrays = {
        f"{layer.name}/{variable.name}": _network_array(variable.name, tuple(variable.shape), random)
        for layer in build_feature_network().layers
        for variable in layer.variables
    }
    half_precision = {name: array.astype(np.float16) for name, array in arrays.items()}
    save_weights(folder, half_precision | make_head_arrays(1024))
    (folder / "source.json").write_text(build_description().model_dump_json())
    return folder


def compute_tiny_features(radiographs: Any) -> Any:
    """Compute the tiny network in NumPy: uint8 (N, 224, 224, 1) to maps (N, 7, 7, 8)."""
    tiles = (radiographs / 255.0).reshape(-1, 7, 32, 7, 32, 1).mean(axis=(2, 4))
    return np.maximum(tiles * np.linspace(-1, 1, TINY_FEATURES) + 0.5, 0)


def make_tiny_bundle(folder: Path, version: str = "0.0.1") -> Path:
    """Make a sealed bundle whose network averages and weights the tiles of a radiograph.

    A subprocess imports TensorFlow, so that the process of the tests does not.
    """
    subprocess.run(
        [sys.executable, "-m", "proof.lab.bundles", str(folder), version],
        cwd=_ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return folder


def _write_tiny_bundle(folder: Path, version: str) -> None:
    import tensorflow as tf

    from predictor.build.export import write_graphs
    from predictor.build.graph import ServingGraph
    from predictor.build.weights import take_head

    weights = np.linspace(-1, 1, TINY_FEATURES, dtype=np.float32)

    def features(x: Any) -> Any:
        tiles = tf.nn.avg_pool2d(x / 255.0, 32, 32, "VALID")
        return tf.nn.relu(tiles * weights + 0.5)

    head = take_head(make_head_arrays(TINY_FEATURES))
    folder.mkdir(parents=True, exist_ok=True)
    write_graphs(ServingGraph(features, head), ServingGraph(features, head, batch=1), folder)
    seal(folder, build_description(version))


if __name__ == "__main__":
    _write_tiny_bundle(Path(sys.argv[1]), sys.argv[2])
