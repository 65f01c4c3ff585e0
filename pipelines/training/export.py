"""From a trained network to a model source: calibrated, given operating points, judged once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
from numpy.typing import NDArray

from pipelines.data.labelled_radiographs import LabelledRadiographs
from pipelines.evaluation.evaluate import Evaluation, EvaluationProtocol, evaluate
from pipelines.evaluation.scored_radiographs import ScoredRadiographs
from pipelines.reports.model_card import model_card
from pipelines.statistics.operating_point import choose_threshold, sensitivity, specificity
from pipelines.statistics.platt_scaling import PlattScaling, fit_platt_scaling
from pipelines.training.typicality import Typicality, fit_typicality
from pleura.bundle import ModelDescription, OperatingPoint
from pleura.findings import FINDINGS
from predictor.build.network import feature_network
from predictor.build.weights import normalisation_of

FEWEST: Final = 5
"""Radiographs with a finding, and without it, that calibration and operating point are fitted on at least."""
Floats = NDArray[np.floating]


@dataclass(frozen=True)
class NetworkOutputs:
    """What the network makes of some radiographs: features (N, 1024) and logits (N, 14)."""

    features: Floats
    logits: Floats


def weights_of(network: keras.Model, dtype: np.dtype[Any]) -> dict[str, NDArray[Any]]:
    """Take the network's weights by layer and variable name; the head of the findings as ``head``."""
    weights = {
        f"{layer.name}/{variable.name}": np.asarray(variable.value, dtype)
        for layer in network.layers
        for variable in layer.variables
        if layer.name not in ("findings", "auxiliary") and "seed" not in variable.name
    }
    kernel, bias = network.get_layer("findings").get_weights()
    return weights | {"head/kernel": kernel.astype(dtype), "head/bias": bias.astype(dtype)}


def source_weights(
    network: keras.Model, start: Mapping[str, NDArray[Any]] | None = None
) -> dict[str, NDArray[Any]]:
    """Take the weights that a model source holds.

    Args:
        network: A trained network.
        start: The weights that it started from, whose precision and normalisation are kept: imported ones do
            not fit into half precision. None where it started from random ones: half precision is enough.
    """
    if start is None:
        return weights_of(network, np.dtype(np.float16))
    normalisation = {name: array for name, array in start.items() if name.startswith("input/")}
    return weights_of(network, start["head/kernel"].dtype) | normalisation


def load_weights(network: keras.Model, weights: Mapping[str, NDArray[np.generic]]) -> None:
    """Set each variable of the feature network from ``{layer}/{variable}``.

    Raises:
        KeyError: The network has a variable that the weights have not.
    """
    for layer in network.layers:
        for variable in layer.variables:
            variable.assign(weights[f"{layer.name}/{variable.name}"].astype(np.float32))


def reader_of(weights: Mapping[str, NDArray[np.generic]]) -> Callable[[NDArray[np.uint8]], NetworkOutputs]:
    """Give a function from tensors (N, 224, 224) to what the network makes of them, as it will be served."""
    arrays: dict[str, Any] = dict(weights)
    network = feature_network(normalisation_of(arrays))
    load_weights(network, weights)
    pooled = keras.layers.GlobalAveragePooling2D()(network.output)
    features_of = keras.Model(network.input, pooled)
    kernel, bias = weights["head/kernel"].astype(np.float32), weights["head/bias"].astype(np.float32)

    def see(tensors: NDArray[np.uint8]) -> NetworkOutputs:
        features = features_of.predict(tensors[..., None].astype(np.float32), batch_size=16, verbose=0)
        return NetworkOutputs(features, features @ kernel + bias)

    return see


@dataclass(frozen=True)
class Fitted:
    """What is fitted after training, on the validation split only."""

    calibrations: tuple[PlattScaling, ...]
    operating_points: tuple[OperatingPoint, ...]
    typicality: Typicality

    def probabilities(self, seen: NetworkOutputs) -> Floats:
        """Calibrated probabilities (N, 14)."""
        columns = [c.apply(seen.logits[:, f]) for f, c in enumerate(self.calibrations)]
        return np.column_stack(columns)


class TooFewLabels(Exception):
    """Too little is known of a finding to fit anything to it."""


def require_enough_labels(labels: Floats, fewest: int = FEWEST) -> None:
    """See that enough radiographs are known to have each finding, and to lack it.

    Raises:
        TooFewLabels: Too few are; the findings are named.
    """
    fewer = np.minimum((labels == 1).sum(axis=0), (labels == 0).sum(axis=0))
    lacking = [name for name, count in zip(FINDINGS, fewer, strict=True) if count < fewest]
    if lacking:
        raise TooFewLabels(
            f"the validation split has fewer than {fewest} radiographs with or without {', '.join(lacking)}"
        )


def fit(training: NetworkOutputs, validation: NetworkOutputs, labels: Floats) -> Fitted:
    """Fit calibration and operating points on the validation split, typicality on the training split.

    Unknown labels (NaN) are left out of their finding.
    """
    known = ~np.isnan(labels)
    calibrations, points = [], []
    for f in range(len(FINDINGS)):
        truth, logits = labels[known[:, f], f], validation.logits[known[:, f], f]
        calibrations.append(fit_platt_scaling(truth, logits))
        points.append(_operating_point(truth, calibrations[f].apply(logits)))
    typicality = fit_typicality(training.features, validation.features)
    return Fitted(tuple(calibrations), tuple(points), typicality)


def _operating_point(labels: Floats, probabilities: Floats) -> OperatingPoint:
    threshold = choose_threshold(labels, probabilities)
    return OperatingPoint(
        threshold=threshold,
        sensitivity=sensitivity(labels, probabilities, threshold),
        specificity=specificity(labels, probabilities, threshold),
    )


def evaluate_fitted(
    fitted: Fitted, test: NetworkOutputs, radiographs: LabelledRadiographs, seed: int
) -> Evaluation:
    """Judge on the test split what is about to be exported, at the operating points that it will serve."""
    count = len(radiographs.labels)
    nowhere = np.full(count, "")
    scored = ScoredRadiographs(
        probabilities=fitted.probabilities(test),
        labels=radiographs.labels,
        typicality=fitted.typicality.share_farther(test.features),
        digests=radiographs.paths,
        patients=radiographs.patients,
        sources=radiographs.sources,
        views=nowhere,
        sexes=nowhere,
        ages=np.full(count, np.nan),
    )
    thresholds = [point.threshold for point in fitted.operating_points]
    return evaluate(scored, thresholds, EvaluationProtocol(seed=seed))


def write_source(
    folder: Path,
    weights: Mapping[str, NDArray[np.generic]],
    fitted: Fitted,
    description: ModelDescription,
) -> None:
    """Write ``weights.npz`` and ``source.json``, which the bundle is made of, and ``MODEL_CARD.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    typicality = fitted.typicality
    arrays: dict[str, Any] = dict(weights) | {
        "calibration/scale": np.array([c.scale for c in fitted.calibrations], np.float32),
        "calibration/offset": np.array([c.offset for c in fitted.calibrations], np.float32),
        "typicality/mean": typicality.mean.astype(np.float32),
        "typicality/components": typicality.components.astype(np.float16),
        "typicality/variances": typicality.variances.astype(np.float32),
        "typicality/residual_variance": np.float32(typicality.residual_variance),
        "typicality/quantiles": typicality.quantiles.astype(np.float32),
    }
    np.savez_compressed(folder / "weights.npz", **arrays)
    (folder / "source.json").write_text(description.model_dump_json(indent=2) + "\n")
    (folder / "MODEL_CARD.md").write_text(model_card(description), encoding="utf-8")
