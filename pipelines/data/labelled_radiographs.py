"""The labelled radiographs that a model is trained and evaluated on, as arrays.

They come from a folder with ``labels.csv`` (``read_split``) or from a data set (``load_records``).
"""

import csv
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.data.decode import decode_radiograph
from pipelines.data.label_files import LABELS, InvalidLabels
from pipelines.data.manifest import Record, Split
from pipelines.data.radiograph_cache import ReadFile
from pipelines.data.sources import SplitSource
from pleura.contract import SIZE_PX
from pleura.errors import PleuraError, UnreadableRadiograph
from pleura.findings import FINDINGS
from pleura.radiograph.tensor import to_tensor

_READERS: Final = 4
_REQUIRED_COLUMNS: Final = ("path", "patient_id", "source", "split", *FINDINGS)


class UndecodableFile(UnreadableRadiograph):
    """A file of a data set cannot be decoded; ``sha256`` is the digest of the file."""

    def __init__(self, sha256: str, reason: str) -> None:
        super().__init__(f"radiograph {sha256[:12]}: {reason}")
        self.sha256, self.reason = sha256, reason


def _no_text() -> NDArray[np.str_]:
    return np.empty(0, np.str_)


@dataclass(frozen=True)
class LabelledRadiographs:
    """Radiographs with the labels of their findings.

    ``tensors`` is uint8 (N, 224, 224). ``labels`` is float32 (N, 14): 1.0 present, 0.0 absent, NaN unknown.
    ``patients``, ``sources`` and ``paths`` are str (N,). ``digests`` (SHA-256 of the file), ``views`` and
    ``sexes`` are str (N,), empty if unknown. ``ages`` is float32 (N,) in years, NaN if unknown. An array that
    is not given counts as unknown for every radiograph.
    """

    tensors: NDArray[np.uint8]
    labels: NDArray[np.float32]
    patients: NDArray[np.str_]
    sources: NDArray[np.str_]
    paths: NDArray[np.str_]
    digests: NDArray[np.str_] = field(default_factory=_no_text)
    views: NDArray[np.str_] = field(default_factory=_no_text)
    sexes: NDArray[np.str_] = field(default_factory=_no_text)
    ages: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))

    def __post_init__(self) -> None:
        """Fill the arrays that were not given with unknown values."""
        count = len(self.tensors)
        for name in ("digests", "views", "sexes"):
            if not len(getattr(self, name)):
                object.__setattr__(self, name, np.full(count, ""))
        if not len(self.ages):
            object.__setattr__(self, "ages", np.full(count, np.nan, np.float32))

    def __len__(self) -> int:
        """Count the radiographs."""
        return len(self.tensors)

    def select(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> "LabelledRadiographs":
        """Select some of the radiographs by a mask or by their row numbers."""
        return LabelledRadiographs(**{each.name: getattr(self, each.name)[rows] for each in fields(self)})

    def concatenate(self, other: "LabelledRadiographs") -> "LabelledRadiographs":
        """Append other radiographs to these."""
        return LabelledRadiographs(
            **{
                each.name: np.concatenate([getattr(self, each.name), getattr(other, each.name)])
                for each in fields(self)
            }
        )

    def select_sources(self, *sources: str) -> "LabelledRadiographs":
        """Select the radiographs of some sources."""
        return self.select(np.isin(self.sources, sources))


def read_split(folder: Path, split: Split, *sources: str) -> LabelledRadiographs:
    """Read one split of a folder that holds ``labels.csv`` and the files that it names.

    Args:
        folder: ``labels.csv`` has the columns ``path``, ``patient_id``, ``source``, ``split`` and one column
            per finding with 1, 0 or nothing (unknown). ``view``, ``sex`` and ``age`` are optional.
        split: The rows to read.
        sources: The sources to read; none means all.

    Raises:
        FileNotFoundError: There is no ``labels.csv``, or no file that it names.
        InvalidLabels: ``labels.csv`` lacks a column, or a label or an age is not a number.
        UnreadableRadiograph: A file cannot be decoded; the text names it.
    """
    rows = [row for row in _read_rows(folder) if row["split"] == split]
    if sources:
        rows = [row for row in rows if row["source"] in sources]
    tensors, digests = np.empty((len(rows), SIZE_PX, SIZE_PX), np.uint8), []
    for index, row in enumerate(rows):
        content = (folder / row["path"]).read_bytes()
        digests.append(hashlib.sha256(content).hexdigest())
        try:
            tensors[index] = to_tensor(decode_radiograph(content))
        except PleuraError as error:
            raise UnreadableRadiograph(f"{row['path']} is not a readable radiograph: {error}") from error
    return LabelledRadiographs(
        tensors=tensors,
        # without rows numpy cannot know the number of columns
        labels=np.array([[_parse_number(row, f) for f in FINDINGS] for row in rows], np.float32).reshape(
            len(rows), len(FINDINGS)
        ),
        patients=_column(rows, "patient_id"),
        sources=_column(rows, "source"),
        paths=_column(rows, "path"),
        digests=_texts(digests),
        views=_column(rows, "view"),
        sexes=_column(rows, "sex"),
        ages=np.array([_parse_number(row, "age") for row in rows], np.float32),
    )


def read_folder_sources(folder: Path) -> frozenset[SplitSource]:
    """List the sources of each split of a folder; raises as ``read_split`` does."""
    return frozenset((row["split"], row["source"]) for row in _read_rows(folder))


def _read_rows(folder: Path) -> list[dict[str, str]]:
    try:
        with (folder / LABELS).open(newline="") as file:
            rows = csv.DictReader(file)
            missing = [column for column in _REQUIRED_COLUMNS if column not in (rows.fieldnames or ())]
            if missing:
                raise InvalidLabels(f"{LABELS} line 1: there is no column {missing[0]}")
            return list(rows)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidLabels(f"{LABELS} cannot be read: {error}") from error


def load_records(records: Sequence[Record], read_file: ReadFile) -> LabelledRadiographs:
    """Fetch, decode and prepare the radiographs of a data set as the service does, in their order.

    Args:
        records: For example those of ``Manifest.records_of_split``.
        read_file: Gives a record's file: the ``read`` of a ``RadiographCache`` or of a ``DatasetStore``.

    Raises:
        UndecodableFile: A file is not a radiograph; the text names the file by its digest.
        NoSuchObject, ChangedObject, StoreUnavailable: A file cannot be fetched.
    """
    # Filled one by one: np.stack of a list would hold all tensors in memory twice.
    tensors = np.empty((len(records), SIZE_PX, SIZE_PX), np.uint8)
    with ThreadPoolExecutor(_READERS) as pool:
        for index, tensor in enumerate(pool.map(lambda record: _load_tensor(record, read_file), records)):
            tensors[index] = tensor
    return LabelledRadiographs(
        tensors=tensors,
        labels=label_rows(records),
        patients=_texts(record.patient for record in records),
        sources=_texts(record.source for record in records),
        paths=_texts(record.key for record in records),
        digests=_texts(record.sha256 for record in records),
        views=_texts(record.view for record in records),
        sexes=_texts(record.sex for record in records),
        ages=np.array([np.nan if record.age is None else record.age for record in records], np.float32),
    )


def label_rows(records: Sequence[Record]) -> NDArray[np.float32]:
    """Arrange the labels of records as float32 (N, 14): 1.0 present, 0.0 absent, NaN unknown."""
    # Without records numpy cannot know the number of columns, hence the shape below.
    rows = [[record.labels.get(finding, np.nan) for finding in FINDINGS] for record in records]
    return np.array(rows, np.float32).reshape(len(records), len(FINDINGS))


def _load_tensor(record: Record, read_file: ReadFile) -> NDArray[np.uint8]:
    content = read_file(record)
    try:
        return to_tensor(decode_radiograph(content))
    except PleuraError as error:
        raise UndecodableFile(record.sha256, str(error)) from error


def _parse_number(row: Mapping[str, str], column: str) -> float:
    try:
        return float(row.get(column) or "nan")
    except ValueError:
        # without its cause, which quotes the patient's value
        raise InvalidLabels(f"{LABELS}: {column} of {row['path']} is not a number") from None


def _column(rows: Sequence[dict[str, str]], name: str) -> NDArray[Any]:
    return _texts(row.get(name, "") for row in rows)


def _texts(values: Iterable[str]) -> NDArray[np.str_]:
    return np.array(list(values), np.str_)
