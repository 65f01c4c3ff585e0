"""The flags of the input check: what is not an upright chest film, and what is unlike the training films."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pleura.bundle import InputCheck
from pleura.contract import INPUT_CLASSES, INPUT_FLAGS
from pleura.errors import InvalidAnswer
from predictor.engines.engine import GraphOutputs

UNTYPICAL_SHARE: Final = 0.02
"""The share of held-out films that are untypical; it decides alone where a model has no input check."""
_UPRIGHT: Final = INPUT_CLASSES.index("upright")
_NOT_CHEST: Final = INPUT_FLAGS.index("not_chest")
_UNTYPICAL: Final = INPUT_FLAGS.index("untypical")
_FLAG_OF_CLASS: Final = np.array([INPUT_FLAGS.index(name) for name in INPUT_CLASSES if name != "upright"])


def flag_inputs(outputs: GraphOutputs, check: InputCheck | None) -> NDArray[np.bool_]:
    """Compute the flags of N radiographs, shape (N, 4), in the order of ``INPUT_FLAGS``.

    Args:
        outputs: The outputs of the graph.
        check: The thresholds of the model. Without them only ``untypical`` can be told, by typicality.

    Raises:
        InvalidAnswer: The model has thresholds, but its graph does not give what they are for.
    """
    flags = np.zeros((len(outputs.typicality), len(INPUT_FLAGS)), np.bool_)
    if check is None:
        flags[:, _UNTYPICAL] = outputs.typicality < UNTYPICAL_SHARE
        return flags
    if outputs.input_check is None or outputs.distance is None:
        raise InvalidAnswer("the model's graph has no input check, but its description has thresholds")
    others = np.delete(outputs.input_check, _UPRIGHT, axis=1).argmax(axis=1)
    rows = np.flatnonzero(outputs.input_check[:, _UPRIGHT] < check.upright_threshold)
    flags[rows, _FLAG_OF_CLASS[others[rows]]] = True
    distance = outputs.distance[:, 0]
    flags[:, _NOT_CHEST] |= distance > check.not_chest_distance
    flags[:, _UNTYPICAL] = distance > check.untypical_distance
    return flags
