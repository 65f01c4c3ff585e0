"""What each choice of training is worth: the same training with one thing changed, on held-out patients.

The test split is not read. The validation split alone is too small to tell such differences, so a share of
the patients to train on is held out beside it: the arms train on fewer radiographs than a model does.
"""

import csv
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import structlog
import yaml
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from pipelines.atomic_file import write_atomically
from pipelines.data.labelled_radiographs import LabelledRadiographs, read_split
from pipelines.statistics.bootstrap import (
    Bootstrap,
    Floats,
    IntervalEstimate,
    aurocs,
    estimate_interval,
    observed_statistic,
)
from pipelines.training.augmentation import augment
from pipelines.training.parameters import TrainingParameters
from pleura.cpu_count import usable_cpus
from pleura.findings import FINDINGS
from pleura.observability.logs import configure_logging
from pleura.parent_process import end_with_parent

ABLATION: Final = Path(__file__).with_name("ablation.yaml")
"""The arms of the default ablation."""
_STRICT: Final = ConfigDict(extra="forbid")
TABLE_FILE: Final = "ablation.csv"
_VIEW_STRENGTH: Final = 0.5
_SCORES_FILE: Final = "scores.npy"
_WEIGHTS_FILE: Final = "weights.npz"
_DEFINITION_FILE: Final = "arm.json"
_HEADINGS: Final = (
    "arm",
    "against",
    *("auroc", "auroc low", "auroc high"),
    *("difference", "difference low", "difference high"),
)
log = structlog.get_logger()


class ArmFailed(Exception):
    """One arm of an ablation could not be trained."""


class DifferentArm(Exception):
    """An arm of that name was begun with other parameters."""


@dataclass(frozen=True, config=_STRICT)
class Arm:
    """One training: ``changes`` of the common parameters, from the weights of the arm ``start`` or random.

    ``against`` is the arm that it is compared with; empty where there is none. Logits are the mean over
    ``views`` of each held-out radiograph, the first as it is, the others moved a little: so many times the
    cost of an answer.
    """

    name: str
    changes: Mapping[str, Any]
    against: str = ""
    start: str = ""
    views: Annotated[int, Field(ge=1)] = 1


@dataclass(frozen=True, config=_STRICT)
class Ablation:
    """The arms in the order in which they are trained, and what they have in common.

    ``one_in`` is which share of the patients to train on is held out.
    """

    main_source: str
    one_in: int
    training: Mapping[str, Any]
    arms: Sequence[Arm]

    def parameters(self, arm: Arm) -> TrainingParameters:
        """What an arm is trained with."""
        return TypeAdapter(TrainingParameters).validate_python({**self.training, **arm.changes})

    def definition(self, arm: Arm) -> str:
        """All that decides what an arm says of the held-out radiographs, but the data and earlier arms."""
        common = {"main_source": self.main_source, "one_in": self.one_in}
        own = {"start": arm.start, "views": arm.views, "training": asdict(self.parameters(arm))}
        return json.dumps(common | own, indent=1, sort_keys=True) + "\n"


def read_ablation(path: Path) -> Ablation:
    """Read and check a file of arms.

    Raises:
        ValueError: Two arms share a name, or one names an arm that does not come before it.
        pydantic.ValidationError: Something is missing, unknown, or of another type.
    """
    ablation = TypeAdapter(Ablation).validate_python(yaml.safe_load(path.read_text()))
    known: set[str] = set()
    for arm in ablation.arms:
        if arm.name in known:
            raise ValueError(f"two arms are called {arm.name!r}")
        if arm.start not in known | {""}:
            raise ValueError(f"arm {arm.name!r} starts from {arm.start!r}, which no arm before it is called")
        ablation.parameters(arm)
        known.add(arm.name)
    for arm in ablation.arms:
        if arm.against not in known | {""}:
            raise ValueError(f"arm {arm.name!r} is compared with {arm.against!r}, which no arm is called")
    return ablation


def is_held_out(patients: NDArray[np.str_], one_in: int) -> NDArray[np.bool_]:
    """Which radiographs (N,) are of patients that are held out; it depends on the patient alone."""
    digests = [hashlib.sha256(f"ablation-v1|{patient}".encode()).digest() for patient in patients]
    return np.array([int.from_bytes(digest[:8], "big") % one_in == 0 for digest in digests], bool)


def divide_radiographs(
    data: Path, ablation: Ablation, auxiliary: str
) -> tuple[LabelledRadiographs, LabelledRadiographs]:
    """Give the radiographs that an arm trains on, and those that all arms are judged on."""
    training = read_split(data, "train", ablation.main_source, auxiliary)
    validation = read_split(data, "val", ablation.main_source)
    is_main = training.sources == ablation.main_source
    kept_back = is_main & is_held_out(training.patients, ablation.one_in)
    return training.select(~kept_back), training.select(kept_back).concatenate(validation)


def _train_arm(data: Path, run: Path, ablation: Ablation, arm: Arm, parent: int) -> None:
    """Train one arm on one thread, and write what it says of the held-out radiographs: logits (N, 14)."""
    end_with_parent(parent)
    configure_logging("pipelines")
    structlog.contextvars.bind_contextvars(arm=arm.name)
    os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["TF_NUM_INTEROP_THREADS"] = "1"
    from pipelines.training.train_network import resize_tensors, train_network
    from pipelines.training.trained_network import network_arrays

    parameters = ablation.parameters(arm)
    folder = run / arm.name
    is_used = any(stage.auxiliary_per_epoch for stage in parameters.stages)
    training, judged = divide_radiographs(data, ablation, parameters.auxiliary_source if is_used else "")
    start = None
    if arm.start:
        with np.load(run / arm.start / _WEIGHTS_FILE, allow_pickle=False) as file:
            start = dict(file)
    network = train_network(training, judged, parameters, folder, start)
    with write_atomically(folder / _WEIGHTS_FILE) as draft:
        np.savez(draft, **network_arrays(network, np.dtype(np.float32)))  # type: ignore[arg-type]
    size_px, rng = parameters.stages[-1].size_px, np.random.default_rng(parameters.seed)
    views = [resize_tensors(judged.tensors, size_px)]
    for _ in range(arm.views - 1):
        moved = [augment(tensor, size_px, rng, _VIEW_STRENGTH) for tensor in judged.tensors]
        views.append(np.stack(moved)[..., None].astype(np.float32))
    logits = [network.predict(view, batch_size=32, verbose=0)[:, : len(FINDINGS)] for view in views]
    with write_atomically(folder / _SCORES_FILE) as draft:
        np.save(draft, np.mean(logits, axis=0))


def train_arms(data: Path, run: Path, ablation: Ablation) -> None:
    """Train the arms side by side, one to a core that there is; those that are done are not trained again.

    Two trainings on a thread each do more in a second than one after the other on two threads: 43 against 38
    radiographs at 96 px, 98 against 57 at 64 px.

    Raises:
        ArmFailed: An arm could not be trained; what it raised is in the output.
        OtherArm: The folder holds an arm of that name with other parameters.
    """
    for arm in ablation.arms:
        _begin(run / arm.name, ablation.definition(arm))
    done: dict[str, Future[None]] = {}
    with ThreadPoolExecutor(usable_cpus()) as threads:
        try:
            for arm in ablation.arms:
                if not (run / arm.name / _SCORES_FILE).exists():
                    if arm.start in done:
                        done[arm.start].result()
                    done[arm.name] = threads.submit(_train_apart, data, run, ablation, arm)
            for each in done.values():
                each.result()
        except KeyboardInterrupt:  # has reached the processes too: no other is to begin
            threads.shutdown(wait=False, cancel_futures=True)
            raise


def _begin(folder: Path, definition: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / _DEFINITION_FILE
    if not file.exists():
        with write_atomically(file) as draft:
            draft.write_text(definition)
    elif file.read_text() != definition:
        raise DifferentArm(
            f"the arm in {folder} was begun with other parameters: give this run another folder"
        )


def _train_apart(data: Path, run: Path, ablation: Ablation, arm: Arm) -> None:
    """Train one arm in a process of its own: when either ends, so do its memory and its threads."""
    arguments = (data, run, ablation, arm, os.getpid())
    process = get_context("spawn").Process(target=_train_arm, args=arguments, daemon=True)
    process.start()
    process.join()
    if process.exitcode:
        log.error("arm_failed", arm=arm.name)  # at once: the others are trained to their end
        raise ArmFailed(
            f"the arm {arm.name!r} could not be trained: its process ended with {process.exitcode}"
        )


@dataclass(frozen=True)
class ArmResult:
    """An arm's mean AUROC, and its difference from the arm that it is compared with."""

    arm: Arm
    auroc: IntervalEstimate
    difference: IntervalEstimate | None


def evaluate_arms(data: Path, run: Path, ablation: Ablation) -> Iterator[ArmResult]:
    """Compare the arms on the same radiographs, with 95 % intervals of a bootstrap over patients.

    The intervals know of the patients that happened to be held out, not of the seed that happened to be
    drawn: two arms that differ in nothing but the seed show how much that is.
    """
    judged = divide_radiographs(data, ablation, "")[1]
    scores = [np.load(run / arm.name / _SCORES_FILE) for arm in ablation.arms]

    def means(weights: Floats) -> Floats:
        return np.column_stack([_mean_auroc(weights, judged.labels, each) for each in scores])

    values, drawn = observed_statistic(means, len(judged)), Bootstrap().drawn(means, judged.patients)
    index = {arm.name: number for number, arm in enumerate(ablation.arms)}
    for number, arm in enumerate(ablation.arms):
        if not np.isfinite(scores[number]).all():
            raise ValueError(f"the arm {arm.name!r} gives what is no number")
        auroc = estimate_interval(values[number], drawn[:, number])
        if auroc is None:
            raise ValueError(
                f"the mean AUROC of {arm.name!r} cannot be measured on {len(judged)} radiographs"
            )
        other = index.get(arm.against)
        difference = (
            None
            if other is None
            else estimate_interval(values[number] - values[other], drawn[:, number] - drawn[:, other])
        )
        yield ArmResult(arm, auroc, difference)


def _mean_auroc(weights: Floats, labels: Floats, scores: Floats) -> Floats:
    """The mean over the findings, in each draw; unknown labels are left out of their finding."""
    areas = []
    for column, score in zip(labels.T, scores.T, strict=True):
        known = ~np.isnan(column)
        areas.append(aurocs(weights[:, known], column[known], score[known]))
    mean: Floats = np.mean(areas, axis=0)
    return mean


def run_ablation(data: Path, run: Path, ablation: Ablation) -> Path:
    """Train and compare the arms; give the table that is written, ``ablation.csv`` in the run's folder."""
    train_arms(data, run, ablation)
    table = run / TABLE_FILE
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_HEADINGS)
        for worth in evaluate_arms(data, run, ablation):
            writer.writerow(
                [worth.arm.name, worth.arm.against, *_cells(worth.auroc), *_cells(worth.difference)]
            )
    return table


def _cells(found: IntervalEstimate | None) -> Sequence[str]:
    return ("", "", "") if found is None else tuple(f"{x:.4f}" for x in (found.value, found.low, found.high))
