"""Make a model source of a published checkpoint, calibrated on labelled radiographs or not at all."""

import hashlib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.data.label_files import InvalidLabels
from pipelines.data.labelled_radiographs import LabelledRadiographs, read_split
from pipelines.data.manifest import Split
from pipelines.evaluation.description import build_description, evaluated_findings, macro_metrics
from pipelines.evaluation.evaluation import EvaluationProtocol
from pipelines.imported.densenet import ConvertedNetwork, UnsupportedNetwork, convert_network
from pipelines.imported.provenance import (
    NOT_CALIBRATED,
    PublishedCheckpoint,
    describe_origin,
    find_leakage,
    write_model_text,
)
from pipelines.imported.state import find_arrays
from pipelines.imported.torch_file import read_checkpoint, read_file
from pipelines.statistics.platt_scaling import PlattScaling
from pipelines.training.fitted_model import (
    FittedModel,
    FittedParameters,
    evaluate_model,
    fit_model,
    require_enough_labels,
)
from pipelines.training.model_source import write_source
from pipelines.training.trained_network import TrainedNetwork
from pipelines.training.typicality import Typicality
from pleura.bundle import FindingDescription, ModelDescription, OperatingPoint
from pleura.errors import UnreadableRadiograph
from pleura.findings import FINDINGS
from predictor.build.bundle import load_weights
from predictor.build.network import FEATURES, build_feature_network
from predictor.build.weights import OFFSET, SCALE, InvalidSource, Normalisation

Weights = Mapping[str, NDArray[np.generic]]


class UnusableRadiographs(Exception):
    """The labelled radiographs cannot be read, or none of a split has all findings known."""


def arrange_weights(network: ConvertedNetwork, normalisation: Normalisation) -> Weights:
    """Arrange the arrays of ``weights.npz``, in the precision in which they were published."""
    return dict(network.network) | {
        "head/kernel": network.kernel,
        "head/bias": network.bias,
        SCALE: np.array(normalisation.scale, np.float32),
        OFFSET: np.array(normalisation.offset, np.float32),
    }


def read_weights(publication: PublishedCheckpoint) -> tuple[Weights, str]:
    """Read the arrays of a checkpoint for our network, and the SHA-256 of the file in hex.

    Raises:
        UnreadableCheckpoint: The file is not a PyTorch checkpoint, is damaged, or is unsafe.
        UnsupportedNetwork: The file is not a DenseNet121 of this kind with our findings.
    """
    kind, data = publication.kind, read_file(publication.file)
    network = convert_network(find_arrays(read_checkpoint(data)), publication.release.outputs)
    try:
        # Called for its errors: every array must have a place and the right shape in our network.
        load_weights(build_feature_network(kind.normalisation), network.network)
    except InvalidSource as error:
        raise UnsupportedNetwork(f"{error}: it is not a DenseNet121 of the kind {kind.name}") from error
    return arrange_weights(network, kind.normalisation), hashlib.sha256(data).hexdigest()


def _select_known(radiographs: LabelledRadiographs) -> LabelledRadiographs:
    keep = ~np.isnan(radiographs.labels).any(axis=1)
    values = (getattr(radiographs, field.name)[keep] for field in fields(radiographs))
    return LabelledRadiographs(*values)


def _read_known_split(folder: Path, split: Split) -> LabelledRadiographs:
    """Read the radiographs of a split whose findings are all known."""
    try:
        radiographs = _select_known(read_split(folder, split))
    except (OSError, InvalidLabels, UnreadableRadiograph) as error:
        raise UnusableRadiographs(f"{folder / 'labels.csv'} cannot be used: {error}") from error
    if not len(radiographs.tensors):
        raise UnusableRadiographs(f"no radiograph of the split {split} has all findings known")
    return radiographs


def import_calibrated(publication: PublishedCheckpoint, data: Path, target: Path) -> ModelDescription:
    """Import a checkpoint, fit and evaluate it on radiographs, and write the model source.

    Args:
        publication: The checkpoint.
        data: A folder that ``read_split`` can read. Calibration and operating points are fitted on its
            validation split, and typicality on its training split. The figures are those of its test split.
        target: Folder to write.

    Raises:
        UnreadableCheckpoint: See ``read_weights``.
        UnsupportedNetwork: See ``read_weights``.
        UnusableRadiographs: The folder cannot be read.
        TooFewLabels: A finding is too rare in the validation split.
    """
    weights, sha256 = read_weights(publication)
    training, validation, test = (_read_known_split(data, split) for split in ("train", "val", "test"))
    require_enough_labels(validation.labels)
    model = fit_model(TrainedNetwork(weights), training, validation)
    evaluation = evaluate_model(model, test, EvaluationProtocol())
    findings = evaluated_findings(model.fitted.operating_points, evaluation)
    counts = {"measured_findings": 0.0, "test_radiographs": float(len(test.tensors))}
    is_measured = any(finding.is_measured for finding in findings)
    metrics = macro_metrics(evaluation) if is_measured else counts
    sources = np.concatenate([training.sources, validation.sources, test.sources])
    text = write_model_text(publication, sha256, find_leakage(publication, sources))
    description = build_description(text, findings, metrics, model.fitted.check_thresholds).model_copy(
        update={"origin": describe_origin(publication, sha256)}
    )
    write_source(target, model, description)
    return description


def _unmeasured_finding(name: str) -> FindingDescription:
    return FindingDescription(
        name=name,
        operating_point=OperatingPoint(threshold=0.0, sensitivity=1.0, specificity=0.0),
        auroc=None,
        sensitivity=None,
        specificity=None,
        test_positives=0,
        test_negatives=0,
    )


def _unfitted_parameters() -> FittedParameters:
    """Call every finding and make every radiograph atypical, so that nobody mistakes that for a reading."""
    one_direction, quantiles = np.eye(FEATURES, 1), np.arange(101) * 1e-4
    typicality = Typicality(np.zeros(FEATURES), one_direction, np.ones(1), 1.0, quantiles)
    findings = [_unmeasured_finding(name) for name in FINDINGS]
    points = tuple(finding.operating_point for finding in findings)
    return FittedParameters(tuple(PlattScaling(1.0, 0.0) for _ in FINDINGS), points, typicality)


def import_uncalibrated(publication: PublishedCheckpoint, target: Path) -> ModelDescription:
    """Import a checkpoint without radiographs, to start a training. The model is marked as uncalibrated.

    Raises:
        UnreadableCheckpoint: See ``read_weights``.
        UnsupportedNetwork: See ``read_weights``.
    """
    weights, sha256 = read_weights(publication)
    text = write_model_text(publication, sha256, (NOT_CALIBRATED,))
    description = build_description(text, [_unmeasured_finding(name) for name in FINDINGS], {}).model_copy(
        update={
            "origin": describe_origin(publication, sha256),
            "calibration": "none: the raw scores of the imported network",
            "operating_points_chosen": "none: a threshold of 0 calls every finding, whatever the radiograph",
        }
    )
    write_source(target, FittedModel(TrainedNetwork(weights), _unfitted_parameters()), description)
    return description
