"""Compare a data set with a reference: the looks of the radiographs, their patients and their findings."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipelines.data.checks import chi_squared_p
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
    """Radiographs and their inspections, in the same order."""

    records: Sequence[Record]
    inspected: Sequence[Inspection | InspectionFailure]

    def collect_numbers(self, quantity: str) -> np.ndarray:
        """Collect the known values of a number, one of ``LOOKS`` or ``age``, shape (n,)."""
        if quantity == "age":
            return np.array([record.age for record in self.records if record.age is not None], float)
        return np.array(
            [getattr(one, quantity) for one in self.inspected if isinstance(one, Inspection)], float
        )

    def collect_categories(self, quantity: str) -> list[str]:
        """Collect the known values of a category: ``view``, ``sex`` or a finding."""
        if quantity in FINDINGS:
            return [str(record.labels[quantity]) for record in self.records if quantity in record.labels]
        return [value for record in self.records if (value := getattr(record, quantity))]


def measure_shifts(reference: ShiftSample, sample: ShiftSample) -> list[ShiftFigure]:
    """Measure the shift of each quantity that is known for enough radiographs of both samples."""
    return [*_measure_numbers(reference, sample), *_measure_categories(reference, sample)]


def find_uncompared(reference: ShiftSample, sample: ShiftSample) -> list[str]:
    """List the quantities that are known for too few radiographs of one of the samples."""
    compared = {figure.quantity for figure in measure_shifts(reference, sample)}
    return [quantity for quantity in (*LOOKS, "age", "view", "sex", *FINDINGS) if quantity not in compared]


def _measure_numbers(reference: ShiftSample, sample: ShiftSample) -> Iterator[ShiftFigure]:
    for quantity in (*LOOKS, "age"):
        before, now = reference.collect_numbers(quantity), sample.collect_numbers(quantity)
        if min(len(before), len(now)) >= FEWEST:
            shift = measure_shift(before, now)
            yield ShiftFigure(
                quantity=quantity,
                psi=shift.psi,
                ks=shift.ks,
                p=shift.p,
                severity=_rate(shift.psi, shift.p),
            )


def _measure_categories(reference: ShiftSample, sample: ShiftSample) -> Iterator[ShiftFigure]:
    for quantity in ("view", "sex", *FINDINGS):
        before, now = (
            Counter(reference.collect_categories(quantity)),
            Counter(sample.collect_categories(quantity)),
        )
        if min(before.total(), now.total()) >= FEWEST:
            kinds = sorted(before | now)
            counts = np.array([[counter[kind] for kind in kinds] for counter in (before, now)])
            index, p = psi(counts[0], counts[1]), chi_squared_p(counts)
            yield ShiftFigure(quantity=quantity, psi=index, ks=None, p=p, severity=_rate(index, p))


def _rate(index: float, p: float) -> Severity | None:
    """Rate a shift by its PSI and its p-value, because the PSI alone is large by chance in small samples."""
    if index >= SERIOUS_PSI and p < _SERIOUS_P:
        return "serious"
    return "notable" if index >= NOTABLE_PSI and p < _NOTABLE_P else None
