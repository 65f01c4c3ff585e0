"""Train DenseNet121 on labelled radiographs, from low to full resolution."""

import csv
from pathlib import Path
from typing import Any, Final

import cv2
import keras
import numpy as np
import structlog
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from pipelines.atomic_file import write_atomically
from pipelines.data.labelled_radiographs import LabelledRadiographs
from pipelines.training.batches import Batches, positive_weights
from pipelines.training.checkpoints import Checkpoints
from pipelines.training.parameters import TrainingParameters, TrainingStage
from pipelines.training.training_network import WeightArrays, initialise_network, masked_cross_entropy
from pleura.findings import FINDINGS

HISTORY_FILE: Final = "history.csv"
_HISTORY_COLUMNS: Final = ("stage", "size_px", "epoch", "loss", "auroc")
log = structlog.get_logger()


class TrainingDiverged(Exception):
    """The loss, or a logit of the validation split, is not finite."""


def resize_tensors(tensors: NDArray[np.uint8], size_px: int) -> NDArray[np.float32]:
    """Resize tensors (N, 224, 224) to float32 (N, size_px, size_px, 1) by area averaging."""
    shape = (size_px, size_px)
    small = [cv2.resize(t, shape, interpolation=cv2.INTER_AREA) for t in tensors]
    return np.stack(small)[..., None].astype(np.float32)


def mean_auroc(labels: NDArray[np.floating], scores: NDArray[np.floating]) -> float:
    """Average the AUROC over the findings with known present and absent labels. NaN if there is none."""
    areas = []
    for column, score in zip(labels.T, scores.T, strict=True):
        known = ~np.isnan(column)
        if len(np.unique(column[known])) == 1 + 1:
            areas.append(roc_auc_score(column[known], score[known]))
    return float(np.mean(areas)) if areas else float("nan")


class _Progress(keras.callbacks.Callback):  # type: ignore[misc]  # keras has no types
    """After each epoch, measure the averaged weights on the validation split, and write the history."""

    def __init__(
        self, validation: LabelledRadiographs, stage: TrainingStage, number: int, history: Path
    ) -> None:
        super().__init__()
        self._tensors, self._labels = resize_tensors(validation.tensors, stage.size_px), validation.labels
        self._stage, self._number, self._history = stage, number, history

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        loss = (logs or {}).get("loss", float("nan"))
        logits = self.model.predict(self._tensors, batch_size=32, verbose=0)[:, : len(FINDINGS)]
        if not (np.isfinite(loss) and np.isfinite(logits).all()):
            # Keras trains on with NaN, and would save it as the finished stage.
            raise TrainingDiverged(f"after epoch {epoch + 1} of stage {self._number + 1} the loss is {loss}")
        auroc = mean_auroc(self._labels, logits)
        row = (self._number, self._stage.size_px, epoch + 1, f"{loss:.4f}", f"{auroc:.4f}")
        is_new = not self._history.exists()
        with self._history.open("a", newline="") as file:
            csv.writer(file).writerows([_HISTORY_COLUMNS, row] if is_new else [row])
        log.info(
            "epoch_ended",
            stage=self._number + 1,
            size_px=self._stage.size_px,
            epoch=epoch + 1,
            of=self._stage.epochs,
            loss=round(loss, 4),
            auroc=round(auroc, 4),
        )


class _EpochOrder(keras.callbacks.Callback):  # type: ignore[misc]  # keras has no types
    """Tell the batches and the dropout which epoch begins. A resumed training does not begin at the first."""

    def __init__(self, batches: Batches, seed: int) -> None:
        super().__init__()
        self._batches, self._seed = batches, seed

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._batches.begin_epoch(epoch)
        for layer in self.model.layers:
            if isinstance(layer, keras.layers.Dropout):
                layer.seed_generator.state.assign([self._seed, epoch])  # checkpoints do not hold this state


def _compile(
    network: keras.Model, batches: Batches, stage: TrainingStage, parameters: TrainingParameters
) -> None:
    schedule = keras.optimizers.schedules.CosineDecay(
        stage.learning_rate / 20,
        len(batches) * stage.epochs,
        alpha=0.01,
        warmup_target=stage.learning_rate,
        warmup_steps=len(batches),
    )
    optimizer = keras.optimizers.AdamW(
        schedule, weight_decay=parameters.weight_decay, use_ema=True, ema_momentum=parameters.ema_momentum
    )
    weights = positive_weights(batches.targets, parameters.positive_weighting)
    # docs/decisions/0040: XLA is slower on a CPU (18 radiographs a second instead of 26).
    network.compile(optimizer, masked_cross_entropy(weights, parameters.label_smoothing), jit_compile=False)


def train_network(
    training: LabelledRadiographs,
    validation: LabelledRadiographs,
    parameters: TrainingParameters,
    folder: Path,
    start: WeightArrays | None = None,
) -> keras.Model:
    """Train stage after stage. Finished stages of an earlier call are loaded instead.

    Args:
        training: Radiographs with at least one known finding. Those of the auxiliary source train the
            auxiliary head.
        validation: The radiographs that the progress is measured on.
        parameters: How to train.
        folder: Receives the weights after each stage and ``history.csv``. An interrupted stage resumes
            after its last complete epoch.
        start: Weights of a model source to start from. None starts from random weights.

    Returns:
        The network with averaged weights, from float32 (N, rows, columns, 1) in [0, 255] to logits (N, 18).

    Raises:
        UnusableWeights: ``start`` belongs to another network.
        TrainingDiverged: The loss or a logit is not finite. The next call starts this stage again.
    """
    keras.utils.set_random_seed(parameters.seed)
    folder.mkdir(parents=True, exist_ok=True)
    network = initialise_network(parameters, start)
    for number, stage in enumerate(parameters.stages):
        finished = folder / f"stage{number}.weights.h5"
        if finished.exists():
            network.load_weights(finished)
            continue
        seed = parameters.seed + number
        batches = Batches(training, stage, parameters, seed)
        _compile(network, batches, stage, parameters)
        checkpoints = Checkpoints(folder / f"stage{number}")
        progress = _Progress(validation, stage, number, folder / HISTORY_FILE)
        try:
            network.fit(
                batches,
                epochs=stage.epochs,
                initial_epoch=checkpoints.restore(network),
                verbose=0,
                # Batches draws each epoch's order itself, so that
                # a resumed training shows the same radiographs.
                shuffle=False,
                # The order matters. The checkpoint needs the weights that training
                # goes on with. Then SwapEMAWeights puts the averaged weights in their
                # place until the next epoch begins, and progress measures those.
                callbacks=[
                    _EpochOrder(batches, seed),
                    checkpoints,
                    keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
                    progress,
                ],
            )
        except TrainingDiverged:
            checkpoints.remove()  # a checkpoint of a diverged stage is not worth resuming
            raise
        # The next call skips a stage that has this file, so it must never be half a file.
        with write_atomically(finished) as draft:
            network.save_weights(draft)
        checkpoints.remove()
    return network
