"""A model source: the folder with weights, description and model card that a bundle is built from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.reports.model_card import model_card
from pipelines.training.fitted_model import FittedModel
from pipelines.training.input_check import FittedInputCheck
from pleura.bundle import ModelDescription
from predictor.build.weights import CHECK_BIAS, CHECK_KERNEL, WEIGHTS_FILE, InvalidSource


def read_source_weights(folder: Path) -> dict[str, NDArray[np.generic]]:
    """Read the weights of a model source.

    Raises:
        InvalidSource: The folder has no ``weights.npz``.
    """
    try:
        # docs/decisions/0035: a pickle can run any program. Weights need none.
        with np.load(folder / WEIGHTS_FILE, allow_pickle=False) as file:
            return dict(file)
    except FileNotFoundError as error:
        raise InvalidSource(f"there is no {WEIGHTS_FILE} in {folder}") from error


def write_source(folder: Path, model: FittedModel, description: ModelDescription) -> None:
    """Write ``weights.npz``, ``source.json`` and ``MODEL_CARD.md``."""
    calibrations, typicality = model.fitted.calibrations, model.fitted.typicality
    arrays: dict[str, Any] = dict(model.network.weights) | {
        "calibration/scale": np.array([c.scale for c in calibrations], np.float32),
        "calibration/offset": np.array([c.offset for c in calibrations], np.float32),
        "typicality/mean": typicality.mean.astype(np.float32),
        "typicality/components": typicality.components.astype(np.float16),
        "typicality/variances": typicality.variances.astype(np.float32),
        "typicality/residual_variance": np.float32(typicality.residual_variance),
        "typicality/quantiles": typicality.quantiles.astype(np.float32),
    }
    if model.fitted.input_check is not None:
        arrays |= input_check_arrays(model.fitted.input_check)
    write_source_files(folder, arrays, description)


def input_check_arrays(check: FittedInputCheck) -> dict[str, NDArray[np.generic]]:
    """Arrange the arrays of an input check by their names in ``weights.npz``."""
    return {CHECK_KERNEL: check.kernel.astype(np.float32), CHECK_BIAS: check.bias.astype(np.float32)}


def write_source_files(
    folder: Path, arrays: Mapping[str, NDArray[np.generic]], description: ModelDescription
) -> None:
    """Write the three files of a model source."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / WEIGHTS_FILE, **dict[str, Any](arrays))
    (folder / "source.json").write_text(description.model_dump_json(indent=2) + "\n")
    (folder / "MODEL_CARD.md").write_text(model_card(description), encoding="utf-8")
