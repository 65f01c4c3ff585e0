"""Train the arms of an ablation, and compare them on held-out patients.

The test split is not read. The validation split alone is too small for such differences, so a share of the
training patients is held out too: the arms train on fewer radiographs than a model does.
"""

import csv
import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import numpy as np
import structlog
from numpy.typing import NDArray

from pipelines.atomic_file import write_atomically
from pipelines.data.labelled_radiographs import LabelledRadiographs, read_folder_sources, read_split
from pipelines.data.sources import choose_source
from pipelines.statistics.bootstrap import (
    Bootstrap,
    Floats,
    IntervalEstimate,
    aurocs,
    estimate_interval,
    observed_statistic,
)
from pipelines.training.ablation import Ablation, Arm
from pipelines.training.augmentation import augment
from pleura.cpu_count import usable_cpus
from pleura.findings import FINDINGS
from pleura.observability.logs import configure_logging
from pleura.parent_process import end_with_parent

TABLE_FILE: Final = "ablation.csv"
_VIEW_STRENGTH: Final = 0.5
_SCORES_FILE: Final = "scores.npy"
_WEIGHTS_FILE: Final = "weights.npz"
_DEFINITION_FILE: Final = "arm.json"
_COLUMNS: Final = (
    *("arm", "against"),
    *("auroc", "auroc low", "auroc high"),
    *("difference", "difference low", "difference high"),
)
log = structlog.get_logger()


class ArmFailed(Exception):
    """The training of an arm failed."""


class DifferentArm(Exception):
    """The folder holds an arm of this name with other parameters."""


def is_held_out(patients: NDArray[np.str_], one_in: int) -> NDArray[np.bool_]:
    """Mark the radiographs (N,) of held-out patients. The pseudonym of the patient alone decides."""
    digests = [hashlib.sha256(f"ablation-v1|{patient}".encode()).digest() for patient in patients]
    return np.array([int.from_bytes(digest[:8], "big") % one_in == 0 for digest in digests], bool)


def divide_radiographs(
    data: Path, ablation: Ablation, auxiliary: str
) -> tuple[LabelledRadiographs, LabelledRadiographs]:
    """Divide the radiographs into those that arms train on and those that all arms are evaluated on."""
    training = read_split(data, "train", ablation.main_source, auxiliary)
    validation = read_split(data, "val", ablation.main_source)
    is_main = training.sources == ablation.main_source
    held_out = is_main & is_held_out(training.patients, ablation.one_in)
    return training.select(~held_out), training.select(held_out).concatenate(validation)


def _train_arm(data: Path, run: Path, ablation: Ablation, arm: Arm, parent: int) -> None:
    """Train one arm on one thread, and write its logits (N, 14) for the held-out radiographs."""
    # A command that is terminated would leave its trainings to the end of their arms.
    end_with_parent(parent)
    configure_logging("pipelines")
    structlog.contextvars.bind_contextvars(arm=arm.name)
    # docs/decisions/0043: one thread for each arm. TensorFlow must find this when it is imported.
    os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["TF_NUM_INTEROP_THREADS"] = "1"
    from pipelines.training.train_network import resize_tensors, train_network
    from pipelines.training.trained_network import network_arrays

    parameters = ablation.parameters(arm)
    folder = run / arm.name
    # Each arm decodes its own radiographs: those that it never shows would only cost time.
    is_used = any(stage.auxiliary_per_epoch for stage in parameters.stages)
    training, held_out = divide_radiographs(data, ablation, parameters.auxiliary_source if is_used else "")
    start = None
    if arm.start:
        with np.load(run / arm.start / _WEIGHTS_FILE, allow_pickle=False) as file:
            start = dict(file)
    network = train_network(training, held_out, parameters, folder, start)
    with write_atomically(folder / _WEIGHTS_FILE) as draft:
        np.savez(draft, **network_arrays(network, np.dtype(np.float32)))  # type: ignore[arg-type]
    size_px, rng = parameters.stages[-1].size_px, np.random.default_rng(parameters.seed)
    views = [resize_tensors(held_out.tensors, size_px)]
    for _ in range(arm.views - 1):
        moved = [augment(tensor, size_px, rng, _VIEW_STRENGTH) for tensor in held_out.tensors]
        views.append(np.stack(moved)[..., None].astype(np.float32))
    logits = [network.predict(view, batch_size=32, verbose=0)[:, : len(FINDINGS)] for view in views]
    # This file marks the arm as finished: half a file must not count as a result.
    with write_atomically(folder / _SCORES_FILE) as draft:
        np.save(draft, np.mean(logits, axis=0))


def train_arms(data: Path, run: Path, ablation: Ablation) -> None:
    """Train the arms in parallel, one for each core. Finished arms are not trained again.

    Raises:
        ArmFailed: The training of an arm failed. The output has its exception.
        DifferentArm: The folder holds an arm of the same name with other parameters.
    """
    for arm in ablation.arms:
        # Another run may have trained an arm of the same name with other parameters.
        _write_definition(run / arm.name, ablation.definition(arm))
    done: dict[str, Future[None]] = {}
    # docs/decisions/0015: the cores of the container count, not those of its node.
    with ThreadPoolExecutor(usable_cpus()) as threads:
        try:
            for arm in ablation.arms:
                if not (run / arm.name / _SCORES_FILE).exists():
                    if arm.start in done:
                        done[arm.start].result()
                    done[arm.name] = threads.submit(_train_in_process, data, run, ablation, arm)
            for future in done.values():
                future.result()
        except KeyboardInterrupt:  # the signal reached the running processes too; the others must not start
            threads.shutdown(wait=False, cancel_futures=True)
            raise


def _write_definition(folder: Path, definition: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / _DEFINITION_FILE
    if not file.exists():
        with write_atomically(file) as draft:
            draft.write_text(definition)
    elif file.read_text() != definition:
        raise DifferentArm(f"the arm in {folder} has other parameters: give this run another folder")


def _train_in_process(data: Path, run: Path, ablation: Ablation, arm: Arm) -> None:
    """Train one arm in a process of its own, so that its memory and threads end with it."""
    arguments = (data, run, ablation, arm, os.getpid())
    # Not a pool: a pool whose workers end after one task can stop for ever (CPython issue 115634).
    process = get_context("spawn").Process(target=_train_arm, args=arguments, daemon=True)
    process.start()
    process.join()
    if process.exitcode:
        log.error("arm_failed", arm=arm.name)  # log this at once, because the other arms still train for long
        raise ArmFailed(
            f"the training of the arm {arm.name!r} failed: its process ended with {process.exitcode}"
        )


@dataclass(frozen=True)
class ArmResult:
    """The mean AUROC of an arm, and its difference from the arm that it is compared with."""

    arm: Arm
    auroc: IntervalEstimate
    difference: IntervalEstimate | None


def evaluate_arms(data: Path, run: Path, ablation: Ablation) -> Iterator[ArmResult]:
    """Compare the arms on the same radiographs, with 95 % intervals of a bootstrap over patients.

    The intervals cover the choice of the held-out patients, but not the choice of the seed. Two arms that
    differ in their seed only show the effect of the seed.
    """
    held_out = divide_radiographs(data, ablation, "")[1]
    scores = [np.load(run / arm.name / _SCORES_FILE) for arm in ablation.arms]

    def means(weights: Floats) -> Floats:
        return np.column_stack([_mean_auroc(weights, held_out.labels, of_arm) for of_arm in scores])

    # All arms in the same draws, so that their differences are paired.
    values, drawn = observed_statistic(means, len(held_out)), Bootstrap().draw(means, held_out.patients)
    index = {arm.name: number for number, arm in enumerate(ablation.arms)}
    for number, arm in enumerate(ablation.arms):
        # NaN would not fail by itself: the arm would be ranked by numbers that mean nothing.
        if not np.isfinite(scores[number]).all():
            raise ValueError(f"the arm {arm.name!r} has scores that are not finite")
        auroc = estimate_interval(values[number], drawn[:, number])
        if auroc is None:
            raise ValueError(
                f"the mean AUROC of {arm.name!r} cannot be measured on {len(held_out)} radiographs"
            )
        other = index.get(arm.against)
        difference = (
            None
            if other is None
            else estimate_interval(values[number] - values[other], drawn[:, number] - drawn[:, other])
        )
        yield ArmResult(arm, auroc, difference)


def _mean_auroc(weights: Floats, labels: Floats, scores: Floats) -> Floats:
    """Average over the findings, in each draw. Unknown labels are left out of their finding."""
    areas = []
    for column, score in zip(labels.T, scores.T, strict=True):
        known = ~np.isnan(column)
        areas.append(aurocs(weights[:, known], column[known], score[known]))
    mean: Floats = np.mean(areas, axis=0)
    return mean


def run_ablation(data: Path, run: Path, ablation: Ablation) -> Path:
    """Train and compare the arms, and return the table: ``ablation.csv`` in the folder of the run.

    Raises:
        NoSuchSource: The training or the validation split has no radiograph of the main source.
    """
    chosen_with = "main_source in the file of --parameters"
    choose_source(read_folder_sources(data), ablation.main_source, chosen_with, ("train", "val"))
    train_arms(data, run, ablation)
    table = run / TABLE_FILE
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for result in evaluate_arms(data, run, ablation):
            writer.writerow(
                [result.arm.name, result.arm.against, *_cells(result.auroc), *_cells(result.difference)]
            )
    return table


def _cells(interval: IntervalEstimate | None) -> Sequence[str]:
    return (
        ("", "", "")
        if interval is None
        else tuple(f"{x:.4f}" for x in (interval.value, interval.low, interval.high))
    )
