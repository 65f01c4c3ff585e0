"""Run a bundle on labelled radiographs through the engine that serves it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.data.decode import decode_radiograph
from pipelines.data.manifest import Record
from pipelines.evaluation.scored_radiographs import ScoredRadiographs
from pleura.bundle import verify
from pleura.findings import FINDINGS
from pleura.radiograph.tensor import to_tensor
from predictor.engines.engine import EngineKind, concatenate_outputs, open_engine
from predictor.engines.input_flags import flag_inputs
from predictor.engines.litert import read_input_shape

_BATCH: Final = 16
Floats = NDArray[np.floating]
Tensors = NDArray[np.uint8]


class UnusableOutputs(Exception):
    """The model cannot be evaluated: its input size is wrong, or an output is not a probability."""


@dataclass(frozen=True, eq=False)
class BundleOutputs:
    """The outputs of a bundle for N radiographs.

    ``probabilities`` is float32 (N, 14) and ``typicality`` float32 (N,), both in [0, 1].
    ``activation_maps`` is float32 (N, 14, 7, 7): the contribution of each place to each finding.
    ``input_flags`` is bool (N, 4), in the order of ``INPUT_FLAGS``. Without an input check, typicality alone
    decides them.
    """

    probabilities: Floats
    typicality: Floats
    activation_maps: Floats
    input_flags: NDArray[np.bool_]
    has_input_check: bool = False


def tensor_of(file: bytes) -> Tensors:
    """Decode a file of a data set, and make its tensor as the service does.

    Returns:
        uint8, shape (224, 224).

    Raises:
        UnreadableRadiograph: The bytes cannot be decoded.
        RefusedRadiograph: The service would refuse the radiograph.
    """
    return to_tensor(decode_radiograph(file))


def run_bundle(
    bundle: Path, tensors: Tensors, engine: EngineKind = "litert", threads: int = 2
) -> BundleOutputs:
    """Run a bundle on tensors, uint8 (N, 224, 224) with N >= 1.

    Raises:
        InvalidBundle: The folder is not a sealed bundle.
        UnusableOutputs: The model takes radiographs of another size, or an output is NaN, infinite, or not
            a probability.
    """
    description, _ = verify(bundle)
    expected, found = read_input_shape(bundle), (*tensors.shape[1:], 1)
    if expected != found:
        raise UnusableOutputs(f"the model takes radiographs of {_size(expected)}, not of {_size(found)}")
    runner = open_engine(engine, bundle, threads)
    parts = [runner.run(tensors[i : i + _BATCH, ..., None]) for i in range(0, len(tensors), _BATCH)]
    joined = concatenate_outputs(parts)
    outputs = BundleOutputs(
        joined.probability,
        joined.typicality,
        joined.activation_map,
        flag_inputs(joined, description.input_check),
        has_input_check=description.input_check is not None,
    )
    _require_numbers(outputs)
    return outputs


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _require_numbers(outputs: BundleOutputs) -> None:
    for name in ("probabilities", "typicality", "activation_maps"):
        values = getattr(outputs, name)
        # Before the range is checked, because NaN is neither below 0 nor above 1.
        bad = ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
        if bad.any():
            raise UnusableOutputs(f"{name} of {bad.sum()} of {len(values)} radiographs are not finite")
    for name in ("probabilities", "typicality"):
        values = getattr(outputs, name)
        if values.min() < 0 or values.max() > 1:
            raise UnusableOutputs(f"{name} lie outside [0, 1]")


def join_labels(records: Sequence[Record], outputs: BundleOutputs) -> ScoredRadiographs:
    """Join outputs with the labels and attributes of the same radiographs, in the same order.

    Raises:
        ValueError: There are more outputs than records, or fewer.
    """
    if len(records) != len(outputs.probabilities):
        raise ValueError(f"{len(outputs.probabilities)} outputs for {len(records)} radiographs")
    labels = [[float(r.labels.get(f, np.nan)) for f in FINDINGS] for r in records]
    return ScoredRadiographs(
        probabilities=outputs.probabilities,
        labels=np.array(labels, float).reshape(len(records), len(FINDINGS)),
        typicality=outputs.typicality,
        digests=np.array([r.sha256 for r in records], str),
        patients=np.array([r.patient for r in records], str),
        sources=np.array([r.source for r in records], str),
        views=np.array([r.view for r in records], str),
        sexes=np.array([r.sex for r in records], str),
        ages=np.array([np.nan if r.age is None else r.age for r in records], float),
    )


def score_radiographs(
    bundle: Path, records: Sequence[Record], tensors: Tensors, engine: EngineKind = "litert"
) -> tuple[ScoredRadiographs, Floats]:
    """Score labelled radiographs with a bundle.

    Args:
        bundle: The folder of a sealed bundle.
        records: The records of the radiographs.
        tensors: Their tensors in the same order, uint8 (N, 224, 224).
        engine: The engine, which decides which of the bundle's graphs runs.

    Returns:
        The scored radiographs, and the activation maps, float32 (N, 14, 7, 7).

    Raises:
        InvalidBundle: The folder is not a sealed bundle.
        UnusableOutputs: An output is NaN, infinite, or not a probability.
    """
    outputs = run_bundle(bundle, tensors, engine)
    return join_labels(records, outputs), outputs.activation_maps
