"""A data set from a folder: radiographs, and a CSV file that says what is known of each."""

import csv
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from pydantic import ValidationError

from pipelines.data.manifest import SPLITS, Manifest, Record
from pipelines.data.store import DatasetStore
from pleura.findings import FINDINGS

LABELS: Final = "labels.csv"
_NO_FINDING: Final = "No_Finding"
_REQUIRED: Final = ("path", "source", "patient_id", "view", "licence", *FINDINGS, "split")
_KNOWN: Final = {"1": True, "0": False, "": None}
_SENDERS: Final = 8


class InvalidLabels(Exception):
    """A line of the CSV file says what cannot be; the text names the line, and no patient."""


@dataclass(frozen=True)
class LabelledFile:
    """One line of the CSV file: where the radiograph is, and all of its record but its content."""

    path: Path
    record: Record


@dataclass(frozen=True)
class Selection:
    """Which radiographs of a folder to take: of these sources, and so many of each split, drawn by a seed.

    A draw takes turns over the findings, the rarest first, and the radiographs without any, so that a small
    data set still has something of each; its prevalences are those of no hospital.
    """

    sources: tuple[str, ...] | None = None
    most_per_split: int | None = None
    seed: int = 1

    def __str__(self) -> str:
        """The selection in words."""
        which = "all sources" if self.sources is None else f"sources {', '.join(self.sources)}"
        if self.most_per_split is None:
            return which
        return f"{which}, at most {self.most_per_split} of each split (seed {self.seed})"


def read_labels(folder: Path) -> list[LabelledFile]:
    """Read ``labels.csv`` of a folder.

    Args:
        folder: The columns ``path``, ``source``, ``patient_id`` (a pseudonym), ``view``, ``licence``, one per
            finding with 1, 0 or nothing (unknown), ``split``, and optionally ``sex`` (M, F or nothing),
            ``age`` (years) and ``No_Finding``. Others are passed over.

    Raises:
        InvalidLabels: A column is missing, a value is unknown, a file is missing, outside of the folder or
            named twice, or a radiograph without finding has one.
    """
    try:
        with (folder / LABELS).open(newline="", encoding="utf-8-sig") as file:
            return list(_files(csv.DictReader(file, strict=True), folder))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidLabels(f"{LABELS} cannot be read: {error}") from error


def selected(files: list[LabelledFile], selection: Selection) -> list[LabelledFile]:
    """Take what a selection takes.

    Raises:
        InvalidLabels: That is nothing.
    """
    wanted = selection.sources
    kept = [each for each in files if wanted is None or each.record.source in wanted]
    if selection.most_per_split is not None:
        most, rng = selection.most_per_split, np.random.default_rng(selection.seed)
        of_split = ([each for each in kept if each.record.split == split] for split in SPLITS)
        kept = [each for files in of_split for each in _in_turn(files, rng)[:most]]
    if not kept:
        raise InvalidLabels(f"{LABELS} has no radiograph of {selection}")
    return kept


def from_folder(store: DatasetStore, name: str, folder: Path, selection: Selection) -> Manifest:
    """Send a folder's radiographs to the store and say what they are; keep the result with ``store.put``.

    The same folder gives the same data set, however often it is sent: it is dated by its CSV file.

    Raises:
        InvalidLabels: See ``read_labels`` and ``selected``.
        StoreFailed: The store does not answer. What was sent is kept, and not sent again.
    """
    files = selected(read_labels(folder), selection)
    with ThreadPoolExecutor(_SENDERS) as pool:
        keys = pool.map(lambda each: store.add(each.path.read_bytes()), files)
        records = [
            each.record.model_copy(update={"key": key, "sha256": key.rpartition("/")[2]})
            for each, key in zip(files, keys, strict=True)
        ]
    changed_at = datetime.fromtimestamp(int((folder / LABELS).stat().st_mtime), UTC)
    return Manifest(
        name=name,
        bucket=store.bucket,
        made_from=(f"a folder with {LABELS}, {selection}",),
        made_at=changed_at,
        records=tuple(sorted(records, key=lambda each: each.key)),
    )


def _files(rows: "csv.DictReader[str]", folder: Path) -> Iterator[LabelledFile]:
    missing = [column for column in _REQUIRED if column not in (rows.fieldnames or ())]
    if missing:
        raise InvalidLabels(f"{LABELS} line 1: there is no column {missing[0]}")
    inside, seen = folder.resolve(), dict[Path, int]()
    for row in rows:
        where = f"{LABELS} line {rows.line_num}"
        if None in row or None in row.values():
            raise InvalidLabels(f"{where}: it has another number of cells than line 1")
        path = (inside / row["path"]).resolve()
        if not path.is_relative_to(inside):
            raise InvalidLabels(f"{where}: the path leaves the folder")
        if not path.is_file():
            raise InvalidLabels(f"{where}: there is no such file")
        if path in seen:
            raise InvalidLabels(f"{where}: the file is that of line {seen[path]}")
        seen[path] = rows.line_num
        yield LabelledFile(path, _record(row, where))


def _record(row: Mapping[str, str], where: str) -> Record:
    labels = _labels(row, where)
    if row.get(_NO_FINDING) == "1" and True in labels.values():
        raise InvalidLabels(f"{where}: it has a finding, and {_NO_FINDING}")
    try:
        return Record.model_validate(
            {
                "key": row["path"],
                "sha256": "0" * 64,
                "patient": row["patient_id"],
                "source": row["source"],
                "licence": row["licence"].strip(),
                "split": row["split"],
                "labels": labels,
                "view": row["view"],
                "sex": row.get("sex", ""),
                "age": row.get("age") or None,
            }
        )
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise InvalidLabels(f"{where}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _labels(row: Mapping[str, str], where: str) -> dict[str, bool]:
    for finding in (*FINDINGS, _NO_FINDING):
        if row.get(finding, "") not in _KNOWN:
            raise InvalidLabels(f"{where}: {finding} is neither 1, 0 nor empty")
    return {finding: row[finding] == "1" for finding in FINDINGS if row[finding]}


def _in_turn(files: list[LabelledFile], rng: np.random.Generator) -> list[LabelledFile]:
    """All files, shuffled, and so ordered that each kind has its turn."""
    shuffled = [files[place] for place in rng.permutation(len(files))]
    counts = {f: sum(each.record.labels.get(f, False) for each in files) for f in FINDINGS}
    queues: dict[str, list[LabelledFile]] = {f: [] for f in sorted(FINDINGS, key=counts.__getitem__)}
    queues[_NO_FINDING] = []
    for each in shuffled:
        kind = next((f for f in queues if each.record.labels.get(f)), _NO_FINDING)
        queues[kind].append(each)
    rounds = max(map(len, queues.values()), default=0)
    return [queue[turn] for turn in range(rounds) for queue in queues.values() if turn < len(queue)]
