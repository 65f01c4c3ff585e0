"""Checks of the graph's outputs, before a caller gets them."""

import numpy as np
from numpy.typing import NDArray

from pleura.contract import GRAPH_OUTPUT_SHAPES, INPUT_CHECK_SHAPES
from pleura.errors import InvalidAnswer
from predictor.engines.engine import GraphOutputs


def require_shapes(outputs: GraphOutputs, radiographs: int) -> None:
    """Require outputs for each radiograph.

    Raises:
        InvalidAnswer: An output does not have the shape of the contract.
    """
    shapes = {**GRAPH_OUTPUT_SHAPES, **INPUT_CHECK_SHAPES}
    for name, array in outputs.arrays.items():
        if array.shape != (radiographs, *shapes[name]):
            raise InvalidAnswer(f"the model returned {name!r} in a wrong shape")


def _is_fraction(array: NDArray[np.float32]) -> bool:
    return bool(((array >= 0.0) & (array <= 1.0)).all())  # NaN fails both


def require_answer(outputs: GraphOutputs) -> None:
    """Require valid values in the outputs of one request.

    Raises:
        InvalidAnswer: A value is not finite, a probability or typicality is outside [0, 1], or a distance is
            negative.
    """
    if not _is_fraction(outputs.probability):
        raise InvalidAnswer("the model returned a probability outside [0, 1]")
    if not _is_fraction(outputs.typicality):
        raise InvalidAnswer("the model returned a typicality outside [0, 1]")
    if outputs.input_check is not None and not _is_fraction(outputs.input_check):
        raise InvalidAnswer("the model returned an input check outside [0, 1]")
    if outputs.distance is not None and not ((outputs.distance >= 0) & np.isfinite(outputs.distance)).all():
        raise InvalidAnswer("the model returned an invalid distance")
    if not np.isfinite(outputs.activation_map).all():
        raise InvalidAnswer("the model returned an activation map that is not finite")
