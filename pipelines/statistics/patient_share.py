"""The share of radiographs with a property, with an interval that counts patients and not radiographs."""

import numpy as np
from numpy.typing import NDArray
from statsmodels.stats.proportion import proportion_confint  # type: ignore[import-untyped]

from pipelines.statistics.bootstrap import IntervalEstimate, round_stable


def share_by_patient(has_property: NDArray[np.bool_], patients: NDArray[np.str_]) -> IntervalEstimate:
    """Compute the share of radiographs with a property, with Wilson's interval for the effective sample.

    Several radiographs of a patient tell less than as many of different patients. The effective sample is the
    number of radiographs divided by the design effect, but never less than the number of patients. Where no
    radiograph has the property, or every one has it, nothing tells the design effect: the patients count.

    Args:
        has_property: Bool (N,), N >= 1.
        patients: Their patients (N,).

    Source:
        Kish, "Survey Sampling", 1965 (design effect of cluster samples); Wilson, JASA 1927.
    """
    count, share = len(has_property), float(has_property.mean())
    _, group = np.unique(patients, return_inverse=True)
    clusters = int(group.max()) + 1
    effect = _design_effect(has_property, group, clusters) if 0 < share < 1 else np.inf
    effective = max(count / max(effect, 1.0), float(clusters))
    low, high = proportion_confint(share * effective, effective, method="wilson")
    return IntervalEstimate(
        value=round_stable(share), low=round_stable(max(low, 0.0)), high=round_stable(min(high, 1.0))
    )


def _design_effect(has_property: NDArray[np.bool_], group: NDArray[np.intp], clusters: int) -> float:
    """Divide the variance of the share between patients by that of as many independent radiographs."""
    count, share = len(has_property), float(has_property.mean())
    excess = np.bincount(group, has_property - share, clusters)
    between = float((excess**2).sum()) / count**2 * clusters / max(clusters - 1, 1)
    return between / (share * (1 - share) / count)
