"""Drift: what the last window of the journal has that the reference had not.

Scores, call rates, typicality, refusals and the radiographs themselves make about forty comparisons a week.
Each has to be both sure and large: its p-value, adjusted over all comparisons of the window (Benjamini and
Hochberg), at most ``level``, and its effect notable. Where nothing has changed at least 95 of 100 windows
raise no alarm (``tests/pipelines/drift/test_drift.py`` shows it). Where there are too few radiographs nothing
is said, which is not to say that nothing has changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import Field
from scipy.stats import false_discovery_control

from pipelines.drift.distance import (
    NOTABLE_EFFECT,
    Distance,
    detectable_effect,
    detectable_gap,
    distance_of_histograms,
    distance_of_shares,
)
from pipelines.drift.reference import DriftReference, DriftSample, Histogram, Kind, Measure, Share
from pipelines.statistics.shift import NOTABLE_PSI
from pipelines.value import Document, Value

DriftVerdict = Literal["drift", "no drift seen", "cannot be shown"]
OPERATION: Final[Kind] = "operation"


class DriftRules(Value):
    """When a difference is called drift.

    ``level`` bounds the share of windows with a false alarm; ``minimum`` is the number of radiographs, in the
    window and in the reference, below which nothing is said.
    """

    level: Annotated[float, Field(gt=0, lt=1)] = 0.05
    minimum: Annotated[int, Field(ge=20)] = 100
    notable_psi: Annotated[float, Field(ge=0)] = NOTABLE_PSI
    notable_effect: Annotated[float, Field(ge=0)] = NOTABLE_EFFECT


class QuantityComparison(Value):
    """One quantity beside its reference; figures are None where there is too little to tell.

    ``distance`` is the Kolmogorov-Smirnov distance of a distribution, Cohen's h of a share; ``detectable`` is
    the smallest one that would have been sure whatever else was found. ``p_adjusted`` is over them all.
    """

    measure: Measure
    expected: Histogram | Share
    actual: Histogram | Share
    word: DriftVerdict
    psi: float | None = None
    distance: float | None = None
    p_adjusted: float | None = None
    detectable: float | None = None


class ModelDrift(Value):
    """One model's part of a window; ``reference`` says what it was compared with, empty for nothing."""

    model_version: str
    model_digest: str
    answers: int
    radiographs: int
    reference: str
    reference_radiographs: int
    compared: tuple[QuantityComparison, ...]
    missing: tuple[str, ...]

    @property
    def word(self) -> DriftVerdict:
        """What is said of the whole: operation (how long it took) is no drift of patients or films."""
        return _overall([each.word for each in self.compared if each.measure.kind != OPERATION])

    def of_word(self, word: DriftVerdict) -> tuple[QuantityComparison, ...]:
        """The comparisons of which this is said."""
        return tuple(each for each in self.compared if each.word == word)


class DriftReport(Document):
    """What a window showed, model by model.

    ``images_lost`` radiographs could not be read again; ``is_cut``: there were more answers than were read;
    ``audit`` is the id of the request that was raised, or empty.
    """

    since: datetime
    until: datetime
    made_at: datetime
    rules: DriftRules
    models: tuple[ModelDrift, ...]
    images_lost: int = 0
    is_cut: bool = False
    audit: str = ""

    @property
    def word(self) -> DriftVerdict:
        """What is said of the window: drift of any model, and otherwise nothing where any cannot be told."""
        return _overall([each.word for each in self.models])

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of drift that were found, in alphabetical order."""
        found = (each.measure.kind for model in self.models for each in model.of_word("drift"))
        return tuple(sorted(set(found)))


def _overall(words: Sequence[DriftVerdict]) -> DriftVerdict:
    if "drift" in words:
        return "drift"
    return "cannot be shown" if not words or "cannot be shown" in words else "no drift seen"


@dataclass(frozen=True)
class _Pair:
    """A quantity in the reference and in the window."""

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
        see = detectable_gap if isinstance(self.expected, Histogram) else detectable_effect
        return see(self.expected.n, self.actual.n, level)


def compare_samples(
    samples: Sequence[DriftSample], references: Mapping[str, DriftReference], rules: DriftRules
) -> tuple[ModelDrift, ...]:
    """Compare each model's sample with the reference of that very model.

    Args:
        samples: One a model that answered in the window.
        references: By the digest of their model; that of another model would show the model, not drift.
        rules: When a difference is drift.
    """
    pairs = [
        pair
        for number, sample in enumerate(samples)
        if sample.model.digest in references
        for pair in _pairs(number, sample, references[sample.model.digest])
    ]
    # how long it takes follows machines, not patients: judged apart, so that it costs the others nothing
    parts = [[p for p in pairs if (p.measure.kind == OPERATION) == apart] for apart in (False, True)]
    judged = [each for part in parts for each in _judged(part, rules)]
    return tuple(
        _model_drift(sample, references.get(sample.model.digest), [c for p, c in judged if p.model == number])
        for number, sample in enumerate(samples)
    )


def _pairs(number: int, sample: DriftSample, reference: DriftReference) -> list[_Pair]:
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


def _judged(pairs: Sequence[_Pair], rules: DriftRules) -> list[tuple[_Pair, QuantityComparison]]:
    enough = [pair for pair in pairs if pair.smaller >= rules.minimum]
    few = [(pair, _compared(pair, "cannot be shown")) for pair in pairs if pair.smaller < rules.minimum]
    if not enough:
        return few
    distances = [pair.distance() for pair in enough]
    adjusted = false_discovery_control([each.p for each in distances], method="bh")
    strictest = rules.level / len(enough)
    return few + [
        (
            pair,
            _told(pair, distance, float(p), rules).model_copy(
                update={"detectable": pair.detectable(strictest)}
            ),
        )
        for pair, distance, p in zip(enough, distances, adjusted, strict=True)
    ]


def _told(pair: _Pair, found: Distance, p: float, rules: DriftRules) -> QuantityComparison:
    is_share = isinstance(pair.actual, Share)
    is_notable = found.distance >= rules.notable_effect if is_share else found.psi >= rules.notable_psi
    plain = _compared(pair, "drift" if is_notable and p <= rules.level else "no drift seen")
    return plain.model_copy(update={"psi": found.psi, "distance": found.distance, "p_adjusted": p})


def _compared(pair: _Pair, word: DriftVerdict) -> QuantityComparison:
    return QuantityComparison(measure=pair.measure, expected=pair.expected, actual=pair.actual, word=word)


def _model_drift(
    sample: DriftSample, reference: DriftReference | None, compared: list[QuantityComparison]
) -> ModelDrift:
    known = {each.measure for each in compared}
    ours = set(sample.values) | set(sample.shares)
    theirs = (
        {each.measure for each in reference.histograms} | {each.measure for each in reference.shares}
        if reference
        else set()
    )
    return ModelDrift(
        model_version=sample.model.version,
        model_digest=sample.model.digest,
        answers=sample.answers,
        radiographs=sample.radiographs,
        reference=reference.made_from if reference else "",
        reference_radiographs=reference.n if reference else 0,
        compared=tuple(sorted(compared, key=lambda each: (each.measure.kind, str(each.measure)))),
        missing=tuple(sorted(str(each) for each in (ours | theirs) - known)),
    )
