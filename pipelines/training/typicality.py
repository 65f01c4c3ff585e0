"""Typicality: how close the features of a radiograph are to those of the training radiographs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
_COMPONENTS = 96
_QUANTILES = 101


@dataclass(frozen=True)
class Typicality:
    """A Gaussian on features: principal components, and one variance for all other directions.

    ``mean`` (F,), ``components`` (F, k) orthonormal, ``variances`` (k,), ``quantiles`` (101,) of the
    distances of held-out radiographs.

    Source:
        Tipping and Bishop, "Probabilistic principal component analysis", 1999; Lee et al., "A simple unified
        framework for detecting out-of-distribution samples", NeurIPS 2018.
    """

    mean: Floats
    components: Floats
    variances: Floats
    residual_variance: float
    quantiles: Floats

    def distance(self, features: Floats) -> Floats:
        """Compute the Mahalanobis distance of features (N, F), shape (N,)."""
        return _mahalanobis(features, self.mean, self.components, self.variances, self.residual_variance)

    def share_farther(self, features: Floats) -> Floats:
        """Compute the share of held-out radiographs with a larger distance, in [0, 1], shape (N,)."""
        low, high = self.quantiles[:-1], self.quantiles[1:]
        distance = self.distance(features)[:, None]
        shares: Floats = np.clip((high - distance) / (high - low), 0, 1).mean(axis=1)
        return shares


def _mahalanobis(
    features: Floats, mean: Floats, components: Floats, variances: Floats, residual: float
) -> Floats:
    centred = features - mean
    along = centred @ components
    # Rounding can make the difference of the two sums negative, and its root NaN.
    rest = np.maximum((centred**2).sum(axis=1) - (along**2).sum(axis=1), 0)
    distances: Floats = np.sqrt((along**2 / variances).sum(axis=1) + rest / residual)
    return distances


def fit_typicality(training: Floats, held_out: Floats) -> Typicality:
    """Fit the Gaussian on training features (N, F), and its quantiles on held-out ones (M, F)."""
    mean = training.mean(axis=0)
    _, singular, rows = np.linalg.svd(training - mean, full_matrices=False)
    spectrum = singular**2 / (len(training) - 1)
    # with fewer components than radiographs, the other directions have a variance to estimate
    count = min(_COMPONENTS, len(training) // 4)
    # Rounded as the model source keeps them, so that the quantiles belong to the distances that are served.
    components = rows[:count].T.astype(np.float16).astype(np.float32)
    variances = spectrum[:count]
    residual = float(spectrum[count:].sum() / (training.shape[1] - count))
    distances = _mahalanobis(held_out, mean, components, variances, residual)
    quantiles = np.quantile(distances, np.linspace(0, 1, _QUANTILES))
    # share_farther divides by the steps between quantiles, so no two may be equal.
    increasing = quantiles + np.arange(_QUANTILES) * 1e-4
    return Typicality(mean, components, variances, residual, increasing)
