"""Train on a folder of labelled radiographs, and make a model source of the trained network."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.atomic_file import write_atomically
from pipelines.data.labelled_radiographs import read_split
from pipelines.evaluation.description import build_description, evaluated_findings, macro_metrics
from pipelines.parameters import Parameters
from pipelines.training.export import evaluate_fitted, fit, reader_of, source_weights, write_source
from pipelines.training.train import train_network
from predictor.build.weights import WEIGHTS_FILE, InvalidSource


def train_on_folder(parameters: Parameters, data: Path, run: Path, start: Path | None) -> None:
    """Train on the training split, from given weights or from random ones, and write the weights to ``run``.

    Raises:
        InvalidSource: ``start`` holds no weights.
    """
    main, auxiliary = parameters.main_source, parameters.training.auxiliary_source
    training, validation = read_split(data, "train", main, auxiliary), read_split(data, "val", main)
    weights = None if start is None else _read_weights(start)
    network = train_network(training, validation, parameters.training, run, weights)
    with write_atomically(run / WEIGHTS_FILE) as draft:
        np.savez(draft, **source_weights(network, weights))  # type: ignore[arg-type]


def export_run(parameters: Parameters, data: Path, run: Path, target: Path) -> None:
    """Calibrate the trained network, evaluate it on the test split, and write the model source.

    Raises:
        InvalidSource: ``run`` holds no weights.
    """
    weights = _read_weights(run)
    training, validation, test = (
        read_split(data, split, parameters.main_source) for split in ("train", "val", "test")
    )
    read = reader_of(weights)
    fitted = fit(read(training.tensors), read(validation.tensors), validation.labels)
    evaluation = evaluate_fitted(fitted, read(test.tensors), test, parameters.bootstrap_seed)
    findings = evaluated_findings(fitted.operating_points, evaluation)
    description = build_description(parameters.words, findings, macro_metrics(evaluation))
    write_source(target, weights, fitted, description)


def _read_weights(folder: Path) -> dict[str, NDArray[np.generic]]:
    try:
        with np.load(folder / WEIGHTS_FILE, allow_pickle=False) as file:
            return dict(file)
    except FileNotFoundError as error:
        raise InvalidSource(f"there is no {WEIGHTS_FILE} in {folder}") from error
