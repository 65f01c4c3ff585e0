"""A trained network with everything that is fitted after training, and its evaluation on a test split."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from pipelines.data.labelled_radiographs import LabelledRadiographs
from pipelines.evaluation.evaluate import evaluate
from pipelines.evaluation.evaluation import Evaluation, EvaluationProtocol
from pipelines.evaluation.scored_radiographs import ScoredRadiographs
from pipelines.statistics.operating_point import choose_threshold, sensitivity, specificity
from pipelines.statistics.platt_scaling import PlattScaling, fit_platt_scaling
from pipelines.training.feature_engine import FeatureEngine
from pipelines.training.input_check import (
    MOST_TRAINING,
    MOST_VALIDATION,
    CheckFilms,
    FittedInputCheck,
    films_by_source,
    fit_input_check,
)
from pipelines.training.trained_network import Floats, NetworkOutputs, TrainedNetwork
from pipelines.training.typicality import Typicality, fit_typicality
from pleura.bundle import InputCheck, OperatingPoint
from pleura.findings import FINDINGS

FEWEST: Final = 5
"""The fewest radiographs with a finding, and the fewest without it, that a calibration is fitted on."""


@dataclass(frozen=True)
class FittedParameters:
    """Calibrations and operating points in the order of the findings, typicality, and input check.

    ``input_check`` is None where there were too few films to fit one.
    """

    calibrations: tuple[PlattScaling, ...]
    operating_points: tuple[OperatingPoint, ...]
    typicality: Typicality
    input_check: FittedInputCheck | None = None

    @property
    def check_thresholds(self) -> InputCheck | None:
        """The part of the input check that the description of a model holds."""
        return None if self.input_check is None else self.input_check.thresholds

    def probabilities(self, outputs: NetworkOutputs) -> Floats:
        """Calibrate logits to probabilities (N, 14)."""
        columns = [c.apply(outputs.logits[:, f]) for f, c in enumerate(self.calibrations)]
        return np.column_stack(columns)


@dataclass(frozen=True, eq=False)
class FittedModel:
    """A trained network and the parameters that were fitted to its outputs."""

    network: TrainedNetwork
    fitted: FittedParameters


class TooFewLabels(Exception):
    """Too few radiographs have a known label of a finding to fit anything to it."""


def require_enough_labels(labels: Floats, fewest: int = FEWEST) -> None:
    """Require enough radiographs with each finding, and enough without it.

    Raises:
        TooFewLabels: There are too few. The text names the findings.
    """
    fewer = np.minimum((labels == 1).sum(axis=0), (labels == 0).sum(axis=0))
    lacking = [name for name, count in zip(FINDINGS, fewer, strict=True) if count < fewest]
    if lacking:
        raise TooFewLabels(
            f"the validation split has fewer than {fewest} radiographs with or without {', '.join(lacking)}"
        )


def fit_parameters(training: NetworkOutputs, validation: NetworkOutputs, labels: Floats) -> FittedParameters:
    """Fit calibration and operating points on the validation split, and typicality on the training split.

    Unknown labels (NaN) are left out of their finding.
    """
    known = ~np.isnan(labels)
    calibrations, points = [], []
    for f in range(len(FINDINGS)):
        truth, logits = labels[known[:, f], f], validation.logits[known[:, f], f]
        calibrations.append(fit_platt_scaling(truth, logits))
        points.append(_choose_operating_point(truth, calibrations[f].apply(logits)))
    # The quantiles need radiographs that the network was not trained on: its own look too typical.
    typicality = fit_typicality(training.features, validation.features)
    return FittedParameters(tuple(calibrations), tuple(points), typicality)


def _choose_operating_point(labels: Floats, probabilities: Floats) -> OperatingPoint:
    threshold = choose_threshold(labels, probabilities)
    return OperatingPoint(
        threshold=threshold,
        sensitivity=sensitivity(labels, probabilities, threshold),
        specificity=specificity(labels, probabilities, threshold),
    )


def fit_model(
    network: TrainedNetwork,
    training: LabelledRadiographs,
    validation: LabelledRadiographs,
    films: LabelledRadiographs | None = None,
) -> FittedModel:
    """Run a network on both splits, and fit the parameters to its outputs.

    Args:
        network: The network.
        training: Radiographs of the main source, on which typicality is fitted.
        validation: Radiographs of the main source, on which all else is fitted.
        films: Training radiographs of all sources, for the input check. None means ``training``.
    """
    outputs = network.run(training.tensors), network.run(validation.tensors)
    fitted = fit_parameters(*outputs, validation.labels)
    check_films = CheckFilms(
        films_by_source(training if films is None else films, MOST_TRAINING),
        films_by_source(validation, MOST_VALIDATION),
    )
    check = None
    if check_films.is_enough:
        check = fit_input_check(check_films, FeatureEngine(network.weights).features, fitted.typicality)
    return FittedModel(network, replace(fitted, input_check=check))


def evaluate_model(model: FittedModel, test: LabelledRadiographs, protocol: EvaluationProtocol) -> Evaluation:
    """Evaluate a model on the test split, at the operating points that it will serve."""
    return evaluate_outputs(model.fitted, model.network.run(test.tensors), test, protocol)


def evaluate_outputs(
    fitted: FittedParameters,
    outputs: NetworkOutputs,
    radiographs: LabelledRadiographs,
    protocol: EvaluationProtocol,
) -> Evaluation:
    """Evaluate the outputs of a network with its fitted parameters. Subgroups are not evaluated."""
    count = len(radiographs.labels)
    unknown = np.full(count, "")
    scored = ScoredRadiographs(
        probabilities=fitted.probabilities(outputs),
        labels=radiographs.labels,
        typicality=fitted.typicality.share_farther(outputs.features),
        digests=radiographs.paths,
        patients=radiographs.patients,
        sources=radiographs.sources,
        views=unknown,
        sexes=unknown,
        ages=np.full(count, np.nan),
    )
    thresholds = [point.threshold for point in fitted.operating_points]
    return evaluate(scored, thresholds, protocol)
