"""What the gate measures of one finding: both models' figures, and the challenger's advantage."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import logit
from statsmodels.discrete.discrete_model import Logit  # type: ignore[import-untyped]
from statsmodels.tools.sm_exceptions import (  # type: ignore[import-untyped]
    ConvergenceWarning,
    HessianInversionWarning,
    PerfectSeparationError,
    PerfectSeparationWarning,
)

from pipelines.gate.decision import CriterionName
from pipelines.statistics.delong import areas
from pipelines.statistics.operating_points import brier
from pipelines.statistics.paired import (
    Estimate,
    Floats,
    Patients,
    mean_difference,
    number_groups,
    share_difference,
)

_NEVER_QUITE: Final = 1e-7
_SAME: Final = Estimate(0.0, 0.0)


@dataclass(frozen=True)
class ScoredPair:
    """What both models say of the radiographs on which one finding is known; arrays (n,).

    ``old_calls`` and ``new_calls`` are made at the threshold that each is served with.
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
        """How many radiographs show the finding."""
        return int((self.truth == 1).sum())

    @property
    def negatives(self) -> int:
        """How many do not."""
        return int((self.truth == 0).sum())

    @property
    def is_one_model(self) -> bool:
        """Whether both sides are the same to the bit, so that there is no difference to estimate."""
        return np.array_equal(self.old, self.new) and np.array_equal(self.old_calls, self.new_calls)


@dataclass(frozen=True)
class PairedMeasurement:
    """The figure of either model, and the challenger's advantage; positive is better."""

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
    estimate = _SAME if pair.is_one_model else share_difference(old, new, pair.patients[rows])
    return PairedMeasurement(float(old.mean()), float(new.mean()), float(new.mean() - old.mean()), estimate)


def _sensitivity(pair: ScoredPair) -> PairedMeasurement:
    return _share(pair, 1)


def _specificity(pair: ScoredPair) -> PairedMeasurement:
    return _share(pair, 0)


def _brier(pair: ScoredPair) -> PairedMeasurement:
    errors = [(pair.truth - side) ** 2 for side in (pair.old, pair.new)]
    estimate = mean_difference(-errors[0], -errors[1], pair.patients)
    return PairedMeasurement(
        brier(pair.truth, pair.old), brier(pair.truth, pair.new), estimate.value, estimate
    )


MEASURES: Final[Mapping[CriterionName, Callable[[ScoredPair], PairedMeasurement]]] = {
    "auroc": _auroc,
    "sensitivity": _sensitivity,
    "specificity": _specificity,
    "brier": _brier,
}


def measure(name: CriterionName, pair: ScoredPair) -> PairedMeasurement | None:
    """Measure one criterion; None where the radiographs do not allow it."""
    if not (pair.positives and pair.negatives):
        return None
    try:
        return MEASURES[name](pair)
    except ValueError:  # of fewer than two patients: there is a figure, but no variance
        return None


def calibration_slope(truth: Floats, probabilities: Floats, patients: Patients) -> Estimate | None:
    """The slope of a logistic regression of truth on the model's logits; None where it has none.

    Source:
        Cox, Biometrika 1958; Van Calster et al., BMC Medicine 2019. Below 1 the probabilities are too
        extreme.
    """
    logits = logit(probabilities.astype(float).clip(_NEVER_QUITE, 1 - _NEVER_QUITE))
    design = np.column_stack([np.ones(len(logits)), logits])
    with warnings.catch_warnings():
        for kind in (ConvergenceWarning, HessianInversionWarning, PerfectSeparationWarning, RuntimeWarning):
            warnings.simplefilter("error", kind)
        try:
            fitted = Logit(truth, design).fit(
                disp=0, cov_type="cluster", cov_kwds={"groups": number_groups(patients)}
            )
        except (PerfectSeparationError, np.linalg.LinAlgError, ValueError, Warning):
            return None
    slope, error = float(fitted.params[1]), float(fitted.bse[1])
    return Estimate(slope, error) if np.isfinite([slope, error]).all() else None
