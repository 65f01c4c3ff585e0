"""From a trained network to a model source: calibrated, given operating points, judged once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
from numpy.typing import NDArray

from pipelines.radiographs import LabelledRadiographs
from pipelines.statistics import (
    Calibration,
    auroc,
    brier,
    choose_operating_point,
    fit_calibration,
    interval,
    resampled,
    sensitivity_at,
    specificity_at,
)
from pipelines.typicality import Typicality, fit_typicality
from pleura.bundle import FindingDescription, Interval, ModelDescription, OperatingPoint
from pleura.findings import FINDINGS
from pleura.preprocessing import PREPROCESSING_VERSION
from predictor.network import feature_network
from predictor.weights import normalisation_of

MINIMUM_POSITIVES: Final = 20
_BOOTSTRAP_ROUNDS: Final = 2000
Floats = NDArray[np.floating]


@dataclass(frozen=True)
class ModelWords:
    """What people say of a model, as opposed to what is measured."""

    name: str
    version: str
    intended_use: str
    limitations: tuple[str, ...]
    training_data: tuple[str, ...]


@dataclass(frozen=True)
class Seen:
    """What the network makes of some radiographs: features (N, 1024) and logits (N, 14)."""

    features: Floats
    logits: Floats


def half_precision_weights(network: keras.Model) -> dict[str, NDArray[np.float16]]:
    """Take the network's weights by layer and variable name; the head of the findings as ``head``."""
    weights = {
        f"{layer.name}/{variable.name}": np.asarray(variable.value, np.float16)
        for layer in network.layers
        for variable in layer.variables
        if layer.name not in ("findings", "auxiliary") and "seed" not in variable.name
    }
    kernel, bias = network.get_layer("findings").get_weights()
    return weights | {"head/kernel": kernel.astype(np.float16), "head/bias": bias.astype(np.float16)}


def load_weights(network: keras.Model, weights: Mapping[str, NDArray[np.generic]]) -> None:
    """Set each variable of the feature network from ``{layer}/{variable}``.

    Raises:
        KeyError: The network has a variable that the weights have not.
    """
    for layer in network.layers:
        for variable in layer.variables:
            variable.assign(weights[f"{layer.name}/{variable.name}"].astype(np.float32))


def reader_of(weights: Mapping[str, NDArray[np.generic]]) -> Callable[[NDArray[np.uint8]], Seen]:
    """Give a function from tensors (N, 224, 224) to what the network makes of them, as it will be served."""
    arrays: dict[str, Any] = dict(weights)
    network = feature_network(normalisation_of(arrays))
    load_weights(network, weights)
    pooled = keras.layers.GlobalAveragePooling2D()(network.output)
    features_of = keras.Model(network.input, pooled)
    kernel, bias = weights["head/kernel"].astype(np.float32), weights["head/bias"].astype(np.float32)

    def see(tensors: NDArray[np.uint8]) -> Seen:
        features = features_of.predict(tensors[..., None].astype(np.float32), batch_size=16, verbose=0)
        return Seen(features, features @ kernel + bias)

    return see


@dataclass(frozen=True)
class Fitted:
    """What is fitted after training, on the validation split only."""

    calibrations: tuple[Calibration, ...]
    operating_points: tuple[OperatingPoint, ...]
    typicality: Typicality

    def probabilities(self, seen: Seen) -> Floats:
        """Calibrated probabilities (N, 14)."""
        columns = [c.apply(seen.logits[:, f]) for f, c in enumerate(self.calibrations)]
        return np.column_stack(columns)


def fit(training: Seen, validation: Seen, labels: Floats) -> Fitted:
    """Fit calibration and operating points on the validation split, typicality on the training split."""
    calibrations = tuple(fit_calibration(labels[:, f], validation.logits[:, f]) for f in range(len(FINDINGS)))
    points = tuple(
        choose_operating_point(labels[:, f], c.apply(validation.logits[:, f]))
        for f, c in enumerate(calibrations)
    )
    return Fitted(calibrations, points, fit_typicality(training.features, validation.features))


def judge(
    fitted: Fitted, test: Seen, radiographs: LabelledRadiographs, seed: int
) -> list[FindingDescription]:
    """Judge each finding on the test split; one with too few positives is left unmeasured."""
    draws = resampled(radiographs.patients, _BOOTSTRAP_ROUNDS, seed)
    probabilities = fitted.probabilities(test)
    judged = []
    for index, name in enumerate(FINDINGS):
        labels, scores = radiographs.labels[:, index], probabilities[:, index]
        point = fitted.operating_points[index]
        statistics = (auroc, sensitivity_at(point.threshold), specificity_at(point.threshold))
        measured: list[Interval | None] = [None, None, None]
        if labels.sum() >= MINIMUM_POSITIVES:
            measured = [interval(statistic, labels, scores, draws) for statistic in statistics]
        judged.append(
            FindingDescription(
                name=name,
                operating_point=point,
                auroc=measured[0],
                sensitivity=measured[1],
                specificity=measured[2],
                test_positives=int(labels.sum()),
                test_negatives=int((labels == 0).sum()),
            )
        )
    return judged


def macro_metrics(
    fitted: Fitted, test: Seen, radiographs: LabelledRadiographs, judged: list[FindingDescription], seed: int
) -> dict[str, float]:
    """Mean AUROC over the measured findings with its interval, and the mean Brier score."""
    measured = [index for index, finding in enumerate(judged) if finding.is_measured]
    labels, probabilities = radiographs.labels[:, measured], fitted.probabilities(test)[:, measured]

    def mean_auroc(rows: NDArray[np.intp]) -> float:
        columns = range(len(measured))
        return float(np.mean([auroc(labels[rows, c], probabilities[rows, c]) for c in columns]))

    draws = [mean_auroc(rows) for rows in resampled(radiographs.patients, _BOOTSTRAP_ROUNDS // 4, seed)]
    low, high = np.percentile(draws, (2.5, 97.5))
    return {
        "mean_auroc": mean_auroc(np.arange(len(labels))),
        "mean_auroc_low": float(low),
        "mean_auroc_high": float(high),
        "mean_brier": brier(labels, probabilities),
        "measured_findings": float(len(measured)),
        "test_radiographs": float(len(labels)),
        "test_patients": float(len(np.unique(radiographs.patients))),
    }


def write_source(
    folder: Path,
    weights: Mapping[str, NDArray[np.generic]],
    fitted: Fitted,
    description: ModelDescription,
) -> None:
    """Write ``weights.npz`` and ``source.json``, from which ``predictor.build`` makes the bundle."""
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


def describe(
    words: ModelWords, judged: list[FindingDescription], metrics: dict[str, float]
) -> ModelDescription:
    """Join what was measured with what is said of the model."""
    return ModelDescription(
        name=words.name,
        version=words.version,
        preprocessing_version=PREPROCESSING_VERSION,
        findings=tuple(judged),
        calibration="Platt scaling per finding, fitted on the validation split",
        operating_points_chosen=(
            "per finding, where sensitivity and specificity are closest on the validation split"
        ),
        intended_use=words.intended_use,
        limitations=words.limitations,
        training_data=words.training_data,
        metrics=metrics,
    )
