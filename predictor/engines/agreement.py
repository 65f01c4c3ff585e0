"""Whether two engines say the same of the same radiographs, but for rounding."""

from typing import Final

import numpy as np

from predictor.engines.engine import GraphOutputs

PROBABILITY_TOLERANCE: Final = 1e-4
TYPICALITY_TOLERANCE: Final = 1e-2
"""One in a hundred known radiographs: small variances magnify what rounding does to the features."""


class DifferentGraphs(Exception):
    """One engine does not say what another says."""


def require_same(these: GraphOutputs, those: GraphOutputs, who: str) -> None:
    """Compare what two engines, whose names ``who`` holds, say of the same radiographs.

    Raises:
        DifferentGraphs: Their probabilities differ by 1e-4 or more, their typicality by 1e-2 or more, or
            they answer NaN.
    """
    probability = np.abs(these.probability - those.probability).max()
    typicality = np.abs(these.typicality - those.typicality).max()
    if not (probability < PROBABILITY_TOLERANCE and typicality < TYPICALITY_TOLERANCE):
        raise DifferentGraphs(
            f"{who} differ by {probability:.1e} in probability and {typicality:.1e} in typicality"
        )
