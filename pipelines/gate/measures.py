"""Measure one finding: the figures of both models, and the challenger's advantage."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipelines.gate.decision import CriterionName
from pipelines.statistics.delong import areas
from pipelines.statistics.paired import (
    Estimate,
    Floats,
    Patients,
    mean_difference,
    share_difference,
)

_SAME: Final = Estimate(0.0, 0.0)


@dataclass(frozen=True)
class ScoredPair:
    """The scores of both models on the n radiographs whose label of one finding is known; arrays (n,).

    ``old`` is the champion and ``new`` the challenger. The calls are at each model's served threshold.
    """

    finding: str
    truth: Floats
    old: Floats
    new: Floats
    old_calls: np.ndarray[tuple[int], np.dtype[np.bool_]]
    new_calls: np.ndarray[tuple[int], np.dtype[np.bool_]]
    patients: Patients

    @property
    def positives(self) -> int:
        """The number of radiographs with the finding."""
        return int((self.truth == 1).sum())

    @property
    def negatives(self) -> int:
        """The number of radiographs without the finding."""
        return int((self.truth == 0).sum())

    @property
    def is_one_model(self) -> bool:
        """Whether the scores and calls of both models are identical."""
        return np.array_equal(self.old, self.new) and np.array_equal(self.old_calls, self.new_calls)


@dataclass(frozen=True)
class PairedMeasurement:
    """The figures of both models, and the challenger's advantage; positive is better."""

    champion: float
    challenger: float
    advantage: float
    estimate: Estimate


def _auroc(pair: ScoredPair) -> PairedMeasurement:
    found = areas(pair.truth, np.stack([pair.old, pair.new]), pair.patients)
    estimate = found.advantage(1, 0)
    return PairedMeasurement(float(found.aurocs[0]), float(found.aurocs[1]), estimate.value, estimate)


def _share(pair: ScoredPair, present: float) -> PairedMeasurement:
    rows = pair.truth == present
    old, new = pair.old_calls[rows] == present, pair.new_calls[rows] == present
    # share_difference adds two artificial patients: compared with itself, a model would look uncertain.
    estimate = _SAME if pair.is_one_model else share_difference(old, new, pair.patients[rows])
    return PairedMeasurement(float(old.mean()), float(new.mean()), float(new.mean() - old.mean()), estimate)


def _sensitivity(pair: ScoredPair) -> PairedMeasurement:
    return _share(pair, 1)


def _specificity(pair: ScoredPair) -> PairedMeasurement:
    return _share(pair, 0)


def _brier(pair: ScoredPair) -> PairedMeasurement:
    errors = [(pair.truth - side) ** 2 for side in (pair.old, pair.new)]
    estimate = mean_difference(-errors[0], -errors[1], pair.patients)
    return PairedMeasurement(float(errors[0].mean()), float(errors[1].mean()), estimate.value, estimate)


MEASURES: Final[Mapping[CriterionName, Callable[[ScoredPair], PairedMeasurement]]] = {
    "auroc": _auroc,
    "sensitivity": _sensitivity,
    "specificity": _specificity,
    "brier": _brier,
}


def measure(name: CriterionName, pair: ScoredPair) -> PairedMeasurement | None:
    """Measure one criterion; None if the radiographs do not allow it."""
    if not (pair.positives and pair.negatives):
        return None
    try:
        return MEASURES[name](pair)
    except ValueError:  # fewer than two patients: there is a figure, but no variance
        return None
