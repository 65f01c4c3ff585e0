"""Platt scaling on logits whose distortion is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from pipelines.statistics.platt_scaling import fit_platt_scaling


@given(st.floats(0.3, 3.0), st.floats(-2.0, 2.0))
def test_scaling_undoes_a_known_distortion(scale: float, offset: float) -> None:
    """Stretched and shifted logits get their slope and offset back, given enough data."""
    rng = np.random.default_rng(1)
    true_logits = rng.normal(-1.0, 1.5, 5_000)
    labels = (rng.random(5_000) < expit(true_logits)).astype(float)
    fitted = fit_platt_scaling(labels, (true_logits - offset) / scale)
    assert fitted.scale == pytest.approx(scale, rel=0.2)
    assert fitted.offset == pytest.approx(offset, abs=0.3)


def test_few_positives_keep_the_scale_near_the_networks_own() -> None:
    """Three perfectly separated positives do not make the network certain."""
    labels, logits = np.array([0.0] * 100 + [1.0] * 3), np.linspace(-2, 2, 103)
    assert fit_platt_scaling(labels, logits).scale < 5
