"""How far a data set has moved from the reference: how radiographs look, whose they are, what they show."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipelines.data.checks import chance
from pipelines.data.inspection import Inspection, InspectionFailure
from pipelines.data.manifest import Record
from pipelines.data.validation_report import Severity, ShiftFigure
from pipelines.statistics.shift import NOTABLE_PSI, SERIOUS_PSI, measure_shift, psi
from pleura.findings import FINDINGS

LOOKS: Final = ("mean", "contrast", "entropy", "aspect")
FEWEST: Final = 30
_NOTABLE_P: Final = 0.01
_SERIOUS_P: Final = 0.001


@dataclass(frozen=True)
class ShiftSample:
    """Radiographs with how they look, in the same order."""

    records: Sequence[Record]
    seen: Sequence[Inspection | InspectionFailure]

    def numbers(self, quantity: str) -> np.ndarray:
        """One of ``LOOKS`` or ``age``, where it is known, shape (n,)."""
        if quantity == "age":
            return np.array([each.age for each in self.records if each.age is not None], float)
        return np.array(
            [getattr(look, quantity) for look in self.seen if isinstance(look, Inspection)], float
        )

    def words(self, quantity: str) -> list[str]:
        """``view``, ``sex`` or a finding, where it is known."""
        if quantity in FINDINGS:
            return [str(each.labels[quantity]) for each in self.records if quantity in each.labels]
        return [word for each in self.records if (word := getattr(each, quantity))]


def shifts(reference: ShiftSample, sample: ShiftSample) -> list[ShiftFigure]:
    """Compare everything of which both know enough radiographs."""
    return [*_of_numbers(reference, sample), *_of_words(reference, sample)]


def uncompared(reference: ShiftSample, sample: ShiftSample) -> list[str]:
    """The quantities of which one of the two knows too little."""
    known = {figure.quantity for figure in shifts(reference, sample)}
    return [quantity for quantity in (*LOOKS, "age", "view", "sex", *FINDINGS) if quantity not in known]


def _of_numbers(reference: ShiftSample, sample: ShiftSample) -> Iterator[ShiftFigure]:
    for quantity in (*LOOKS, "age"):
        before, now = reference.numbers(quantity), sample.numbers(quantity)
        if min(len(before), len(now)) >= FEWEST:
            shift = measure_shift(before, now)
            yield ShiftFigure(
                quantity=quantity,
                psi=shift.psi,
                ks=shift.ks,
                p=shift.p,
                severity=_severity(shift.psi, shift.p),
            )


def _of_words(reference: ShiftSample, sample: ShiftSample) -> Iterator[ShiftFigure]:
    for quantity in ("view", "sex", *FINDINGS):
        before, now = Counter(reference.words(quantity)), Counter(sample.words(quantity))
        if min(before.total(), now.total()) >= FEWEST:
            kinds = sorted(before | now)
            counts = np.array([[each[kind] for kind in kinds] for each in (before, now)])
            index, p = psi(counts[0], counts[1]), chance(counts)
            yield ShiftFigure(quantity=quantity, psi=index, ks=None, p=p, severity=_severity(index, p))


def _severity(index: float, p: float) -> Severity | None:
    """An index alone is large by chance in small samples: for 50 radiographs in ten bins, 0.2 is usual."""
    if index >= SERIOUS_PSI and p < _SERIOUS_P:
        return "serious"
    return "notable" if index >= NOTABLE_PSI and p < _NOTABLE_P else None
