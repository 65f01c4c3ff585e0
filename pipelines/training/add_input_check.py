"""Fit an input check for a model that has none, or another one; the rest of the model stays as it is."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.data.labelled_radiographs import read_split
from pipelines.data.manifest import Split
from pipelines.data.not_chest import read_not_chest
from pipelines.evaluation.evaluate_bundle import check_kinds, run_kinds
from pipelines.evaluation.evaluate_on_folder import EvaluationFolder, read_evaluation_folder
from pipelines.evaluation.scoring import run_bundle
from pipelines.training.feature_engine import FeatureEngine
from pipelines.training.input_check import (
    FEWEST_FILMS,
    MOST_TRAINING,
    MOST_VALIDATION,
    CheckFilms,
    films_by_source,
    fit_input_check,
)
from pipelines.training.model_source import input_check_arrays, read_source_weights, write_source_files
from pipelines.training.typicality import Typicality
from pleura.bundle import CheckedKind, InputCheck, ModelDescription
from predictor.build.bundle import build_bundle, read_description


@dataclass(frozen=True)
class CheckFolders:
    """A folder with ``labels.csv``, and one with ``images.csv`` of pictures that show no chest, if any."""

    data: Path
    not_chest: Path | None = None


class TooFewFilms(Exception):
    """The training or the validation split has too few films to fit an input check on."""


def add_input_check(source: Path, folders: CheckFolders, version: str, target: Path) -> ModelDescription:
    """Write a model source with an input check, with the figures of the check on the test split.

    Args:
        source: A model source.
        folders: The images.
        version: The version of the model with its check.
        target: Folder of the new model source. It may be ``source``.

    Raises:
        InvalidSource: ``source`` is not a model source.
        TooFewFilms: There are too few films.
        FileNotFoundError, InvalidLabels, UnreadableRadiograph: See ``read_split`` and ``read_not_chest``.
        NoSuchSource: The test split has no radiograph of the default source.
    """
    description, arrays = read_description(source), read_source_weights(source)
    films = _read_films(folders)
    if not films.is_enough:
        raise TooFewFilms(f"the splits train and val need {FEWEST_FILMS} films each")
    check = fit_input_check(films, FeatureEngine(arrays).features, _read_typicality(arrays))
    arrays |= input_check_arrays(check)
    described = _with_check(description, version, check.thresholds, ())
    with tempfile.TemporaryDirectory() as folder:
        write_source_files(Path(folder) / "source", arrays, described)
        build_bundle(Path(folder) / "source", Path(folder) / "bundle")
        figures = _evaluate(Path(folder) / "bundle", folders)
    finished = _with_check(description, version, check.thresholds, figures)
    write_source_files(target, arrays, finished)
    return finished


def _with_check(
    description: ModelDescription, version: str, check: InputCheck, figures: tuple[CheckedKind, ...]
) -> ModelDescription:
    input_check = check.model_copy(update={"figures": figures})
    return description.model_copy(update={"version": version, "input_check": input_check})


def _read_films(folders: CheckFolders) -> CheckFilms:
    training, validation = read_split(folders.data, "train"), read_split(folders.data, "val")
    pictures = _read_pictures(folders, "train")
    return CheckFilms(
        films_by_source(training, MOST_TRAINING),
        films_by_source(validation, MOST_VALIDATION),
        {kind: each[:: -(-len(each) // MOST_TRAINING)] for kind, each in pictures.items()},
        _read_pictures(folders, "val"),
    )


def _read_pictures(folders: CheckFolders, split: Split) -> dict[str, NDArray[np.uint8]]:
    return read_not_chest(folders.not_chest, split) if folders.not_chest else {}


def _read_typicality(arrays: Mapping[str, NDArray[np.generic]]) -> Typicality:
    def take(name: str) -> NDArray[np.floating]:
        return np.asarray(arrays[f"typicality/{name}"], np.float64)

    spread = float(take("residual_variance"))
    return Typicality(take("mean"), take("components"), take("variances"), spread, take("quantiles"))


def _evaluate(bundle: Path, folders: CheckFolders) -> tuple[CheckedKind, ...]:
    # through the engine that serves it, and once: all choices are made
    data, _ = read_evaluation_folder(EvaluationFolder(folders.data, not_chest=folders.not_chest))
    return check_kinds(data, run_kinds(bundle, data, run_bundle(bundle, data.tensors)))
