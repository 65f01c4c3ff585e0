"""Holm's correction, compared with that of statsmodels."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests  # type: ignore[import-untyped]

from pipelines.statistics.holm import adjust_by_holm


@pytest.mark.parametrize("seed", range(3))
def test_adjusted_values_are_those_of_statsmodels(seed: int) -> None:
    """Equal to the bit, with ties, zeros and ones."""
    rng = np.random.default_rng(seed)
    p_values = rng.permutation([*rng.random(14) ** 4, 0.0, 1.0, 0.01, 0.01, 0.5, 0.5]).tolist()
    np.testing.assert_array_equal(adjust_by_holm(p_values), multipletests(p_values, method="holm")[1])


def test_no_hypothesis_needs_no_correction() -> None:
    """No p-value gives no p-value."""
    assert len(adjust_by_holm([])) == 0
