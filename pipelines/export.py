"""From a trained network to a model source: calibrated, given operating points, judged once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pipelines.bootstrap import Figure
from pipelines.dossier import Dossier
from pipelines.judgement import FindingJudgement, Judgement, Protocol, judge
from pipelines.radiographs import LabelledRadiographs
from pipelines.scored import Scored
from pipelines.statistics import Calibration, choose_operating_point, fit_calibration
from pipelines.typicality import Typicality, fit_typicality
from pleura.bundle import FindingDescription, Interval, ModelDescription, OperatingPoint
from pleura.findings import FINDINGS
from pleura.preprocessing import PREPROCESSING_VERSION
from predictor.network import feature_network

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
    network = feature_network()
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
    """Fit calibration and operating points on the validation split, typicality on the training split.

    Unknown labels (NaN) are left out of their finding.
    """
    known = ~np.isnan(labels)
    calibrations, points = [], []
    for f in range(len(FINDINGS)):
        truth, logits = labels[known[:, f], f], validation.logits[known[:, f], f]
        calibrations.append(fit_calibration(truth, logits))
        points.append(choose_operating_point(truth, calibrations[f].apply(logits)))
    typicality = fit_typicality(training.features, validation.features)
    return Fitted(tuple(calibrations), tuple(points), typicality)


def judge_fitted(fitted: Fitted, test: Seen, radiographs: LabelledRadiographs, seed: int) -> Judgement:
    """Judge on the test split what is about to be exported, at the operating points that it will serve."""
    count = len(radiographs.labels)
    nowhere = np.full(count, "")
    scored = Scored(
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
    return judge(scored, thresholds, Protocol(seed=seed))


def _served(figure: Figure | None) -> Interval | None:
    return None if figure is None else Interval(value=figure.value, low=figure.low, high=figure.high)


def _described_finding(point: OperatingPoint, finding: FindingJudgement) -> FindingDescription:
    figures = finding.figures
    return FindingDescription(
        name=finding.finding,
        operating_point=point,
        auroc=None if figures is None else _served(figures.auroc),
        sensitivity=None if figures is None else _served(figures.sensitivity),
        specificity=None if figures is None else _served(figures.specificity),
        test_positives=finding.positives,
        test_negatives=finding.negatives,
    )


def judged_findings(points: Sequence[OperatingPoint], judgement: Judgement) -> list[FindingDescription]:
    """Say of each finding what travels with the model; one with too few positives is unmeasured."""
    return [_described_finding(p, f) for p, f in zip(points, judgement.findings, strict=True)]


def unmeasured(fitted: Fitted) -> list[FindingDescription]:
    """Say of each finding that it was not judged yet."""
    return [
        FindingDescription(
            name=name,
            operating_point=point,
            auroc=None,
            sensitivity=None,
            specificity=None,
            test_positives=0,
            test_negatives=0,
        )
        for name, point in zip(FINDINGS, fitted.operating_points, strict=True)
    ]


def described(description: ModelDescription, dossier: Dossier) -> ModelDescription:
    """Put the figures of a judgement into the description of the model that was judged."""
    points = [finding.operating_point for finding in description.findings]
    findings = tuple(judged_findings(points, dossier.judgement))
    return description.model_copy(update={"findings": findings, "metrics": macro_metrics(dossier.judgement)})


def macro_metrics(judgement: Judgement) -> dict[str, float]:
    """Mean AUROC over the measured findings with its interval, and the mean Brier score, where there are."""
    counts = {
        "measured_findings": float(len(judgement.measured)),
        "test_radiographs": float(judgement.radiographs),
        "test_patients": float(judgement.patients),
    }
    macro = judgement.macro
    if macro is None:
        return counts
    return counts | {
        "mean_auroc": macro.auroc.value,
        "mean_auroc_low": macro.auroc.low,
        "mean_auroc_high": macro.auroc.high,
        "mean_brier": macro.brier.value,
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
