"""A data set from a folder: radiographs, and a CSV file that says what is known of each."""

import csv
import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from pydantic import ValidationError

from pipelines.data.manifest import SPLITS, Box, DatasetFile, Manifest, NonChestImage, Record, Split
from pleura.findings import FINDINGS

LABELS: Final = "labels.csv"
BOXES: Final = "nih_boxes.csv"
STRANGERS: Final = "dicom/dicom.csv"
_BOX_FRAME_PX: Final = 1024
_BOX_SIDES: Final = {"x1024": "x", "y1024": "y", "w1024": "width", "h1024": "height"}
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
    """Which radiographs of a folder to take: of these sources and splits, so many of each by a seed.

    A draw takes turns over the findings, the rarest first, and the radiographs without any, so that a small
    data set still has something of each; its prevalences are those of no hospital.
    """

    sources: tuple[str, ...] | None = None
    most_per_split: int | None = None
    seed: int = 1
    splits: tuple[Split, ...] = SPLITS

    def __str__(self) -> str:
        """The selection in words."""
        which = "all sources" if self.sources is None else f"sources {', '.join(self.sources)}"
        if self.splits != SPLITS:
            which += f", splits {', '.join(self.splits)}"
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


def select_files(files: list[LabelledFile], selection: Selection) -> list[LabelledFile]:
    """Take what a selection takes.

    Raises:
        InvalidLabels: That is nothing.
    """
    wanted = selection.sources
    kept = [
        each
        for each in files
        if each.record.split in selection.splits and (wanted is None or each.record.source in wanted)
    ]
    if selection.most_per_split is not None:
        most, rng = selection.most_per_split, np.random.default_rng(selection.seed)
        of_split = ([each for each in kept if each.record.split == split] for split in selection.splits)
        kept = [each for files in of_split for each in _in_turn(files, rng)[:most]]
    if not kept:
        raise InvalidLabels(f"{LABELS} has no radiograph of {selection}")
    return kept


def read_boxes(folder: Path) -> dict[Path, tuple[Box, ...]]:
    """Read ``nih_boxes.csv`` of a folder, where there is one: what radiologists drew around findings.

    Args:
        folder: The columns ``path``, as in ``labels.csv`` but for its ending, ``finding``, and ``x1024``,
            ``y1024``, ``w1024``, ``h1024``: pixels, were the radiograph 1024 by 1024. Others are passed over.

    Returns:
        The boxes by path without ending.

    Raises:
        InvalidLabels: A column is missing, or a box is none.
    """
    boxes: dict[Path, tuple[Box, ...]] = {}
    for row, where in _rows(folder, BOXES, ("path", "finding", *_BOX_SIDES)):
        path = (folder.resolve() / row["path"]).with_suffix("")
        try:
            sides = {name: float(row[side]) / _BOX_FRAME_PX for side, name in _BOX_SIDES.items()}
            box = Box(finding=row["finding"], **sides)
        except ValueError:
            raise InvalidLabels(f"{where}: it is no box within the radiograph") from None
        if box.finding not in FINDINGS:
            raise InvalidLabels(f"{where}: {box.finding!r} is no finding")
        boxes[path] = (*boxes.get(path, ()), box)
    return boxes


def read_non_chest_images(folder: Path) -> list[tuple[Path, NonChestImage]]:
    """Read ``dicom/dicom.csv`` of a folder, where there is one, for what is no radiograph of a human chest.

    Args:
        folder: The columns ``file``, beside the CSV file, ``is_human_chest``, of which 0 is taken,
            ``body_part`` and ``licence``. Others are passed over.

    Raises:
        InvalidLabels: A column is missing, or a file.
    """
    strangers = []
    for row, where in _rows(folder, STRANGERS, ("file", "is_human_chest", "body_part", "licence")):
        if row["is_human_chest"] != "0":
            continue
        path = (folder / STRANGERS).parent.resolve() / row["file"]
        if not (path.resolve().is_relative_to(folder.resolve()) and path.is_file()):
            raise InvalidLabels(f"{where}: there is no such file in the folder")
        kind = f"no human chest: {row['body_part'].lower() or 'unnamed part'}"
        stranger = NonChestImage(key=row["file"], sha256="0" * 64, kind=kind, licence=row["licence"].strip())
        strangers.append((path, stranger))
    return strangers


def _rows(folder: Path, name: str, columns: Collection[str]) -> Iterator[tuple[dict[str, str], str]]:
    """The rows of a CSV file that need not be there, each with the words that it is named by."""
    if not (folder / name).exists():
        return
    try:
        with (folder / name).open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, strict=True)
            missing = [column for column in columns if column not in (rows.fieldnames or ())]
            if missing:
                raise InvalidLabels(f"{name} line 1: there is no column {missing[0]}")
            for row in rows:
                where = f"{name} line {rows.line_num}"
                if None in row or None in row.values():
                    raise InvalidLabels(f"{where}: it has another number of cells than line 1")
                yield row, where
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidLabels(f"{name} cannot be read: {error}") from error


class FileStore(Protocol):
    """Keeps files under their digest, as a ``DatasetStore`` does."""

    bucket: str

    def add(self, file: bytes) -> str:
        """Keep a file and give its key, which ends in its digest."""
        ...


class FilesInMemory:
    """Files of a data set that is used here and now, in memory."""

    bucket = "none"

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}

    def add(self, file: bytes) -> str:
        """Keep a file and give its key."""
        key = f"radiographs/{hashlib.sha256(file).hexdigest()}"
        self._files[key] = file
        return key

    def read(self, stored: DatasetFile) -> bytes:
        """Give a file that was kept.

        Raises:
            KeyError: It was not.
        """
        return self._files[stored.key]


def build_from_folder(store: FileStore, name: str, folder: Path, selection: Selection) -> Manifest:
    """Send a folder's radiographs to the store and say what they are; keep the result with ``store.put``.

    Boxes and strangers come along where the folder has them. The same folder gives the same data set, however
    often it is sent: it is dated by ``labels.csv``.

    Raises:
        InvalidLabels: See ``read_labels``, ``selected``, ``read_boxes`` and ``read_strangers``.
        StoreUnavailable: The store does not answer. What was sent is kept, and not sent again.
    """
    labelled = read_labels(folder)
    boxes, strangers = _boxes_of(folder, labelled), read_non_chest_images(folder)
    files = select_files(labelled, selection)
    with ThreadPoolExecutor(_SENDERS) as pool:

        def stored(paths: Iterable[Path]) -> Iterator[dict[str, str]]:
            keys = pool.map(lambda path: store.add(path.read_bytes()), paths)
            return ({"key": key, "sha256": key.rpartition("/")[2]} for key in keys)

        records = [
            each.record.model_copy(update=where | {"boxes": boxes.get(each.path.with_suffix(""), ())})
            for each, where in zip(files, stored(each.path for each in files), strict=True)
        ]
        unlike = [
            stranger.model_copy(update=where)
            for (_, stranger), where in zip(strangers, stored(path for path, _ in strangers), strict=True)
        ]
    changed_at = datetime.fromtimestamp(int((folder / LABELS).stat().st_mtime), UTC)
    return Manifest(
        name=name,
        bucket=store.bucket,
        made_from=(f"a folder with {LABELS}, {selection}",),
        made_at=changed_at,
        records=tuple(sorted(records, key=lambda each: each.key)),
        strangers=tuple(sorted({each.sha256: each for each in unlike}.values(), key=lambda each: each.key)),
    )


def _boxes_of(folder: Path, files: Sequence[LabelledFile]) -> dict[Path, tuple[Box, ...]]:
    boxes = read_boxes(folder)
    unknown = set(boxes) - {each.path.with_suffix("") for each in files}
    if unknown:
        raise InvalidLabels(f"{BOXES}: {len(unknown)} radiographs with boxes are not in {LABELS}")
    return boxes


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
