"""A small data set whose labels are the calls of the default model, some of them inverted."""

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
from predictor.engines.litert import LiteRtEngine

_SPLITS = {"train": 24, "val": 64, "test": 72}
_INVERTED_SHARE = 0.08
_COLUMNS = ("path", "source", "patient_id", "view", "licence", *FINDINGS, "split", "sex", "age")


def _make_tensors(samples: Path, number: int, seed: int) -> Iterator[NDArray[np.uint8]]:
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
            tensors = np.stack(list(_make_tensors(samples, count, seed + number)))
            probabilities = engine.run(tensors[..., None]).probability
            present = (probabilities > np.median(probabilities, axis=0)) ^ (
                rng.random(probabilities.shape) < _INVERTED_SHARE
            )
            for index, (tensor, labels) in enumerate(zip(tensors, present, strict=True)):
                name = f"images/{split}{index:03}.png"
                cv2.imwrite(str(folder / name), tensor)
                findings = [f"{label:d}" for label in labels]
                attributes = (
                    "ours",
                    f"{split}-{index}",
                    "PA",
                    "CC0",
                    *findings,
                    split,
                    "FM"[index % 2],
                    30 + index % 50,
                )
                writer.writerow((name, *attributes))
