"""The labelled radiographs that a model is trained and judged on, as arrays."""

import csv
import hashlib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.data.decode import decode_radiograph
from pipelines.data.manifest import Split
from pleura.contract import SIZE_PX
from pleura.errors import PleuraError
from pleura.findings import FINDINGS
from pleura.radiograph.tensor import to_tensor


def _no_words() -> NDArray[np.str_]:
    return np.empty(0, np.str_)


@dataclass(frozen=True)
class LabelledRadiographs:
    """Radiographs of one split with what is known of their findings.

    ``tensors`` is uint8 (N, 224, 224); ``labels`` float32 (N, 14) with 1.0 present, 0.0 absent and NaN
    unknown; ``patients``, ``sources`` and ``paths`` are str (N,). ``digests`` (SHA-256 of the file),
    ``views`` and ``sexes`` are str (N,), empty where unknown; ``ages`` float32 (N,) in years, NaN where
    unknown. Of those that are not given nothing is known.
    """

    tensors: NDArray[np.uint8]
    labels: NDArray[np.float32]
    patients: NDArray[np.str_]
    sources: NDArray[np.str_]
    paths: NDArray[np.str_]
    digests: NDArray[np.str_] = field(default_factory=_no_words)
    views: NDArray[np.str_] = field(default_factory=_no_words)
    sexes: NDArray[np.str_] = field(default_factory=_no_words)
    ages: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))

    def __post_init__(self) -> None:
        """Say of everyone what is not known of anyone."""
        count = len(self.tensors)
        for name in ("digests", "views", "sexes"):
            if not len(getattr(self, name)):
                object.__setattr__(self, name, np.full(count, ""))
        if not len(self.ages):
            object.__setattr__(self, "ages", np.full(count, np.nan, np.float32))

    def __len__(self) -> int:
        """How many radiographs there are."""
        return len(self.tensors)

    def rows(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> "LabelledRadiographs":
        """Some of the radiographs."""
        return LabelledRadiographs(**{each.name: getattr(self, each.name)[keep] for each in fields(self)})

    def joined(self, other: "LabelledRadiographs") -> "LabelledRadiographs":
        """These radiographs, then the others."""
        return LabelledRadiographs(
            **{
                each.name: np.concatenate([getattr(self, each.name), getattr(other, each.name)])
                for each in fields(self)
            }
        )

    def of_source(self, *sources: str) -> "LabelledRadiographs":
        """Keep the radiographs of these sources."""
        return self.rows(np.isin(self.sources, sources))


def _number(text: str) -> float:
    return float(text) if text else float("nan")


def _column(rows: list[dict[str, str]], name: str) -> NDArray[Any]:
    return np.array([row.get(name, "") for row in rows], np.str_)


def read_split(folder: Path, split: Split, *sources: str) -> LabelledRadiographs:
    """Read one split of a folder that holds ``labels.csv`` and the files that it names.

    Args:
        folder: As described in the data README: columns ``path``, ``patient_id``, ``source``, ``split``
            and one per finding with 1, 0 or nothing (unknown); ``view``, ``sex`` and ``age`` if there are.
        split: Which rows to read.
        sources: Of which sources; none means all.

    Raises:
        ValueError: A file cannot be decoded.
    """
    with (folder / "labels.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    if sources:
        rows = [row for row in rows if row["source"] in sources]
    tensors, digests = np.empty((len(rows), SIZE_PX, SIZE_PX), np.uint8), []
    for index, row in enumerate(rows):
        content = (folder / row["path"]).read_bytes()
        digests.append(hashlib.sha256(content).hexdigest())
        try:
            tensors[index] = to_tensor(decode_radiograph(content))
        except PleuraError as error:
            raise ValueError(f"{row['path']} is no readable radiograph: {error}") from error
    return LabelledRadiographs(
        tensors=tensors,
        labels=np.array([[_number(row[f]) for f in FINDINGS] for row in rows], np.float32),
        patients=_column(rows, "patient_id"),
        sources=_column(rows, "source"),
        paths=_column(rows, "path"),
        digests=np.array(digests, np.str_),
        views=_column(rows, "view"),
        sexes=_column(rows, "sex"),
        ages=np.array([_number(row.get("age", "")) for row in rows], np.float32),
    )
