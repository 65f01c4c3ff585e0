"""What the predictor says of a radiograph, and what follows from it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pleura.findings import FINDINGS

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Revision:
    """A model that answers: its version, and the digest of its bundle."""

    version: str
    digest: str


@dataclass(frozen=True, eq=False)
class Answer:
    """What one revision says of one radiograph, with all that identifies the answer.

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
        """Which findings are present: those whose probability reaches the threshold."""
        return np.asarray(self.probability >= self.threshold)

    def findings(self) -> tuple[str, ...]:
        """The names of the findings that are present."""
        return tuple(name for name, is_present in zip(FINDINGS, self.present, strict=True) if is_present)


@dataclass(frozen=True, eq=False)
class Prediction:
    """What one call of the predictor answered; the first axis is the radiograph, save for ``threshold``."""

    probability: Floats
    threshold: Floats
    typicality: Floats
    activation_map: Floats
    revision: Revision
    preprocessing_version: str

    def answers(self, image_digests: Sequence[str]) -> list[Answer]:
        """Take the answers apart, in the order of the radiographs."""
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
