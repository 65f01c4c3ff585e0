"""Compare the last window of the journal with the references of its models.

Scores, call rates, typicality, refusals and the radiographs themselves make about forty comparisons a week.
A difference is drift if it is both certain and notable. It is certain if its p-value, adjusted over all
comparisons of the window (Benjamini and Hochberg), is at most ``level``. Where nothing changed, at least 95
of 100 windows raise no alarm (a test shows it).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.stats import false_discovery_control

from pipelines.drift.distance import (
    Distance,
    detectable_effect,
    detectable_gap,
    distance_of_histograms,
    distance_of_shares,
)
from pipelines.drift.reference import DriftReference, DriftSample, Histogram, Measure, Share
from pipelines.drift.report import OPERATION, DriftRules, DriftVerdict, ModelDrift, QuantityComparison


@dataclass(frozen=True)
class _Pair:
    """A quantity in the reference and in the window; ``model`` is the position of the model's sample."""

    model: int
    measure: Measure
    expected: Histogram | Share
    actual: Histogram | Share

    @property
    def smaller(self) -> int:
        return min(self.expected.n, self.actual.n)

    def distance(self) -> Distance:
        if isinstance(self.expected, Histogram) and isinstance(self.actual, Histogram):
            return distance_of_histograms(self.expected, self.actual)
        if isinstance(self.expected, Share) and isinstance(self.actual, Share):
            return distance_of_shares(self.expected, self.actual)
        raise TypeError("a histogram is compared with a histogram, a share with a share")

    def detectable(self, level: float) -> float:
        smallest = detectable_gap if isinstance(self.expected, Histogram) else detectable_effect
        return smallest(self.expected.n, self.actual.n, level)


def compare_samples(
    samples: Sequence[DriftSample], references: Mapping[str, DriftReference], rules: DriftRules
) -> tuple[ModelDrift, ...]:
    """Compare the sample of each model with the reference of the same model.

    Args:
        samples: One for each model that answered in the window.
        references: By the digest of the model. The reference of another model would show the difference
            between the models instead of drift.
        rules: When a difference is drift.
    """
    pairs = [
        pair
        for number, sample in enumerate(samples)
        if sample.model.digest in references
        for pair in _pair_quantities(number, sample, references[sample.model.digest])
    ]
    # Answer times follow machines, not patients: tested apart, they take no power from the other tests.
    timings = [pair for pair in pairs if pair.measure.kind == OPERATION]
    others = [pair for pair in pairs if pair.measure.kind != OPERATION]
    compared = _compare_pairs(others, rules) + _compare_pairs(timings, rules)
    return tuple(
        _model_drift(
            sample,
            references.get(sample.model.digest),
            [comparison for pair, comparison in compared if pair.model == number],
        )
        for number, sample in enumerate(samples)
    )


def _pair_quantities(number: int, sample: DriftSample, reference: DriftReference) -> list[_Pair]:
    histograms = [
        _Pair(number, each.measure, each.histogram, each.histogram.of_others(sample.values[each.measure]))
        for each in reference.histograms
        if each.measure in sample.values
    ]
    shares = [
        _Pair(number, each.measure, each.share, sample.shares[each.measure])
        for each in reference.shares
        if each.measure in sample.shares
    ]
    return histograms + shares


def _compare_pairs(pairs: Sequence[_Pair], rules: DriftRules) -> list[tuple[_Pair, QuantityComparison]]:
    enough = [pair for pair in pairs if pair.smaller >= rules.minimum]
    few = [(pair, _comparison(pair, "cannot be shown")) for pair in pairs if pair.smaller < rules.minimum]
    if not enough:
        return few
    distances = [pair.distance() for pair in enough]
    adjusted = false_discovery_control([each.p for each in distances], method="bh")
    # The strictest bound of Benjamini and Hochberg: below it, the other comparisons do not matter.
    strictest = rules.level / len(enough)
    return few + [
        (pair, _apply_rules(pair, distance, float(p), rules, strictest))
        for pair, distance, p in zip(enough, distances, adjusted, strict=True)
    ]


def _apply_rules(
    pair: _Pair, distance: Distance, p: float, rules: DriftRules, strictest: float
) -> QuantityComparison:
    if isinstance(pair.actual, Share):
        is_notable = distance.distance >= rules.notable_effect
    else:
        is_notable = distance.psi >= rules.notable_psi
    comparison = _comparison(pair, "drift" if is_notable and p <= rules.level else "no drift seen")
    figures = {
        "psi": distance.psi,
        "distance": distance.distance,
        "p_adjusted": p,
        "detectable": pair.detectable(strictest),
    }
    return comparison.model_copy(update=figures)


def _comparison(pair: _Pair, word: DriftVerdict) -> QuantityComparison:
    return QuantityComparison(measure=pair.measure, expected=pair.expected, actual=pair.actual, word=word)


def _model_drift(
    sample: DriftSample, reference: DriftReference | None, compared: list[QuantityComparison]
) -> ModelDrift:
    measured = {each.measure for each in compared}
    every = set(sample.values) | set(sample.shares)
    if reference is not None:
        every |= {each.measure for each in reference.histograms}
        every |= {each.measure for each in reference.shares}
    return ModelDrift(
        model_version=sample.model.version,
        model_digest=sample.model.digest,
        answers=sample.answers,
        radiographs=sample.radiographs,
        reference=reference.made_from if reference else "",
        reference_radiographs=reference.n if reference else 0,
        compared=tuple(sorted(compared, key=lambda each: (each.measure.kind, str(each.measure)))),
        missing=tuple(sorted(str(each) for each in every - measured)),
    )
