"""The predictor's answer to a radiograph, and the findings that follow from it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pleura.findings import FINDINGS

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Revision:
    """A deployed model: its version, and the digest of its bundle."""

    version: str
    digest: str


@dataclass(frozen=True, eq=False)
class Answer:
    """The answer of one revision to one radiograph, with everything that identifies the answer.

    ``probability`` and ``threshold`` have one value per finding, ``activation_map`` has shape (14, 7, 7);
    ``image_digest`` is the SHA-256 of the file in hex.
    """

    probability: Floats
    threshold: Floats
    typicality: float
    activation_map: Floats
    revision: Revision
    preprocessing_version: str
    image_digest: str

    @property
    def present(self) -> NDArray[np.bool_]:
        """Whether each finding is present: its probability is at the threshold or above."""
        return np.asarray(self.probability >= self.threshold)

    def findings(self) -> tuple[str, ...]:
        """Give the names of the findings that are present."""
        return tuple(name for name, is_present in zip(FINDINGS, self.present, strict=True) if is_present)


@dataclass(frozen=True, eq=False)
class Prediction:
    """The result of one call of the predictor. The first axis is the radiograph, except in ``threshold``."""

    probability: Floats
    threshold: Floats
    typicality: Floats
    activation_map: Floats
    revision: Revision
    preprocessing_version: str

    def answers(self, image_digests: Sequence[str]) -> list[Answer]:
        """Split the prediction into one answer for each radiograph, in their order."""
        return [
            Answer(
                self.probability[row],
                self.threshold,
                float(self.typicality[row]),
                self.activation_map[row],
                self.revision,
                self.preprocessing_version,
                digest,
            )
            for row, digest in enumerate(image_digests)
        ]
