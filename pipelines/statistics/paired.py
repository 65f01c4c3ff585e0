"""How much better one model is than another on the same radiographs, with bounds that know of patients.

Several radiographs of one patient say less than as many of different patients. So every variance here is
that of patients' sums (linearisation, the sandwich), not that of radiographs.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Floats = NDArray[np.floating]
Patients = NDArray[np.str_] | NDArray[np.intp]
"""Who each radiograph is of, (N,): by name or by number."""
_ALIKE: Final = 1e-12
"""Standard errors below this are rounding: the two models do not differ on any radiograph."""


@dataclass(frozen=True)
class Estimate:
    """An advantage, positive where the challenger is better, with its standard error."""

    value: float
    standard_error: float

    def low(self, level: float) -> float:
        """The one-sided lower bound at this level."""
        return self.value - float(norm.ppf(level)) * self.standard_error

    def high(self, level: float) -> float:
        """The one-sided upper bound at this level."""
        return self.value + float(norm.ppf(level)) * self.standard_error

    def p_at_most(self, value: float) -> float:
        """One-sided p-value of "the true advantage is at most this": small where it is larger."""
        return self._p(self.value - value)

    def p_at_least(self, value: float) -> float:
        """One-sided p-value of "the true advantage is at least this": small where it is smaller."""
        return self._p(value - self.value)

    def _p(self, distance: float) -> float:
        if self.standard_error < _ALIKE:
            return 0.0 if distance > _ALIKE else 1.0
        return float(norm.sf(distance / self.standard_error))


def number_groups(patients: Patients) -> NDArray[np.intp]:
    """Number the patients: (N,), from 0 on without a gap."""
    groups: NDArray[np.intp] = np.unique(patients, return_inverse=True)[1].reshape(-1)
    return groups


def sum_by_patient(values: Floats, groups: NDArray[np.intp], count: int) -> Floats:
    """Sum values (N,) within patients: (count,)."""
    sums: Floats = np.bincount(groups, weights=values, minlength=count).astype(float)
    return sums


def estimate_from_influence(value: float, influence: Floats, patients: Patients) -> Estimate:
    """Give an advantage its standard error from what each radiograph contributes to it.

    Args:
        value: The advantage.
        influence: (N,), sums to zero: how much each radiograph moves the advantage.
        patients: (N,).

    Raises:
        ValueError: There are fewer than two patients.
    """
    groups = number_groups(patients)
    count = int(groups.max()) + 1 if len(groups) else 0
    if count < 2:
        raise ValueError("one patient tells no variance")
    sums = sum_by_patient(influence, groups, count)
    return Estimate(value, float(np.sqrt(count / (count - 1) * np.sum(sums**2))))


def mean_difference(old: Floats, new: Floats, patients: Patients) -> Estimate:
    """The mean of ``new - old`` over radiographs, where more is better.

    Raises:
        ValueError: There are fewer than two patients.
    """
    gains = new - old
    value = float(gains.mean())
    return estimate_from_influence(value, (gains - value) / len(gains), patients)


def share_difference(old: NDArray[np.bool_], new: NDArray[np.bool_], patients: Patients) -> Estimate:
    """The difference of two shares of the same radiographs, such as two sensitivities.

    Two made-up patients are added, one that only the old model reads rightly and one that only the new one
    does: without them, no disagreement among twenty radiographs would pass for certainty. Its value is
    therefore drawn a little towards zero.

    Raises:
        ValueError: There are no radiographs.

    Source:
        Bonett and Price, "Adjusted Wald confidence interval for a difference of binomial proportions based
        on paired data", J. Educ. Behav. Stat. 2012; recommended by Fagerland et al., Stat. Med. 2014. That
        it is patients who count is Rao and Scott, Biometrics 1992.
    """
    if not len(old):
        raise ValueError("there are no radiographs")
    groups = number_groups(patients)
    made_up = groups.max() + np.array([1, 2])
    return mean_difference(
        np.append(old, [True, False]).astype(float),
        np.append(new, [False, True]).astype(float),
        np.append(groups, made_up),
    )
