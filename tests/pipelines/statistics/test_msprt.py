"""The sequential test against a second way of computing it, and against what was published of it."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from pipelines.statistics.msprt import (
    Bound,
    EventCount,
    Excess,
    SequentialSample,
    is_failing,
    is_harmful,
    log_evidence,
    mean_excess,
    negate,
    rate_excess,
)

_BOUND = Bound(margin=0.0, scale=0.02, alpha=0.05)


@pytest.mark.parametrize("value", [-0.05, 0.0, 0.01, 0.04])
@pytest.mark.parametrize("variance", [1e-5, 1e-4, 1e-3])
def test_the_evidence_is_the_mixture_of_likelihood_ratios(value: float, variance: float) -> None:
    """The closed form is what numerical integration over the half normal gives."""
    bound = Bound(margin=0.005, scale=0.02, alpha=0.05)

    def integrand(beyond: float) -> float:
        worse = norm.pdf(value, bound.margin + beyond, math.sqrt(variance))
        ratio = worse / norm.pdf(value, bound.margin, math.sqrt(variance))
        return float(2 * norm.pdf(beyond, 0, bound.scale) * ratio)

    mixture, _ = quad(integrand, 0, 0.3, limit=500, points=[max(value, 0.001), 0.02])
    assert math.exp(log_evidence(Excess(value, variance, 1000), bound)) == pytest.approx(mixture, rel=1e-5)


def test_the_normal_mixture_is_that_of_the_paper() -> None:
    """Both sides together are the two-sided statistic of Johari et al. (2022), equation 16."""
    value, variance, scale = 0.03, 2e-4, 0.02
    excess, bound = Excess(value, variance, 1000), Bound(0.0, scale, 0.05)
    both = (math.exp(log_evidence(excess, bound)) + math.exp(log_evidence(negate(excess), bound))) / 2
    published = math.sqrt(variance / (variance + scale**2)) * math.exp(
        scale**2 * value**2 / (2 * variance * (variance + scale**2))
    )
    assert both == pytest.approx(published)


def _alarms(rate: float, per_day: int, trials: int) -> float:
    random = np.random.default_rng(1)
    arms = np.cumsum(random.binomial(per_day, rate, (2, trials, 30)), axis=2)
    answers = [per_day * (day + 1) for day in range(30)]

    def alarms(trial: int) -> bool:
        days = zip(*arms[:, trial], answers, strict=True)
        looks = (rate_excess([(EventCount(int(c), n), EventCount(int(s), n))]) for c, s, n in days)
        return any(is_harmful(look, _BOUND) for look in looks)

    return sum(alarms(trial) for trial in range(trials)) / trials


def test_daily_looks_for_a_month_rarely_raise_a_false_alarm() -> None:
    """Two equal arms, looked at daily: fewer false alarms than alpha, where p < .05 gives a quarter."""
    rates = [_alarms(rate, per_day, 300) for rate, per_day in ((0.001, 300), (0.01, 100), (0.05, 30))]
    assert max(rates) <= 0.05
    assert rates[1] > 0  # it is not that it never says anything


def _answers_until_found(rate: float, random: np.random.Generator) -> int:
    canary, stable = (np.cumsum(random.binomial(50, each, 120)) for each in (rate, 0.001))
    for look, (c, s) in enumerate(zip(canary, stable, strict=True), 1):
        if is_harmful(rate_excess([(EventCount(int(c), 50 * look), EventCount(int(s), 50 * look))]), _BOUND):
            return 50 * look
    return 6000


def test_errors_are_found_as_soon_as_was_measured() -> None:
    """1 % of errors against 0.1 % after about 1,250 answers per arm, 5 % after 300."""
    random = np.random.default_rng(2)
    assert 1000 < np.mean([_answers_until_found(0.01, random) for _ in range(300)]) < 1400
    assert np.median([_answers_until_found(0.05, random) for _ in range(300)]) == 300


def test_a_latency_is_found_and_equal_ones_are_not() -> None:
    """Half as slow again is found; a tenth slower is within the margin of a fifth."""
    random, bound = np.random.default_rng(3), Bound(margin=0.2, scale=0.2, alpha=0.01)

    def found(factor: float, answers: int) -> bool:
        canary, stable = random.normal(math.log(factor), 0.6, answers), random.normal(0, 0.6, answers)
        samples = [
            SequentialSample(answers, float(each.mean()), float(each.var(ddof=1)))
            for each in (canary, stable)
        ]
        return is_harmful(mean_excess([(samples[0], samples[1])]), bound)

    assert found(1.5, 1000)
    assert not any(found(1.1, 1000) for _ in range(200))


def test_nothing_is_said_before_there_is_enough() -> None:
    """299 answers of one arm say nothing, however bad they are; 300 do."""
    for answers, says in ((299, False), (300, True)):
        strata = [(EventCount(answers, answers), EventCount(0, 5000))]
        assert is_harmful(rate_excess(strata), _BOUND) is says
    assert not is_harmful(rate_excess([]), _BOUND)


def test_a_change_of_the_traffic_between_steps_is_no_harm() -> None:
    """Where the errors and the canary's share both rise from one step to the next, equal arms stay equal."""
    strata = [(EventCount(1, 100), EventCount(99, 9900)), (EventCount(450, 4500), EventCount(450, 4500))]
    assert rate_excess(strata).value == pytest.approx(0.0)
    pooled = rate_excess([(EventCount(451, 4600), EventCount(549, 14400))])
    assert is_harmful(pooled, _BOUND)
    assert not is_harmful(rate_excess(strata), _BOUND)


def test_outright_failure_needs_few_answers() -> None:
    """Two of two failures are enough, one of ten is not, and one of a hundred never adds up to it."""
    assert is_failing(EventCount(2, 2), 0.02, 0.01)
    assert not is_failing(EventCount(1, 10), 0.02, 0.01)
    assert not is_failing(EventCount(10, 1000), 0.02, 0.01)
