"""Bootstrap over patients: statistics of all draws at once, with intervals.

A draw is a weight for each radiograph: the number of times that its patient was drawn. Every statistic takes
weights (D, N) and gives one value per draw (D,), NaN if it is undefined in a draw. So 2,000 draws of a
thousand radiographs cost a few array operations.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from statsmodels.stats.proportion import proportion_confint  # type: ignore[import-untyped]

Floats = NDArray[np.floating]
Statistics = Callable[[Floats], Floats]
"""From weights (D, N) to statistics (D, S)."""
_MOST_WEIGHTS: Final = 4_000_000
_DECIMALS: Final = 9
_LEAST_VALID_DRAWS: Final = 0.95


@dataclass(frozen=True)
class IntervalEstimate:
    """An estimate with its 95 % interval, rounded to nine decimals."""

    value: float
    low: float
    high: float


def round_stable(value: float) -> float:
    """Round to nine decimals, so that two machines give the same figure."""
    return round(float(value), _DECIMALS) + 0.0  # no negative zero


@dataclass(frozen=True)
class Bootstrap:
    """A bootstrap: the number of draws of patients with replacement, and its seed."""

    draws: int = 2_000
    seed: int = 1

    def weights(self, patients: NDArray[np.str_]) -> Iterator[Floats]:
        """Draw the weights of all draws, some at a time, shape (some, N)."""
        _, group = np.unique(patients, return_inverse=True)
        count = int(group.max()) + 1
        share, rng = np.full(count, 1 / count), np.random.default_rng(self.seed)
        # All draws at once would need a weight for each draw and radiograph in memory.
        at_once = max(1, _MOST_WEIGHTS // len(patients))
        for start in range(0, self.draws, at_once):
            size = min(at_once, self.draws - start)
            # Patients are drawn, not radiographs: several radiographs
            # of a patient tell less than as many of different patients.
            yield rng.multinomial(count, share, size=size)[:, group].astype(float)

    def draw(self, statistics: Statistics, patients: NDArray[np.str_]) -> Floats:
        """Compute the statistics of every draw, shape (draws, S)."""
        return np.concatenate([statistics(weights) for weights in self.weights(patients)])


def observed_statistic(statistics: Statistics, count: int) -> Floats:
    """Compute the statistics of the radiographs as they are, shape (S,)."""
    values: Floats = statistics(np.ones((1, count)))[0]
    return values


def estimate_interval(value: float, drawn: Floats) -> IntervalEstimate | None:
    """Give a value with the percentile interval of its draws (D,).

    Undefined draws are left out. The result is None if the value is undefined, or more than one draw in
    twenty.
    """
    valid = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or len(valid) < _LEAST_VALID_DRAWS * len(drawn):
        return None
    low, high = np.percentile(valid, (2.5, 97.5))
    return IntervalEstimate(value=round_stable(value), low=round_stable(low), high=round_stable(high))


def estimate_share_interval(value: float, drawn: Floats, of: int) -> IntervalEstimate | None:
    """Give a share of ``of`` radiographs with its interval.

    A share of 0 or 1 is the same in every draw, and yet uncertain. Its interval is the exact one of Clopper
    and Pearson.
    """
    found = estimate_interval(value, drawn)
    if found is None or 0 < value < 1:
        return found
    low, high = proportion_confint(round(value * of), of, method="beta")
    return IntervalEstimate(value=round_stable(value), low=round_stable(low), high=round_stable(high))


def centre_draws(value: float, drawn: Floats) -> Floats:
    """Shift the draws (D,) of a statistic that resampling itself raises back around its value."""
    # An error cannot be negative.
    around: Floats = np.maximum(drawn - (drawn.mean() - value), 0.0)
    return around


def shares(weights: Floats, counted: NDArray[np.bool_], among: NDArray[np.bool_]) -> Floats:
    """Compute the weighted share of ``counted`` (N,) among ``among`` (N,) in each draw."""
    return ratio(weights @ (counted & among).astype(float), weights @ among.astype(float))


def means(weights: Floats, values: Floats) -> Floats:
    """Compute the weighted mean of ``values`` (N,) in each draw."""
    return ratio(weights @ values, weights.sum(axis=1))


def ratio(above: Floats, below: Floats) -> Floats:
    """Divide draw by draw; NaN if the divisor is 0."""
    empty = np.full(np.broadcast_shapes(above.shape, below.shape), np.nan)
    ratios: Floats = np.divide(above, below, out=empty, where=below > 0)
    return ratios


def _by_score(weights: Floats, labels: Floats, scores: Floats) -> tuple[Floats, Floats]:
    """Sum the weights of positives and negatives at each distinct score, from high to low, both (D, G)."""
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.inf))
    sorted_weights, sorted_labels = weights[:, order], labels[order]
    positives = np.add.reduceat(sorted_weights * sorted_labels, starts, axis=1)
    negatives = np.add.reduceat(sorted_weights * (1 - sorted_labels), starts, axis=1)
    return positives, negatives


def aurocs(weights: Floats, labels: Floats, scores: Floats) -> Floats:
    """Compute the area under the ROC curve in each draw; a tie counts half."""
    positives, negatives = _by_score(weights, labels, scores)
    not_above = np.cumsum(negatives[:, ::-1], axis=1)[:, ::-1]
    won = (positives * (not_above - negatives / 2)).sum(axis=1)
    return ratio(won, positives.sum(axis=1) * negatives.sum(axis=1))


def average_precisions(weights: Floats, labels: Floats, scores: Floats) -> Floats:
    """Compute the average precision in each draw: the step-wise area under precision and recall."""
    positives, negatives = _by_score(weights, labels, scores)
    found = np.cumsum(positives, axis=1)
    called = found + np.cumsum(negatives, axis=1)
    precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
    return ratio((positives * precision).sum(axis=1), positives.sum(axis=1))
