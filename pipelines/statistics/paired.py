"""Compare two series of scores on the same radiographs, with bounds that are clustered by patient.

Several radiographs of one patient tell less than as many of different patients. Every variance here is
therefore that of the patients' sums (linearisation, sandwich estimator), not that of radiographs.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Floats = NDArray[np.floating]
Patients = NDArray[np.str_] | NDArray[np.intp]
"""The patient of each radiograph, (N,): by name or by number."""
_NO_VARIANCE: Final = 1e-12
"""A standard error below this is rounding: the two series do not differ on any radiograph."""


@dataclass(frozen=True)
class Estimate:
    """An estimate with its standard error; of a difference, positive means that the new series is better."""

    value: float
    standard_error: float

    def low(self, level: float) -> float:
        """Give the one-sided lower bound at a level."""
        return self.value - float(norm.ppf(level)) * self.standard_error

    def high(self, level: float) -> float:
        """Give the one-sided upper bound at a level."""
        return self.value + float(norm.ppf(level)) * self.standard_error

    def p_at_most(self, value: float) -> float:
        """Give the one-sided p-value of "the true value is at most this": small if it is larger."""
        return self._p(self.value - value)

    def p_at_least(self, value: float) -> float:
        """Give the one-sided p-value of "the true value is at least this": small if it is smaller."""
        return self._p(value - self.value)

    def _p(self, distance: float) -> float:
        if self.standard_error < _NO_VARIANCE:
            return 0.0 if distance > _NO_VARIANCE else 1.0
        return float(norm.sf(distance / self.standard_error))


def number_groups(patients: Patients) -> NDArray[np.intp]:
    """Number the patients, (N,): from 0, without gaps."""
    groups: NDArray[np.intp] = np.unique(patients, return_inverse=True)[1].reshape(-1)
    return groups


def sum_by_patient(values: Floats, groups: NDArray[np.intp], count: int) -> Floats:
    """Sum values (N,) within each patient, (count,)."""
    sums: Floats = np.bincount(groups, weights=values, minlength=count).astype(float)
    return sums


def estimate_from_influence(value: float, influence: Floats, patients: Patients) -> Estimate:
    """Add a standard error to a value, from the contribution of each radiograph.

    Args:
        value: The estimated value.
        influence: (N,), sums to zero: how much each radiograph moves the value.
        patients: (N,).

    Raises:
        ValueError: There are fewer than two patients.
    """
    groups = number_groups(patients)
    count = int(groups.max()) + 1 if len(groups) else 0
    if count < 2:
        raise ValueError("one patient gives no variance")
    sums = sum_by_patient(influence, groups, count)
    return Estimate(value, float(np.sqrt(count / (count - 1) * np.sum(sums**2))))


def mean_difference(old: Floats, new: Floats, patients: Patients) -> Estimate:
    """Estimate the mean of ``new - old`` over radiographs.

    Raises:
        ValueError: There are fewer than two patients.
    """
    gains = new - old
    value = float(gains.mean())
    return estimate_from_influence(value, (gains - value) / len(gains), patients)


def share_difference(old: NDArray[np.bool_], new: NDArray[np.bool_], patients: Patients) -> Estimate:
    """Estimate the difference of two shares of the same radiographs, such as two sensitivities.

    Two artificial patients are added: one that only the old series gets right, and one that only the new
    series gets right. Without them, twenty radiographs without disagreement would look like certainty. The
    value moves a little towards zero.

    Raises:
        ValueError: There are no radiographs.

    Source:
        Bonett and Price, "Adjusted Wald confidence interval for a difference of binomial proportions based
        on paired data", J. Educ. Behav. Stat. 2012; recommended by Fagerland et al., Stat. Med. 2014.
        The clustering by patient is that of Rao and Scott, Biometrics 1992.
    """
    if not len(old):
        raise ValueError("there are no radiographs")
    groups = number_groups(patients)
    # Of their own, because no real patient gave these radiographs.
    artificial = groups.max() + np.array([1, 2])
    return mean_difference(
        np.append(old, [True, False]).astype(float),
        np.append(new, [False, True]).astype(float),
        np.append(groups, artificial),
    )
