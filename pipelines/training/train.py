"""Train DenseNet121 on labelled radiographs, from low to full resolution, from random or given weights."""

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import cv2
import keras
import numpy as np
import structlog
from keras import ops
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from pipelines.atomic_file import write_atomically
from pipelines.data.labelled_radiographs import LabelledRadiographs
from pipelines.training.batches import UNSERVED, Batches, positive_weights
from pipelines.training.checkpoints import Checkpoints
from pipelines.training.parameters import TrainingParameters, TrainingStage
from pleura.findings import FINDINGS
from predictor.build.network import feature_network
from predictor.build.weights import Normalisation, normalisation_of

HISTORY_FILE: Final = "history.csv"
_HISTORY: Final = ("stage", "size_px", "epoch", "loss", "auroc")
_AS_TRAINED_HERE: Final = Normalisation()
_CPU_INFO: Final = Path("/proc/cpuinfo")
Weights = Mapping[str, NDArray[np.generic]]
log = structlog.get_logger()


class UnusableWeights(Exception):
    """The weights to start from are not those of this network, or not finite."""


class TrainingDiverged(Exception):
    """The loss, or what the network says of the validation split, became no number."""


def masked_cross_entropy(
    weights: NDArray[np.float32], smoothing: float = 0.0
) -> Callable[[keras.KerasTensor, keras.KerasTensor], keras.KerasTensor]:
    """Make a loss: binary cross-entropy over what is known; a NaN target counts for nothing.

    Args:
        weights: What a present finding weighs, one per target.
        smoothing: How far targets lie from 0 and 1.
    """

    def loss(targets: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
        known = ops.logical_not(ops.isnan(targets))
        truth = ops.where(known, targets, ops.zeros_like(targets))
        smooth = truth * (1 - 2 * smoothing) + smoothing
        each = ops.binary_crossentropy(smooth, ops.cast(logits, "float32"), from_logits=True)
        each = each * (1 + truth * (ops.convert_to_tensor(weights) - 1))
        return ops.mean(ops.where(known, each, ops.zeros_like(each)))

    return loss


def has_bfloat16() -> bool:
    """Whether this machine computes in bfloat16: a GPU or TPU, or a CPU with the instructions for it."""
    if any("gpu" in name or "tpu" in name for name in keras.distribution.list_devices()):
        return True
    return _CPU_INFO.exists() and not {"avx512_bf16", "amx_bf16"}.isdisjoint(_CPU_INFO.read_text().split())


def build_training_network(
    parameters: TrainingParameters, normalisation: Normalisation = _AS_TRAINED_HERE
) -> keras.Model:
    """Build the network with its two heads: the fourteen findings, and what is not served.

    The auxiliary source (children, one hospital) has an output of its own, so that it shapes the features but
    never says what pneumonia looks like in an adult.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(
        "mixed_bfloat16" if parameters.mixed_precision and has_bfloat16() else "float32"
    )
    try:
        features = feature_network(normalisation)
        pooled = keras.layers.GlobalAveragePooling2D(name="pooled")(features.output)
        pooled = keras.layers.Dropout(parameters.dropout)(pooled)
        findings = keras.layers.Dense(len(FINDINGS), name="findings", dtype="float32")(pooled)
        auxiliary = keras.layers.Dense(len(UNSERVED), name="auxiliary", dtype="float32")(pooled)
        outputs = keras.layers.Concatenate(dtype="float32")([findings, auxiliary])
    finally:
        keras.config.set_dtype_policy(before)
    return keras.Model(features.input, outputs)


def load_start_weights(network: keras.Model, weights: Weights) -> None:
    """Set a training network to the weights of a model source; the auxiliary head stays as it is.

    Raises:
        UnfitWeights: One is missing, of another shape, or not finite.
    """
    named = dict(weights) | {
        f"findings/{name}": weights.get(f"head/{name}", np.empty(0)) for name in ("kernel", "bias")
    }
    for layer in network.layers:
        if layer.name == "auxiliary":
            continue
        for variable in layer.variables:
            if "seed" in variable.name:
                continue
            name = f"{layer.name}/{variable.name}"
            value = np.asarray(named.get(name, np.empty(0)), np.float32)
            if value.shape != tuple(variable.shape) or not np.isfinite(value).all():
                raise UnusableWeights(f"{name!r} is missing, of another shape, or not finite")
            variable.assign(value)


def resize_tensors(tensors: NDArray[np.uint8], size_px: int) -> NDArray[np.float32]:
    """Bring tensors (N, 224, 224) to float32 (N, size_px, size_px, 1) by area averaging."""
    shape = (size_px, size_px)
    small = [cv2.resize(t, shape, interpolation=cv2.INTER_AREA) for t in tensors]
    return np.stack(small)[..., None].astype(np.float32)


def mean_auroc(labels: NDArray[np.floating], scores: NDArray[np.floating]) -> float:
    """Mean AUROC over the findings of which both sides are known; NaN where there is none."""
    areas = []
    for column, score in zip(labels.T, scores.T, strict=True):
        known = ~np.isnan(column)
        if len(np.unique(column[known])) == 1 + 1:
            areas.append(roc_auc_score(column[known], score[known]))
    return float(np.mean(areas)) if areas else float("nan")


class _Progress(keras.callbacks.Callback):  # type: ignore[misc]  # keras has no types
    """After each epoch, measure on the validation split with averaged weights, and write it down."""

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
            raise TrainingDiverged(f"after epoch {epoch + 1} of stage {self._number + 1} the loss is {loss}")
        auroc = mean_auroc(self._labels, logits)
        row = (self._number, self._stage.size_px, epoch + 1, f"{loss:.4f}", f"{auroc:.4f}")
        is_new = not self._history.exists()
        with self._history.open("a", newline="") as file:
            csv.writer(file).writerows([_HISTORY, row] if is_new else [row])
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
    """Tell batches and dropout which epoch begins; after an interruption it is not the first."""

    def __init__(self, batches: Batches, seed: int) -> None:
        super().__init__()
        self._batches, self._seed = batches, seed

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._batches.begin_epoch(epoch)
        for layer in self.model.layers:
            if isinstance(layer, keras.layers.Dropout):
                layer.seed_generator.state.assign([self._seed, epoch])  # no checkpoint holds it


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
    network.compile(optimizer, masked_cross_entropy(weights, parameters.label_smoothing), jit_compile=False)


def train_network(
    training: LabelledRadiographs,
    validation: LabelledRadiographs,
    parameters: TrainingParameters,
    folder: Path,
    start: Weights | None = None,
) -> keras.Model:
    """Train stage after stage; a finished stage is not run again.

    Args:
        training: Radiographs with at least one known finding; those of the auxiliary source train the
            auxiliary head.
        validation: What the progress is measured on.
        parameters: See there.
        folder: Where the weights after each stage and ``history.csv`` go; after an interruption the
            stage that was under way goes on from its last epoch.
        start: Weights of a model source to start from; None starts from random ones.

    Returns:
        The network with averaged weights, float32 (N, rows, columns, 1) in [0, 255] to logits (N, 18).

    Raises:
        UnfitWeights: ``start`` does not fit.
        Diverged: The loss, or what the network says, became no number; the stage begins anew next time.
    """
    keras.utils.set_random_seed(parameters.seed)
    folder.mkdir(parents=True, exist_ok=True)
    network = _begun(parameters, start)
    for number, stage in enumerate(parameters.stages):
        saved = folder / f"stage{number}.weights.h5"
        if saved.exists():
            network.load_weights(saved)
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
                shuffle=False,
                callbacks=[
                    _EpochOrder(batches, seed),
                    checkpoints,
                    keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
                    progress,
                ],
            )
        except TrainingDiverged:
            checkpoints.remove()  # nothing goes on from there
            raise
        with write_atomically(saved) as draft:
            network.save_weights(draft)
        checkpoints.remove()
    return network


def _begun(parameters: TrainingParameters, start: Weights | None) -> keras.Model:
    if start is None:
        return build_training_network(parameters)
    learnt = {name: np.asarray(start[name], np.float32) for name in start if name.startswith("input/")}
    network = build_training_network(parameters, normalisation_of(learnt))
    load_start_weights(network, start)
    return network
