"""Statistics of all bootstrap draws at once: a draw is a weight per radiograph, not a list of rows.

Drawing patients with replacement gives each radiograph the number of times its patient was drawn. Every
statistic here takes weights (D, N) and gives one value per draw (D,), NaN where a draw has no answer, so that
2,000 draws of a thousand radiographs cost a few array operations.
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
    """A figure of any range with its 95 % interval; nine decimals, the same on every machine."""

    value: float
    low: float
    high: float


def round_stable(value: float) -> float:
    """Keep nine decimals: more than the data say, less than in which two machines differ."""
    return round(float(value), _DECIMALS) + 0.0  # no negative zero


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are found: draws of patients with replacement, from a seed."""

    draws: int = 2_000
    seed: int = 1

    def weights(self, patients: NDArray[np.str_]) -> Iterator[Floats]:
        """Give the weights of all draws, some at a time, shape (some, N)."""
        _, group = np.unique(patients, return_inverse=True)
        count = int(group.max()) + 1
        share, rng = np.full(count, 1 / count), np.random.default_rng(self.seed)
        at_once = max(1, _MOST_WEIGHTS // len(patients))
        for start in range(0, self.draws, at_once):
            size = min(at_once, self.draws - start)
            yield rng.multinomial(count, share, size=size)[:, group].astype(float)

    def drawn(self, statistics: Statistics, patients: NDArray[np.str_]) -> Floats:
        """Statistics of every draw, shape (draws, S)."""
        return np.concatenate([statistics(weights) for weights in self.weights(patients)])


def observed_statistic(statistics: Statistics, count: int) -> Floats:
    """Statistics of the radiographs as they are, shape (S,)."""
    values: Floats = statistics(np.ones((1, count)))[0]
    return values


def estimate_interval(value: float, drawn: Floats) -> IntervalEstimate | None:
    """Give a value with the percentile interval of its draws (D,); None where it cannot be measured.

    Draws without an answer are left out; are they more than one in twenty, nothing is said.
    """
    valid = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or len(valid) < _LEAST_VALID_DRAWS * len(drawn):
        return None
    low, high = np.percentile(valid, (2.5, 97.5))
    return IntervalEstimate(value=round_stable(value), low=round_stable(low), high=round_stable(high))


def estimate_share_interval(value: float, drawn: Floats, of: int) -> IntervalEstimate | None:
    """Give a share of so many radiographs with its interval.

    A share of none or of all is the same in every draw, which is not certainty: its interval is the exact one
    of Clopper and Pearson.
    """
    found = estimate_interval(value, drawn)
    if found is None or 0 < value < 1:
        return found
    low, high = proportion_confint(round(value * of), of, method="beta")
    return IntervalEstimate(value=round_stable(value), low=round_stable(low), high=round_stable(high))


def centre_draws(value: float, drawn: Floats) -> Floats:
    """Draws (D,) of a statistic that resampling itself raises, brought back to lie around its value."""
    around: Floats = np.maximum(drawn - (drawn.mean() - value), 0.0)
    return around


def shares(weights: Floats, counted: NDArray[np.bool_], among: NDArray[np.bool_]) -> Floats:
    """The weighted share of ``counted`` (N,) among ``among`` (N,), in each draw."""
    return ratio(weights @ (counted & among).astype(float), weights @ among.astype(float))


def means(weights: Floats, values: Floats) -> Floats:
    """The weighted mean of ``values`` (N,) in each draw."""
    return ratio(weights @ values, weights.sum(axis=1))


def ratio(above: Floats, below: Floats) -> Floats:
    """Divide draw by draw; NaN where there is nothing to divide by."""
    empty = np.full(np.broadcast_shapes(above.shape, below.shape), np.nan)
    ratios: Floats = np.divide(above, below, out=empty, where=below > 0)
    return ratios


def _by_score(weights: Floats, labels: Floats, scores: Floats) -> tuple[Floats, Floats]:
    """Weight of positives and of negatives at each distinct score, scores falling, both (D, G)."""
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.inf))
    sorted_weights, sorted_labels = weights[:, order], labels[order]
    positives = np.add.reduceat(sorted_weights * sorted_labels, starts, axis=1)
    negatives = np.add.reduceat(sorted_weights * (1 - sorted_labels), starts, axis=1)
    return positives, negatives


def aurocs(weights: Floats, labels: Floats, scores: Floats) -> Floats:
    """Area under the receiver operating characteristic in each draw; a tie counts for half."""
    positives, negatives = _by_score(weights, labels, scores)
    not_above = np.cumsum(negatives[:, ::-1], axis=1)[:, ::-1]
    won = (positives * (not_above - negatives / 2)).sum(axis=1)
    return ratio(won, positives.sum(axis=1) * negatives.sum(axis=1))


def average_precisions(weights: Floats, labels: Floats, scores: Floats) -> Floats:
    """Average precision, the step-wise area under precision and recall, in each draw."""
    positives, negatives = _by_score(weights, labels, scores)
    found = np.cumsum(positives, axis=1)
    called = found + np.cumsum(negatives, axis=1)
    precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
    return ratio((positives * precision).sum(axis=1), positives.sum(axis=1))
