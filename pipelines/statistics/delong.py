"""Compare AUROCs on the same radiographs: DeLong's test, also if patients have several radiographs.

The gate uses this clustered variance instead of the bootstrap. Both agree (a test compares them), but this
one has no seed and gives the same bytes on every machine.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from pipelines.statistics.paired import (
    Estimate,
    Floats,
    Patients,
    estimate_from_influence,
    number_groups,
    sum_by_patient,
)


@dataclass(frozen=True)
class Placements:
    """The structural components of an AUROC.

    ``positives`` (m,) holds for each positive the share of negatives with a lower score. ``negatives`` (n,)
    holds for each negative the share of positives with a higher score. A tie counts half. The mean of each is
    the AUROC.
    """

    positives: Floats
    negatives: Floats

    @property
    def auroc(self) -> float:
        """The AUROC."""
        return float(self.positives.mean())


def placements(labels: Floats, scores: Floats) -> Placements:
    """Compute the structural components from midranks, in O(N log N).

    Raises:
        ValueError: There is no positive, or no negative.

    Source:
        Sun and Xu, "Fast implementation of DeLong's algorithm", IEEE Signal Processing Letters 2014.
    """
    positive = labels == 1
    m, n = int(positive.sum()), int((~positive).sum())
    if not (m and n):
        raise ValueError("an AUROC needs a positive and a negative")
    ranks = rankdata(scores)
    above = (ranks[positive] - rankdata(scores[positive])) / n
    below = 1 - (ranks[~positive] - rankdata(scores[~positive])) / m
    return Placements(above, below)


@dataclass(frozen=True)
class Areas:
    """AUROCs (K,) of K models on the same radiographs, with their covariance (K, K)."""

    aurocs: Floats
    covariance: Floats

    def advantage(self, new: int, old: int) -> Estimate:
        """Estimate how much larger one AUROC is than another."""
        contrast = np.zeros(len(self.aurocs))
        contrast[new] += 1
        contrast[old] -= 1
        # Rounding can make the variance of two equal models negative.
        variance = max(0.0, float(contrast @ self.covariance @ contrast))
        return Estimate(float(contrast @ self.aurocs), variance**0.5)


def areas(labels: Floats, scores: Floats, patients: Patients) -> Areas:
    """Estimate the AUROCs of K models, and their covariance.

    Args:
        labels: (N,), 1.0 present and 0.0 absent.
        scores: (K, N).
        patients: (N,). If every radiograph has its own patient, this is exactly DeLong's estimate.

    Raises:
        ValueError: The positives, or the negatives, are of fewer than two patients.

    Source:
        DeLong, DeLong and Clarke-Pearson, Biometrics 1988; for several radiographs of a patient,
        Obuchowski, "Nonparametric analysis of clustered ROC curve data", Biometrics 1997.
    """
    positive = labels == 1
    groups = number_groups(patients)
    count = int(groups.max()) + 1
    with_positive, with_negative = (len(np.unique(groups[kind])) for kind in (positive, ~positive))
    if min(with_positive, with_negative) < 2:
        raise ValueError("positives and negatives of two patients each are needed")
    parts = [placements(labels, row) for row in scores]
    aurocs = np.array([part.auroc for part in parts])
    above = _sums([part.positives - part.auroc for part in parts], groups[positive], count)
    below = _sums([part.negatives - part.auroc for part in parts], groups[~positive], count)
    # A patient may have positives and negatives, which then depend on each other.
    across = count / (count - 1) * above @ below.T
    covariance = (
        with_positive / (with_positive - 1) * above @ above.T
        + with_negative / (with_negative - 1) * below @ below.T
        + across
        + across.T
    )
    return Areas(aurocs, covariance)


def _sums(rows: list[Floats], groups: NDArray[np.intp], count: int) -> Floats:
    return np.stack([sum_by_patient(row, groups, count) for row in rows]) / len(groups)


def auroc_influence(labels: Floats, parts: Placements) -> Floats:
    """Compute how much each radiograph moves the AUROC: (N,), with mean 0 in positives and in negatives."""
    positive = labels == 1
    moved = np.empty(len(labels))
    moved[positive] = (parts.positives - parts.auroc) / positive.sum()
    moved[~positive] = (parts.negatives - parts.auroc) / (~positive).sum()
    return moved


def macro_advantage(labels: Floats, old: Floats, new: Floats, patients: Patients) -> Estimate:
    """Estimate how much larger the mean AUROC of F findings is for the new scores.

    The findings share their radiographs. The variance is therefore that of the patients' contributions to the
    mean, not a sum of F variances.

    Args:
        labels: (N, F), NaN where unknown.
        old: (N, F).
        new: (N, F).
        patients: (N,).

    Raises:
        ValueError: A finding has no positive or no negative, or there is one patient only.
    """
    moved, gains = np.zeros(len(labels)), []
    for column in range(labels.shape[1]):
        known = ~np.isnan(labels[:, column])
        truth = labels[known, column]
        before, after = (placements(truth, side[known, column]) for side in (old, new))
        gains.append(after.auroc - before.auroc)
        moved[known] += auroc_influence(truth, after) - auroc_influence(truth, before)
    return estimate_from_influence(float(np.mean(gains)), moved / labels.shape[1], patients)
