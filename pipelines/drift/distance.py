"""Distances between a window and its reference: how large, how certain, and the smallest detectable one."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, fisher_exact, kstwobign, norm

from pipelines.drift.reference import Histogram, Share
from pipelines.statistics.shift import psi
from pleura.bundle import Interval

Counts = NDArray[np.intp]
_MOST_OF_A_TENTH: Final = 0.125  # two twentieths of a small reference are rarely exactly a tenth
NOTABLE_EFFECT: Final = 0.2
"""Cohen's h from which a difference of two shares is more than small.

Source:
    Cohen, "Statistical Power Analysis for the Behavioral Sciences", 1988, 6.2.
"""


@dataclass(frozen=True)
class Distance:
    """The distance of a window from the reference: ``psi`` over tenths, and a test with its ``p``.

    ``distance`` is the Kolmogorov-Smirnov distance of two histograms, or Cohen's h of two shares.
    """

    psi: float
    distance: float
    p: float


def distance_of_histograms(expected: Histogram, actual: Histogram) -> Distance:
    """Compare two histograms over the same edges.

    The Kolmogorov-Smirnov distance is computed at the edges only. It is therefore at most the distance of
    the values themselves, and its p-value errs on the side of no drift.
    """
    before, now = np.array(expected.counts), np.array(actual.counts)
    gap = np.abs(np.cumsum(before) / before.sum() - np.cumsum(now) / now.sum()).max()
    p = float(kstwobign.sf(gap * np.sqrt(_harmonic(expected.n, actual.n))))
    return Distance(psi(*tenths(expected, actual)), float(gap), p)


def distance_of_shares(expected: Share, actual: Share) -> Distance:
    """Compare two shares by Fisher's exact test."""
    table = [[each.hits, each.n - each.hits] for each in (expected, actual)]
    angles = [2 * np.arcsin(np.sqrt(each.hits / each.n)) for each in (expected, actual)]
    both = psi(np.array(table[0], np.intp), np.array(table[1], np.intp))
    return Distance(both, float(abs(angles[1] - angles[0])), float(fisher_exact(table).pvalue))


def tenths(expected: Histogram, actual: Histogram) -> tuple[Counts, Counts]:
    """Merge both counts into bins of about a tenth of the expected ones, for which PSI limits are meant."""
    starts, share = [0], 0.0
    for place, count in enumerate(expected.counts):
        share += count / expected.n
        if place and share > _MOST_OF_A_TENTH:
            starts.append(place)
            share = count / expected.n
    before, now = (np.array(each.counts, np.intp) for each in (expected, actual))
    return np.add.reduceat(before, starts), np.add.reduceat(now, starts)


def detectable_gap(expected: int, actual: int, level: float) -> float:
    """Compute the Kolmogorov-Smirnov distance from which p is below ``level``."""
    return min(1.0, float(kstwobign.isf(level) / np.sqrt(_harmonic(expected, actual))))


def detectable_effect(expected: int, actual: int, level: float) -> float:
    """Compute Cohen's h from which the p of two shares is below ``level``, approximately."""
    return float(norm.isf(level / 2) / np.sqrt(_harmonic(expected, actual)))


def share_interval(share: Share) -> Interval | None:
    """Compute a share with its 95 % interval; None if it is a share of nothing.

    Source:
        Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    if not share.n:
        return None
    bounds = binomtest(share.hits, share.n).proportion_ci(method="wilson")
    return Interval(value=share.hits / share.n, low=max(0.0, bounds.low), high=min(1.0, bounds.high))


def _harmonic(expected: int, actual: int) -> float:
    return expected * actual / (expected + actual)
