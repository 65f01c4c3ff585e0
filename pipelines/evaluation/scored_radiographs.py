"""What a model says about labelled radiographs: what a evaluation, a gate and a replay are made of."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ScoredRadiographs:
    """Probabilities beside what is known of the same N radiographs.

    ``probabilities`` is float (N, 14), as served; ``labels`` float (N, 14) with 1.0 present, 0.0 absent and
    NaN unknown; ``typicality`` float (N,) in [0, 1]. ``digests`` (SHA-256 of the file), ``patients``,
    ``sources``, ``views`` and ``sexes`` are str (N,), empty where unknown; ``ages`` float (N,) in years, NaN
    where unknown.
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
        """How many radiographs there are."""
        return len(self.digests)

    def rows(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> "ScoredRadiographs":
        """Some of the radiographs."""
        return ScoredRadiographs(**{field.name: getattr(self, field.name)[keep] for field in fields(self)})
