"""The batches of a training: augmented radiographs and their targets."""

import keras
import numpy as np
from numpy.typing import NDArray

from pipelines.data.labelled_radiographs import LabelledRadiographs
from pipelines.training.augmentation import augment
from pipelines.training.parameters import TrainingParameters, TrainingStage
from pleura.findings import FINDINGS

_PNEUMONIA = FINDINGS.index("Pneumonia")
_OLDEST_YEARS = 100
UNSERVED = ("pneumonia of the auxiliary source", "female", "AP view", "age in centuries")
"""The targets besides the findings. They shape the features and are not served."""


def build_targets(radiographs: LabelledRadiographs, parameters: TrainingParameters) -> NDArray[np.float32]:
    """Build the targets of both heads, the findings and ``UNSERVED``: (N, 18), NaN if unknown.

    The findings are unknown for the auxiliary source, and its pneumonia is unknown for the others. An age
    becomes a target between 0 and 1.
    """
    is_auxiliary = radiographs.sources == parameters.auxiliary_source
    pneumonia = np.where(is_auxiliary, radiographs.labels[:, _PNEUMONIA], np.nan)
    # In the default model these are children. Their pneumonia must not teach how it looks in adults.
    findings = np.where(is_auxiliary[:, None], np.nan, radiographs.labels)
    attributes = np.column_stack(
        [
            _encode_binary(radiographs.sexes, "M", "F"),
            _encode_binary(radiographs.views, "PA", "AP"),
            np.clip(radiographs.ages / _OLDEST_YEARS, 0, 1),
        ]
    )
    if not parameters.patient_attributes:
        attributes[:] = np.nan
    attributes[is_auxiliary] = np.nan
    return np.column_stack([findings, pneumonia, attributes]).astype(np.float32)


def _encode_binary(values: NDArray[np.str_], first: str, second: str) -> NDArray[np.floating]:
    """Encode the second value as 1, the first as 0, and others as NaN."""
    return np.select([values == second, values == first], [1.0, 0.0], np.nan)


def positive_weights(targets: NDArray[np.float32], power: float) -> NDArray[np.float32]:
    """Compute the weights of present findings (18,): (absent / present) ** power, 1 if a side is missing."""
    present, absent = (targets == 1).sum(axis=0), (targets == 0).sum(axis=0)
    ratio = np.where((present > 0) & (absent > 0), absent / np.maximum(present, 1), 1.0)
    return (ratio**power).astype(np.float32)


class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # keras has no types
    """Augmented batches. Each epoch shows every main radiograph and a new sample of auxiliary ones.

    The seed and the number of an epoch decide its batches, so a resumed training sees the same batches as an
    uninterrupted one.
    """

    def __init__(
        self,
        radiographs: LabelledRadiographs,
        stage: TrainingStage,
        parameters: TrainingParameters,
        seed: int,
    ) -> None:
        super().__init__()
        self._radiographs, self._stage, self._parameters = radiographs, stage, parameters
        self.targets = build_targets(radiographs, parameters)
        self._is_auxiliary = radiographs.sources == parameters.auxiliary_source
        self._seed = seed
        self.begin_epoch(0)

    def begin_epoch(self, number: int) -> None:
        """Draw the radiographs of an epoch and their order."""
        self._rng = np.random.default_rng((self._seed, number))
        main, extra = np.flatnonzero(~self._is_auxiliary), np.flatnonzero(self._is_auxiliary)
        size = min(self._stage.auxiliary_per_epoch, len(extra))
        self._order = np.concatenate([main, self._rng.choice(extra, size, replace=False)])
        self._rng.shuffle(self._order)

    def __len__(self) -> int:
        # a small last batch would disturb the batch statistics, so it is dropped unless it is the only one
        return max(1, len(self._order) // self._parameters.batch_size)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        size = self._parameters.batch_size
        rows = self._order[index * size : (index + 1) * size]
        tensors = [self._augment(self._radiographs.tensors[row]) for row in rows]
        return np.stack(tensors)[..., None].astype(np.float32), self.targets[rows]

    def _augment(self, tensor: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self._parameters.horizontal_flip and self._rng.random() < 0.5:
            tensor = np.ascontiguousarray(tensor[:, ::-1])
        return augment(tensor, self._stage.size_px, self._rng, self._stage.strength)
