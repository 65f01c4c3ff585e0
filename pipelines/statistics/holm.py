"""Holm's correction of p-values, when several hypotheses are tested at once."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def adjust_by_holm(p_values: Sequence[float]) -> NDArray[np.floating]:
    """Adjust p-values, in the same order. An adjusted one is compared with the level of the whole family.

    Source:
        Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Stat. 1979.
    """
    # Not multipletests of statsmodels: each call collects the garbage of the whole process, and a decision
    # of the gate makes twelve, each of up to a second where TensorFlow is loaded.
    values = np.asarray(p_values, float)
    order = np.argsort(values)
    stepped = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    # A larger p-value must not be adjusted to a smaller one.
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return adjusted
