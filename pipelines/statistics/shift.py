"""Measure how far two samples of one quantity differ: a sign that data or patients have changed."""

import warnings
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp

Floats = NDArray[np.floating]
NOTABLE_PSI: Final = 0.1
SERIOUS_PSI: Final = 0.25
_BINS: Final = 10


@dataclass(frozen=True)
class Shift:
    """A population stability index, and the Kolmogorov-Smirnov distance with its p-value."""

    psi: float
    ks: float
    p: float


def psi(expected: NDArray[np.intp], actual: NDArray[np.intp]) -> float:
    """Compute the population stability index of two histograms over the same bins.

    Half a count is added to every bin, so that an empty bin does not make the index infinite.

    Source:
        Siddiqi, "Credit Risk Scorecards", 2006: below 0.1 no change, from 0.25 a serious change.
    """
    bins = len(expected)
    before = (expected + 0.5) / (expected.sum() + 0.5 * bins)
    now = (actual + 0.5) / (actual.sum() + 0.5 * bins)
    return float(np.sum((now - before) * np.log(now / before)))


def measure_shift(reference: Floats, sample: Floats) -> Shift:
    """Compare a sample with a reference, in tenths of the reference.

    Raises:
        ValueError: A sample is empty, or holds NaN or infinity.
    """
    if not (len(reference) and len(sample) and np.isfinite(reference).all() and np.isfinite(sample).all()):
        raise ValueError("a shift needs two samples of finite numbers")
    # A frequent value makes several quantiles equal, and the bins between them would always be empty.
    inner = np.unique(np.quantile(reference, np.linspace(0, 1, _BINS + 1)[1:-1]))
    counts = [
        np.bincount(np.searchsorted(inner, x, side="left"), minlength=len(inner) + 1)
        for x in (reference, sample)
    ]
    with warnings.catch_warnings():
        # scipy warns when it uses the asymptotic p-value because the exact one is too costly
        warnings.simplefilter("ignore", RuntimeWarning)
        distance = ks_2samp(reference, sample)
    return Shift(psi(*counts), float(distance.statistic), float(distance.pvalue))
