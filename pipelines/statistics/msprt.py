"""Sequential test: is the canary worse than the stable revision? It may be evaluated at any time.

A daily look at p < .05 raises a false alarm in a quarter of all months. The mixture sequential probability
ratio test bounds the chance of ever raising a false alarm by ``alpha``, however often it is evaluated.

Each step of a rollout is a stratum. The mix of radiographs and the share of the canary change from step to
step, so the revisions are compared within a step only, and the differences are pooled.

Source:
    Robbins, "Statistical methods related to the law of the iterated logarithm", 1970; Johari, Koomen,
    Pekelis, Walsh, "Always valid inference", Operations Research 70(3), 2022, section 4 (normal mixture, two
    arms, variance plugged in). One-sided: only the half of the normal on the side of harm is mixed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scipy.special import log_ndtr

LEAST_ANSWERS: Final = 300
"""With fewer answers an estimated rate is too far from normal for the bound to hold."""


@dataclass(frozen=True)
class EventCount:
    """How many of a revision's answers had an event, such as an error."""

    count: int
    answers: int


@dataclass(frozen=True)
class SequentialSample:
    """A quantity over a revision's answers; ``variance`` is that of one answer."""

    answers: int
    mean: float
    variance: float


@dataclass(frozen=True)
class Excess:
    """The excess of the canary over the stable revision: an estimate and its variance.

    ``answers`` is the number of answers of the revision with fewer answers.
    """

    value: float
    variance: float
    answers: int


@dataclass(frozen=True)
class Bound:
    """The harm that the test looks for, and the allowed rate of false alarms.

    ``margin`` is the tolerated excess. ``scale`` is the expected size of a harm beyond the margin, in the
    same unit. The test finds harms of about that size soonest, and is valid for any scale.
    """

    margin: float
    scale: float
    alpha: float
    least_answers: int = LEAST_ANSWERS


def rate_excess(strata: Sequence[tuple[EventCount, EventCount]]) -> Excess:
    """Compare a rate between canary and stable, in that order, within each stratum.

    The variance assumes one common rate. Half an event is added, so that the rate is never 0.
    """
    both = [(c, s) for c, s in strata if c.answers and s.answers]
    weights = [_weight(c.answers, s.answers) for c, s in both]
    if not both:
        return Excess(0.0, math.inf, 0)
    events = sum(c.count + s.count for c, s in both)
    answers = sum(c.answers + s.answers for c, s in both)
    rate = (events + 0.5) / (answers + 1)
    differences = [c.count / c.answers - s.count / s.answers for c, s in both]
    value = _mean(differences, weights)
    fewer = min(sum(c.answers for c, _ in both), sum(s.answers for _, s in both))
    return Excess(value, rate * (1 - rate) / sum(weights), fewer)


def mean_excess(strata: Sequence[tuple[SequentialSample, SequentialSample]]) -> Excess:
    """Compare the mean of a quantity between canary and stable, in that order, within each stratum."""
    both = [(c, s) for c, s in strata if c.answers > 1 and s.answers > 1]
    weights = [_weight(c.answers, s.answers) for c, s in both]
    if not both:
        return Excess(0.0, math.inf, 0)
    parts = [c.variance / c.answers + s.variance / s.answers for c, s in both]
    variance = sum(w * w * part for w, part in zip(weights, parts, strict=True)) / sum(weights) ** 2
    value = _mean([c.mean - s.mean for c, s in both], weights)
    fewer = min(sum(c.answers for c, _ in both), sum(s.answers for _, s in both))
    # The test divides by the variance, and equal values have none.
    return Excess(value, max(variance, 1e-12), fewer)


def negate(excess: Excess) -> Excess:
    """Turn an excess into a shortfall."""
    return Excess(-excess.value, excess.variance, excess.answers)


def log_evidence(excess: Excess, bound: Bound) -> float:
    """Compute the log likelihood ratio of "worse by more than the margin" to "worse by the margin"."""
    x, v, t = excess.value - bound.margin, excess.variance, bound.scale**2
    # Without answers there is no evidence, and the formula below would give NaN.
    if math.isinf(v):
        return 0.0
    shrunk = math.sqrt(v / (v + t))
    z = x * bound.scale / math.sqrt(v * (v + t))
    # log_ndtr, because ndtr of a very negative z is 0, and the logarithm of 0 does not exist.
    return math.log(2 * shrunk) + z * z / 2 + float(log_ndtr(z))


def is_harmful(excess: Excess, bound: Bound) -> bool:
    """Tell whether the canary is worse by more than the margin.

    If the canary is not worse, the chance that this is ever true is at most ``alpha``, even if it is
    evaluated after every answer.
    """
    return excess.answers >= bound.least_answers and log_evidence(excess, bound) >= -math.log(bound.alpha)


def is_failing(events: EventCount, tolerated: float, alpha: float) -> bool:
    """Tell whether a revision fails outright: every other answer fails instead of the tolerated share.

    The test is exact from the first answer, so no rollout waits for hundreds of failures.

    Source:
        Wald, "Sequential tests of statistical hypotheses", 1945.
    """
    sound = events.answers - events.count
    ratio = events.count * math.log(0.5 / tolerated) + sound * math.log(0.5 / (1 - tolerated))
    return ratio >= -math.log(alpha)


def _weight(canary: int, stable: int) -> float:
    return canary * stable / (canary + stable)


def _mean(values: Sequence[float], weights: Sequence[float]) -> float:
    return sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)
