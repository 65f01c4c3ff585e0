"""Train DenseNet121 on labelled radiographs, from low to full resolution."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import keras
import numpy as np
import structlog
from keras import ops
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from pipelines.augmentation import augment
from pipelines.radiographs import LabelledRadiographs
from pleura.findings import FINDINGS
from predictor.network import feature_network

_AUXILIARY_SOURCE = "kermany"
log = structlog.get_logger()


@dataclass(frozen=True)
class Stage:
    """Epochs at one resolution; the learning rate falls along a cosine to a hundredth."""

    size_px: int
    epochs: int
    learning_rate: float
    auxiliary_per_epoch: int
    strength: float = 1.0


@dataclass(frozen=True)
class TrainingParameters:
    """Everything that decides a training run besides the data."""

    stages: Sequence[Stage]
    batch_size: int = 32
    weight_decay: float = 1e-3
    dropout: float = 0.3
    ema_momentum: float = 0.99
    seed: int = 1


class _Batches(keras.utils.PyDataset):  # type: ignore[misc]  # keras has no types
    """Augmented batches; each epoch shows every main radiograph and a fresh draw of auxiliary ones."""

    def __init__(
        self,
        radiographs: LabelledRadiographs,
        targets: NDArray[np.float32],
        stage: Stage,
        batch_size: int,
        seed: int,
    ) -> None:
        super().__init__()
        self._radiographs, self._targets = radiographs, targets
        self._stage, self._batch_size = stage, batch_size
        self._rng = np.random.default_rng(seed)
        self._draw()

    def _draw(self) -> None:
        auxiliary = self._radiographs.sources == _AUXILIARY_SOURCE
        main, extra = np.flatnonzero(~auxiliary), np.flatnonzero(auxiliary)
        size = min(self._stage.auxiliary_per_epoch, len(extra))
        self._order = np.concatenate([main, self._rng.choice(extra, size, replace=False)])
        self._rng.shuffle(self._order)

    def __len__(self) -> int:
        return len(self._order) // self._batch_size

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        rows = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        size, strength = self._stage.size_px, self._stage.strength
        tensors = [augment(self._radiographs.tensors[r], size, self._rng, strength) for r in rows]
        return np.stack(tensors)[..., None].astype(np.float32), self._targets[rows]

    def on_epoch_end(self) -> None:
        self._draw()


def masked_cross_entropy(targets: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    """Binary cross-entropy over what is known; a NaN target counts for nothing."""
    known = ops.logical_not(ops.isnan(targets))
    truth = ops.where(known, targets, ops.zeros_like(targets))
    loss = ops.binary_crossentropy(truth, logits, from_logits=True)
    return ops.mean(ops.where(known, loss, ops.zeros_like(loss)))


def training_network(dropout: float) -> keras.Model:
    """Build the network with its two heads: the fourteen findings, and the auxiliary pneumonia.

    The auxiliary source (children, one hospital) has a head of its own, so that it shapes the features but
    never says what pneumonia looks like in an adult.
    """
    features = feature_network()
    pooled = keras.layers.GlobalAveragePooling2D(name="pooled")(features.output)
    pooled = keras.layers.Dropout(dropout)(pooled)
    findings = keras.layers.Dense(len(FINDINGS), name="findings")(pooled)
    auxiliary = keras.layers.Dense(1, name="auxiliary")(pooled)
    return keras.Model(features.input, keras.layers.Concatenate()([findings, auxiliary]))


def _targets(radiographs: LabelledRadiographs) -> NDArray[np.float32]:
    auxiliary = radiographs.sources == _AUXILIARY_SOURCE
    pneumonia = radiographs.labels[:, FINDINGS.index("Pneumonia")]
    findings = np.where(auxiliary[:, None], np.nan, radiographs.labels)
    return np.column_stack([findings, np.where(auxiliary, pneumonia, np.nan)]).astype(np.float32)


def resized(tensors: NDArray[np.uint8], size_px: int) -> NDArray[np.float32]:
    """Bring tensors (N, 224, 224) to float32 (N, size_px, size_px, 1) by area averaging."""
    shape = (size_px, size_px)
    small = [cv2.resize(t, shape, interpolation=cv2.INTER_AREA) for t in tensors]
    return np.stack(small)[..., None].astype(np.float32)


class _Validation(keras.callbacks.Callback):  # type: ignore[misc]  # keras has no types
    """Print and keep the mean AUROC on the validation split after each epoch, with averaged weights."""

    def __init__(self, tensors: NDArray[np.float32], labels: NDArray[np.float32], history: Path) -> None:
        super().__init__()
        self._tensors, self._labels, self._history = tensors, labels, history

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logits = self.model.predict(self._tensors, batch_size=32, verbose=0)[:, : len(FINDINGS)]
        areas = [roc_auc_score(self._labels[:, f], logits[:, f]) for f in range(len(FINDINGS))]
        size, loss = self._tensors.shape[1], (logs or {}).get("loss", float("nan"))
        line = f"{size},{epoch + 1},{loss:.4f},{np.mean(areas):.4f}"
        with self._history.open("a") as file:
            file.write(line + "\n")
        log.info("epoch_ended", size_px=size, epoch=epoch + 1, auroc=round(float(np.mean(areas)), 4))


def train(
    training: LabelledRadiographs,
    validation: LabelledRadiographs,
    parameters: TrainingParameters,
    folder: Path,
) -> keras.Model:
    """Train from random weights, stage after stage; a finished stage is not run again.

    Args:
        training: Radiographs with at least one known finding; those of the auxiliary source train the
            auxiliary head.
        validation: Radiographs whose fourteen findings are all known.
        parameters: See there.
        folder: Where the weights after each stage and ``history.csv`` go; after an interruption the
            stage that was under way goes on from its last epoch.

    Returns:
        The network with averaged weights, float32 (N, rows, columns, 1) in [0, 255] to logits (N, 15).
    """
    keras.utils.set_random_seed(parameters.seed)
    folder.mkdir(parents=True, exist_ok=True)
    network = training_network(parameters.dropout)
    targets = _targets(training)
    for number, stage in enumerate(parameters.stages):
        saved = folder / f"stage{number}.weights.h5"
        if saved.exists():
            network.load_weights(saved)
            continue
        batches = _Batches(training, targets, stage, parameters.batch_size, parameters.seed + number)
        steps = len(batches) * stage.epochs
        schedule = keras.optimizers.schedules.CosineDecay(
            stage.learning_rate / 20,
            steps,
            alpha=0.01,
            warmup_target=stage.learning_rate,
            warmup_steps=len(batches),
        )
        optimizer = keras.optimizers.AdamW(
            schedule,
            weight_decay=parameters.weight_decay,
            use_ema=True,
            ema_momentum=parameters.ema_momentum,
        )
        network.compile(optimizer, masked_cross_entropy, jit_compile=False)
        network.fit(
            batches,
            epochs=stage.epochs,
            verbose=0,
            callbacks=[
                keras.callbacks.BackupAndRestore(folder / f"stage{number}"),
                keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
                _Validation(
                    resized(validation.tensors, stage.size_px), validation.labels, folder / "history.csv"
                ),
            ],
        )
        network.save_weights(saved)
    return network
