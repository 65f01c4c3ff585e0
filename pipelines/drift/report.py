"""The drift report: what the comparison of a window with its references showed. It is stored as JSON."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import Field

from pipelines.drift.distance import NOTABLE_EFFECT
from pipelines.drift.reference import Histogram, Kind, Measure, Share
from pipelines.statistics.shift import NOTABLE_PSI
from pipelines.value import Document, Value

DriftVerdict = Literal["drift", "no drift seen", "cannot be shown"]
OPERATION: Final[Kind] = "operation"


class DriftRules(Value):
    """When a difference is called drift.

    ``level`` bounds the share of windows with a false alarm. With fewer than ``minimum`` radiographs, in the
    window or in the reference, nothing is shown.
    """

    level: Annotated[float, Field(gt=0, lt=1)] = 0.05
    minimum: Annotated[int, Field(ge=20)] = 100
    notable_psi: Annotated[float, Field(ge=0)] = NOTABLE_PSI
    notable_effect: Annotated[float, Field(ge=0)] = NOTABLE_EFFECT


class QuantityComparison(Value):
    """One quantity in the window compared with its reference; ``word`` is the verdict.

    ``distance`` is the Kolmogorov-Smirnov distance of a distribution or Cohen's h of a share. ``p_adjusted``
    is adjusted over all comparisons of the window. ``detectable`` is the smallest distance that is certain
    whatever the other comparisons show. The figures are None where there are too few radiographs.
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
    """One model's part of a window; ``reference`` names its reference, and is empty if there is none."""

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
        """The verdict on the model; answer times do not count, because they say nothing about patients."""
        return _overall([each.word for each in self.compared if each.measure.kind != OPERATION])

    def of_word(self, word: DriftVerdict) -> tuple[QuantityComparison, ...]:
        """Select the comparisons with this verdict."""
        return tuple(each for each in self.compared if each.word == word)


class DriftReport(Document):
    """The result of a window, model by model.

    ``images_lost`` radiographs could not be read a second time. ``is_cut`` is True if the window has more
    answers than were read. ``audit`` is the id of the audit request, or empty.
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
        """The verdict on the window: drift if any model drifted."""
        return _overall([each.word for each in self.models])

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of drift that were found, in alphabetical order."""
        found = (each.measure.kind for model in self.models for each in model.of_word("drift"))
        return tuple(sorted(set(found)))


def _overall(words: Sequence[DriftVerdict]) -> DriftVerdict:
    if "drift" in words:
        return "drift"
    # Without words too: a week without an answer is not a week without drift.
    return "cannot be shown" if not words or "cannot be shown" in words else "no drift seen"
