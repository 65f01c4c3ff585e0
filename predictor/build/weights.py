"""The arrays that training writes to ``weights.npz``, by name and checked."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pleura.contract import INPUT_CLASSES
from pleura.findings import FINDINGS

WEIGHTS_FILE: Final = "weights.npz"
SCALE: Final = "input/scale"
OFFSET: Final = "input/offset"
CHECK_KERNEL: Final = "input_check/kernel"
CHECK_BIAS: Final = "input_check/bias"
CHECK_TILES: Final = 14
"""Rows and columns of the reduced radiograph that the input check looks at."""
Array = NDArray[np.float32]


class InvalidSource(Exception):
    """The source folder of a bundle lacks a file or an array, or an array has a wrong shape."""


@dataclass(frozen=True)
class TypicalityParameters:
    """Distribution of the features of known radiographs.

    ``components`` (features, k) are orthonormal columns with ``variances`` (k). Every other direction has
    ``residual_variance``. ``quantiles`` (101) are distances of the validation radiographs, increasing.
    """

    mean: Array
    components: Array
    variances: Array
    residual_variance: Array
    quantiles: Array


@dataclass(frozen=True)
class InputCheckParameters:
    """Multinomial logistic regression of the input check: ``kernel`` (inputs, classes), ``bias`` (classes)."""

    kernel: Array
    bias: Array


@dataclass(frozen=True)
class Head:
    """The layers after the feature maps: one dense layer, its calibration, typicality, and input check.

    ``input_check`` is None in a model of an earlier version, and in imported weights that were fitted to nothing.
    """

    kernel: Array
    bias: Array
    scale: Array
    offset: Array
    typicality: TypicalityParameters
    input_check: InputCheckParameters | None = None


@dataclass(frozen=True)
class Normalisation:
    """The first step of the network: ``scale * pixel + offset`` for each channel of its stem.

    A pixel is in [0, 255]. The padding outside the radiograph is zero *after* this step, so the stem's kernel
    cannot contain the offset. The defaults are those of a network that our training makes.
    """

    scale: tuple[float, ...] = (1 / (255 * 0.25),)
    offset: tuple[float, ...] = (-0.5 / 0.25,)


@dataclass(frozen=True)
class Weights:
    """All weights of a model; ``network`` by ``layer/variable`` in Keras's names."""

    network: Mapping[str, Array]
    head: Head
    normalisation: Normalisation = Normalisation()


def _read_arrays(path: Path) -> dict[str, Array]:
    try:
        # a pickle can run any program (docs/decisions/0035)
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            return {name: file[name].astype(np.float32) for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InvalidSource(f"{path} cannot be read as weights") from error


def _take(arrays: dict[str, Array], name: str, *shape: int) -> Array:
    if name not in arrays:
        raise InvalidSource(f"the weights lack {name!r}")
    array = np.asarray(arrays.pop(name), np.float32)
    if len(array.shape) != len(shape) or any(
        want not in (-1, have) for want, have in zip(shape, array.shape, strict=True)
    ):
        raise InvalidSource(f"{name!r} has the shape {list(array.shape)}, not {list(shape)}")
    return array


def take_head(arrays: dict[str, Array]) -> Head:
    """Take the head's arrays out of ``arrays``, which keeps those of the network.

    Raises:
        InvalidSource: An array is missing, has a wrong shape, or has invalid values.
    """
    findings = len(FINDINGS)
    kernel = _take(arrays, "head/kernel", -1, findings)
    features = kernel.shape[0]
    components = _take(arrays, "typicality/components", features, -1)
    typicality = TypicalityParameters(
        _take(arrays, "typicality/mean", features),
        components,
        _take(arrays, "typicality/variances", components.shape[1]),
        _take(arrays, "typicality/residual_variance"),
        _take(arrays, "typicality/quantiles", 101),
    )
    if not (np.diff(typicality.quantiles) > 0).all():
        raise InvalidSource("'typicality/quantiles' do not increase")
    if not ((typicality.variances > 0).all() and typicality.residual_variance > 0):
        raise InvalidSource("a variance of the typicality is not positive")
    return Head(
        kernel,
        _take(arrays, "head/bias", findings),
        _take(arrays, "calibration/scale", findings),
        _take(arrays, "calibration/offset", findings),
        typicality,
        _take_input_check(arrays, count_check_inputs(features)),
    )


def count_check_inputs(features: int) -> int:
    """Count the inputs of the input check of a network with so many features."""
    return features + CHECK_TILES**2


def _take_input_check(arrays: dict[str, Array], inputs: int) -> InputCheckParameters | None:
    if not {CHECK_KERNEL, CHECK_BIAS} & arrays.keys():
        return None
    kernel = _take(arrays, CHECK_KERNEL, inputs, len(INPUT_CLASSES))
    return InputCheckParameters(kernel, _take(arrays, CHECK_BIAS, len(INPUT_CLASSES)))


def take_normalisation(arrays: dict[str, Array]) -> Normalisation:
    """Take the input's scale and offset out of ``arrays``; without them, return the default.

    Raises:
        InvalidSource: One of them is missing, their channels differ, or a scale is zero.
    """
    if not {SCALE, OFFSET} & arrays.keys():
        return Normalisation()
    scale, offset = _take(arrays, SCALE, -1), _take(arrays, OFFSET, -1)
    if scale.shape != offset.shape or not scale.size or not scale.all():
        raise InvalidSource(f"{SCALE!r} and {OFFSET!r} are not a normalisation")
    return Normalisation(tuple(map(float, scale)), tuple(map(float, offset)))


def read_weights(source: Path) -> Weights:
    """Read ``weights.npz`` of a source folder, as float32.

    Raises:
        InvalidSource: An array is missing, is not finite, or has a wrong shape.
    """
    arrays: dict[str, Any] = _read_arrays(source / WEIGHTS_FILE)
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise InvalidSource(f"{name!r} holds values that are not finite")
    head, normalisation = take_head(arrays), take_normalisation(arrays)
    return Weights(arrays, head, normalisation)
