"""Whether what the graph said can be an answer at all."""

import numpy as np
from numpy.typing import NDArray

from pleura.contract import ACTIVATION_MAP, GRAPH_OUTPUT_SHAPES, PROBABILITY, TYPICALITY
from pleura.errors import InvalidAnswer
from predictor.engines.engine import GraphOutputs


def require_shapes(outputs: GraphOutputs, radiographs: int) -> None:
    """Check that there is one answer for each radiograph.

    Raises:
        InvalidAnswer: An output has another shape than the signature says.
    """
    named = {
        PROBABILITY: outputs.probability,
        ACTIVATION_MAP: outputs.activation_map,
        TYPICALITY: outputs.typicality,
    }
    for name, array in named.items():
        if array.shape != (radiographs, *GRAPH_OUTPUT_SHAPES[name]):
            raise InvalidAnswer(f"the model answered {name!r} in a wrong shape")


def _is_fraction(array: NDArray[np.float32]) -> bool:
    return bool(((array >= 0.0) & (array <= 1.0)).all())  # NaN is neither


def require_answer(outputs: GraphOutputs) -> None:
    """Check the values of one request's outputs.

    Raises:
        InvalidAnswer: One is not finite, or a probability or typicality lies outside [0, 1].
    """
    if not _is_fraction(outputs.probability):
        raise InvalidAnswer("the model answered what is no probability")
    if not _is_fraction(outputs.typicality):
        raise InvalidAnswer("the model answered what is no typicality")
    if not np.isfinite(outputs.activation_map).all():
        raise InvalidAnswer("the model answered an activation map that is not finite")
