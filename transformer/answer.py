"""The predictor's answer to a radiograph, and the findings that follow from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pleura.contract import INPUT_FLAGS
from pleura.findings import FINDINGS
from pleura.radiograph.observations import RadiographObservation

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]
_FLAG_TEXTS: Final[Mapping[str, RadiographObservation]] = {
    each.code: each
    for each in (
        RadiographObservation("not_chest", "the picture is unlike any chest radiograph that the model knows"),
        RadiographObservation("orientation", "the picture seems to be turned: it does not stand upright"),
        RadiographObservation("inverted", "the picture seems to be inverted: what should be black is white"),
        RadiographObservation(
            "untypical", "the picture is unlike the radiographs that the model was made on"
        ),
    )
}


@dataclass(frozen=True)
class Revision:
    """A deployed model: its version, and the digest of its bundle."""

    version: str
    digest: str


@dataclass(frozen=True, eq=False)
class Answer:
    """The answer of one revision to one radiograph, with everything that identifies the answer.

    ``probability`` and ``threshold`` have one value per finding, ``activation_map`` has shape (14, 7, 7);
    ``image_digest`` is the SHA-256 of the file in hex. ``observations`` are what was noticed about the file
    and its pixels; ``is_checked`` is False where the predictor did not look at the pixels for them.
    """

    probability: Floats
    threshold: Floats
    typicality: float
    activation_map: Floats
    revision: Revision
    preprocessing_version: str
    image_digest: str
    observations: tuple[RadiographObservation, ...] = ()
    is_checked: bool = True

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
    input_flags: Flags | None = None
    """Shape (N, 4), the columns as ``INPUT_FLAGS``; None from a predictor of an earlier version."""

    def answers(
        self, image_digests: Sequence[str], observations: Sequence[Sequence[RadiographObservation]]
    ) -> list[Answer]:
        """Split the prediction into one answer for each radiograph, in their order.

        Args:
            image_digests: The SHA-256 of each file.
            observations: What was noticed about each file. What the flags say is added.
        """
        return [
            Answer(
                self.probability[row],
                self.threshold,
                float(self.typicality[row]),
                self.activation_map[row],
                self.revision,
                self.preprocessing_version,
                digest,
                merge_observations(noticed, self._observe_flags(row)),
                self.input_flags is not None,
            )
            for row, (digest, noticed) in enumerate(zip(image_digests, observations, strict=True))
        ]

    def _observe_flags(self, row: int) -> list[RadiographObservation]:
        if self.input_flags is None:
            return []
        raised = zip(INPUT_FLAGS, self.input_flags[row].tolist(), strict=True)
        return [_FLAG_TEXTS[name] for name, is_raised in raised if is_raised]


def merge_observations(*groups: Sequence[RadiographObservation]) -> tuple[RadiographObservation, ...]:
    """Join observations; of those with the same code the first stays."""
    merged: dict[str, RadiographObservation] = {}
    for each in (observation for group in groups for observation in group):
        merged.setdefault(each.code, each)
    return tuple(merged.values())
