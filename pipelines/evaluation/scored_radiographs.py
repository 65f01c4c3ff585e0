"""Probabilities of a model with the labels of the same radiographs: the input of evaluation and gate."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ScoredRadiographs:
    """Probabilities, labels and attributes of the same N radiographs.

    ``probabilities`` is float (N, 14), as served. ``labels`` is float (N, 14) with 1.0 present, 0.0 absent
    and NaN unknown. ``typicality`` is float (N,) in [0, 1]. ``digests`` (SHA-256 of the file), ``patients``,
    ``sources``, ``views`` and ``sexes`` are str (N,), empty if unknown. ``ages`` is float (N,) in years, NaN
    if unknown.
    """

    probabilities: NDArray[np.floating]
    labels: NDArray[np.floating]
    typicality: NDArray[np.floating]
    digests: NDArray[np.str_]
    patients: NDArray[np.str_]
    sources: NDArray[np.str_]
    views: NDArray[np.str_]
    sexes: NDArray[np.str_]
    ages: NDArray[np.floating]

    def __len__(self) -> int:
        """Give the number of radiographs."""
        return len(self.digests)

    def rows(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> "ScoredRadiographs":
        """Select some of the radiographs."""
        return ScoredRadiographs(**{field.name: getattr(self, field.name)[keep] for field in fields(self)})


def calls_at_threshold(probabilities: NDArray[np.floating], threshold: float) -> NDArray[np.bool_]:
    """Tell which radiographs are called positive; compared in float32, as the service compares them."""
    return np.asarray(probabilities.astype(np.float32) >= np.float32(threshold), np.bool_)
