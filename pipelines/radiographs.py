"""The labelled radiographs that a model is trained and judged on, as arrays."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from pleura.findings import FINDINGS
from pleura.preprocessing import SIZE_PX, to_tensor

Split = Literal["train", "val", "test"]


@dataclass(frozen=True)
class LabelledRadiographs:
    """Radiographs of one split with what is known of their findings.

    ``tensors`` is uint8 (N, 224, 224); ``labels`` float32 (N, 14) with 1.0 present, 0.0 absent and NaN
    unknown; ``patients``, ``sources`` and ``paths`` are str (N,).
    """

    tensors: NDArray[np.uint8]
    labels: NDArray[np.float32]
    patients: NDArray[np.str_]
    sources: NDArray[np.str_]
    paths: NDArray[np.str_]

    def of_source(self, *sources: str) -> "LabelledRadiographs":
        """Keep the radiographs of these sources."""
        keep = np.isin(self.sources, sources)
        return LabelledRadiographs(
            self.tensors[keep],
            self.labels[keep],
            self.patients[keep],
            self.sources[keep],
            self.paths[keep],
        )


def _label(text: str) -> float:
    return float(text) if text else float("nan")


def _read_tensor(path: Path) -> NDArray[np.uint8]:
    pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        raise ValueError(f"{path} is no readable radiograph")
    return to_tensor(pixels)


def read_split(folder: Path, split: Split) -> LabelledRadiographs:
    """Read one split of a folder that holds ``labels.csv`` and the files that it names.

    Args:
        folder: As described in the data README: columns ``path``, ``patient_id``, ``source``, ``split``
            and one per finding with 1, 0 or nothing (unknown).
        split: Which rows to read.

    Raises:
        ValueError: A file cannot be decoded.
    """
    with (folder / "labels.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    tensors = np.empty((len(rows), SIZE_PX, SIZE_PX), np.uint8)
    for index, row in enumerate(rows):
        tensors[index] = _read_tensor(folder / row["path"])
    return LabelledRadiographs(
        tensors=tensors,
        labels=np.array([[_label(row[f]) for f in FINDINGS] for row in rows], np.float32),
        patients=np.array([row["patient_id"] for row in rows]),
        sources=np.array([row["source"] for row in rows]),
        paths=np.array([row["path"] for row in rows]),
    )
