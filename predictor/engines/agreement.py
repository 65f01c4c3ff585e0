"""Comparison of two engines, which must give the same outputs except for rounding."""

from typing import Final

import numpy as np

from predictor.engines.engine import GraphOutputs

PROBABILITY_TOLERANCE: Final = 1e-4
TYPICALITY_TOLERANCE: Final = 1e-2
"""One in a hundred known radiographs: small variances enlarge the rounding of the features."""
CHECK_TOLERANCE: Final = 1e-2
"""Of the input check: its probabilities, and its distance relative to itself."""


class DifferentGraphs(Exception):
    """Two engines give different outputs for the same radiographs."""


def require_same(first: GraphOutputs, second: GraphOutputs, names: str) -> None:
    """Compare the outputs of two engines for the same radiographs.

    Args:
        first: The outputs of one engine.
        second: The outputs of the other.
        names: The names of both engines, for the error.

    Raises:
        DifferentGraphs: Their probabilities differ by 1e-4 or more, their typicality or input check by 1e-2
            or more, or one of them is NaN.
    """
    probability = np.abs(first.probability - second.probability).max()
    typicality = np.abs(first.typicality - second.typicality).max()
    if not (probability < PROBABILITY_TOLERANCE and typicality < TYPICALITY_TOLERANCE):
        raise DifferentGraphs(
            f"{names} differ by {probability:.1e} in probability and {typicality:.1e} in typicality"
        )
    check = _check_difference(first, second)
    if not check < CHECK_TOLERANCE:
        raise DifferentGraphs(f"{names} differ by {check:.1e} in the input check")


def _check_difference(first: GraphOutputs, second: GraphOutputs) -> float:
    if first.arrays.keys() != second.arrays.keys():
        return np.inf
    if first.input_check is None or second.input_check is None:
        return 0.0
    if first.distance is None or second.distance is None:
        return np.inf
    classes = np.abs(first.input_check - second.input_check).max()
    distance = np.abs(first.distance / second.distance - 1).max()
    return float(np.maximum(classes, distance))  # NaN stays NaN
