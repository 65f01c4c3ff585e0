"""What training shows the network, batch by batch: augmented radiographs and what is known of them."""

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
"""What the network learns besides the findings; it shapes the features, and is not served."""


def build_targets(radiographs: LabelledRadiographs, parameters: TrainingParameters) -> NDArray[np.float32]:
    """Give the targets of both heads, the findings and ``UNSERVED``: (N, 18), NaN where nothing is known.

    The auxiliary source says nothing of the findings, and the others nothing of its pneumonia. An age is a
    target between 0 and 1 like the others.
    """
    is_auxiliary = radiographs.sources == parameters.auxiliary_source
    pneumonia = np.where(is_auxiliary, radiographs.labels[:, _PNEUMONIA], np.nan)
    findings = np.where(is_auxiliary[:, None], np.nan, radiographs.labels)
    attributes = np.column_stack(
        [
            _is_second_of(radiographs.sexes, "M", "F"),
            _is_second_of(radiographs.views, "PA", "AP"),
            np.clip(radiographs.ages / _OLDEST_YEARS, 0, 1),
        ]
    )
    if not parameters.patient_attributes:
        attributes[:] = np.nan
    attributes[is_auxiliary] = np.nan
    return np.column_stack([findings, pneumonia, attributes]).astype(np.float32)


def _is_second_of(words: NDArray[np.str_], first: str, second: str) -> NDArray[np.floating]:
    """1 for the second word, 0 for the first, NaN for any other."""
    return np.select([words == second, words == first], [1.0, 0.0], np.nan)


def positive_weights(targets: NDArray[np.float32], power: float) -> NDArray[np.float32]:
    """Give what a present finding weighs, (18,): (absent / present) ** power, 1 where one side is missing."""
    present, absent = (targets == 1).sum(axis=0), (targets == 0).sum(axis=0)
    ratio = np.where((present > 0) & (absent > 0), absent / np.maximum(present, 1), 1.0)
    return (ratio**power).astype(np.float32)


class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # keras has no types
    """Augmented batches; each epoch shows every main radiograph and a fresh draw of auxiliary ones.

    What an epoch shows depends on its number and the seed alone, so that a run which was interrupted shows
    what it would have shown.
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
        """Draw the order of an epoch."""
        self._rng = np.random.default_rng((self._seed, number))
        main, extra = np.flatnonzero(~self._is_auxiliary), np.flatnonzero(self._is_auxiliary)
        size = min(self._stage.auxiliary_per_epoch, len(extra))
        self._order = np.concatenate([main, self._rng.choice(extra, size, replace=False)])
        self._rng.shuffle(self._order)

    def __len__(self) -> int:
        # a last batch of a few would disturb the batch statistics; fewer radiographs than a batch are one
        return max(1, len(self._order) // self._parameters.batch_size)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        size = self._parameters.batch_size
        rows = self._order[index * size : (index + 1) * size]
        tensors = [self._augmented(self._radiographs.tensors[row]) for row in rows]
        return np.stack(tensors)[..., None].astype(np.float32), self.targets[rows]

    def _augmented(self, tensor: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self._parameters.horizontal_flip and self._rng.random() < 0.5:
            tensor = np.ascontiguousarray(tensor[:, ::-1])
        return augment(tensor, self._stage.size_px, self._rng, self._stage.strength)
