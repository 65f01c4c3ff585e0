"""A small data set on which the default model is nearly right: labels are what it says, some turned over."""

import csv
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.training.augmentation import augment
from pleura.findings import FINDINGS
from pleura.radiograph.reader import read_radiograph
from pleura.radiograph.tensor import to_tensor
from predictor.engines.engine import LiteRtEngine

_SPLITS = {"train": 24, "val": 64, "test": 72}
_TURNED_OVER = 0.08
_COLUMNS = ("path", "source", "patient_id", "view", "licence", *FINDINGS, "split", "sex", "age")


def _tensors(samples: Path, number: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    files = sorted(samples.glob("nih_*"))
    rng = np.random.default_rng(seed)
    for index in range(number):
        pixels = read_radiograph(files[index % len(files)].read_bytes(), 10**8).pixels
        yield augment(to_tensor(pixels), 224, rng, 4.0)


def write_lessons(folder: Path, samples: Path, bundle: Path, seed: int = 1) -> None:
    """Write ``labels.csv`` and the files that it names."""
    engine, rng = LiteRtEngine(bundle, threads=2), np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for number, (split, count) in enumerate(_SPLITS.items()):
            tensors = np.stack(list(_tensors(samples, count, seed + number)))
            said = engine.run(tensors[..., None]).probability
            present = (said > np.median(said, axis=0)) ^ (rng.random(said.shape) < _TURNED_OVER)
            for index, (tensor, labels) in enumerate(zip(tensors, present, strict=True)):
                name = f"images/{split}{index:03}.png"
                cv2.imwrite(str(folder / name), tensor)
                known = [f"{label:d}" for label in labels]
                who = (
                    "ours",
                    f"{split}-{index}",
                    "PA",
                    "CC0",
                    *known,
                    split,
                    "FM"[index % 2],
                    30 + index % 50,
                )
                writer.writerow((name, *who))
