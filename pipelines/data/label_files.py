"""The CSV files of a folder of radiographs: labels, boxes, and images that are not chest radiographs."""

import csv
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from pipelines.data.manifest import Box, NonChestImage, Record
from pleura.findings import FINDINGS

LABELS: Final = "labels.csv"
BOXES: Final = "nih_boxes.csv"
NON_CHEST_IMAGES: Final = "dicom/dicom.csv"
NO_FINDING: Final = "No_Finding"
_BOX_FRAME_PX: Final = 1024
_BOX_SIDES: Final = {"x1024": "x", "y1024": "y", "w1024": "width", "h1024": "height"}
_COLUMNS: Final = ("path", "source", "patient_id", "view", "licence", *FINDINGS, "split")
_LABEL_VALUES: Final = ("1", "0", "")
_UNKNOWN_DIGEST: Final = "0" * 64


class InvalidLabels(Exception):
    """A line of a CSV file is invalid. The text names the line, and no patient."""


@dataclass(frozen=True)
class LabelledFile:
    """One line of ``labels.csv``: the radiograph's file, and its record without key and digest."""

    path: Path
    record: Record


def read_labels(folder: Path) -> list[LabelledFile]:
    """Read ``labels.csv`` of a folder.

    Args:
        folder: The file has the columns ``path``, ``source``, ``patient_id`` (a pseudonym), ``view``,
            ``licence``, ``split`` and one per finding with 1, 0 or nothing (unknown). ``sex`` (M, F or
            nothing), ``age`` (years) and ``No_Finding`` are optional. Other columns are ignored.

    Raises:
        InvalidLabels: A column or a file is missing, a value is not allowed, a path leaves the folder or
            stands twice, or a radiograph has both a finding and ``No_Finding``.
    """
    if not (folder / LABELS).exists():
        raise InvalidLabels(f"{LABELS} cannot be read: the file does not exist")
    inside, line_of_path, files = folder.resolve(), dict[Path, str](), []
    for row, line in _read_rows(folder, LABELS, _COLUMNS):
        # Resolved, because a link in the folder may lead out of it.
        path = (inside / row["path"]).resolve()
        if not path.is_relative_to(inside):
            raise InvalidLabels(f"{line}: the path leaves the folder")
        if not path.is_file():
            raise InvalidLabels(f"{line}: there is no such file")
        if path in line_of_path:
            raise InvalidLabels(f"{line}: the file stands in {line_of_path[path]} too")
        line_of_path[path] = line
        files.append(LabelledFile(path, _parse_record(row, line)))
    return files


def read_boxes(folder: Path) -> dict[Path, tuple[Box, ...]]:
    """Read the boxes that radiologists drew around findings: ``nih_boxes.csv``, if the folder has it.

    Args:
        folder: The file has the columns ``path``, as in ``labels.csv`` but with any ending, ``finding``, and
            ``x1024``, ``y1024``, ``w1024``, ``h1024``: pixels of a radiograph of 1024 by 1024. Other columns
            are ignored.

    Returns:
        The boxes by path without ending.

    Raises:
        InvalidLabels: A column is missing, or a box or a finding is invalid.
    """
    boxes: dict[Path, tuple[Box, ...]] = {}
    for row, line in _read_rows(folder, BOXES, ("path", "finding", *_BOX_SIDES)):
        path = (folder.resolve() / row["path"]).with_suffix("")
        try:
            sides = {name: float(row[column]) / _BOX_FRAME_PX for column, name in _BOX_SIDES.items()}
            box = Box(finding=row["finding"], **sides)
        except ValueError:
            raise InvalidLabels(f"{line}: the box does not lie within the radiograph") from None
        if box.finding not in FINDINGS:
            raise InvalidLabels(f"{line}: {box.finding!r} is not a finding")
        boxes[path] = (*boxes.get(path, ()), box)
    return boxes


def read_non_chest_images(folder: Path) -> list[tuple[Path, NonChestImage]]:
    """Read the images that do not show a human chest: ``dicom/dicom.csv``, if the folder has it.

    Args:
        folder: The CSV file has the columns ``file``, relative to itself, ``is_human_chest``, ``body_part``
            and ``licence``. Rows with ``is_human_chest`` 0 are taken. Other columns are ignored.

    Raises:
        InvalidLabels: A column or a file is missing.
    """
    images = []
    for row, line in _read_rows(folder, NON_CHEST_IMAGES, ("file", "is_human_chest", "body_part", "licence")):
        if row["is_human_chest"] != "0":
            continue
        path = (folder / NON_CHEST_IMAGES).parent.resolve() / row["file"]
        if not (path.resolve().is_relative_to(folder.resolve()) and path.is_file()):
            raise InvalidLabels(f"{line}: there is no such file in the folder")
        kind, licence = f"no human chest: {row['body_part'].lower() or 'unnamed part'}", row["licence"]
        image = NonChestImage(key=row["file"], sha256=_UNKNOWN_DIGEST, kind=kind, licence=licence.strip())
        images.append((path, image))
    return images


def _read_rows(folder: Path, name: str, columns: Collection[str]) -> Iterator[tuple[dict[str, str], str]]:
    """Read the rows of a CSV file, each with the words that name its line; nothing if there is no file."""
    if not (folder / name).exists():
        return
    try:
        # Excel begins a file with a byte order mark, which would become a part of the first column's name.
        with (folder / name).open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, strict=True)
            missing = [column for column in columns if column not in (rows.fieldnames or ())]
            if missing:
                raise InvalidLabels(f"{name} line 1: there is no column {missing[0]}")
            for row in rows:
                line = f"{name} line {rows.line_num}"
                if None in row or None in row.values():
                    raise InvalidLabels(f"{line}: the number of cells differs from line 1")
                yield row, line
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidLabels(f"{name} cannot be read: {error}") from error


def _parse_record(row: Mapping[str, str], line: str) -> Record:
    labels = _parse_labels(row, line)
    if row.get(NO_FINDING) == "1" and True in labels.values():
        raise InvalidLabels(f"{line}: it has a finding, and {NO_FINDING}")
    try:
        return Record.model_validate(
            {
                "key": row["path"],
                "sha256": _UNKNOWN_DIGEST,
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
        # Without its cause, which quotes the line with the patient.
        raise InvalidLabels(f"{line}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _parse_labels(row: Mapping[str, str], line: str) -> dict[str, bool]:
    for finding in (*FINDINGS, NO_FINDING):
        if row.get(finding, "") not in _LABEL_VALUES:
            raise InvalidLabels(f"{line}: {finding} is neither 1, 0 nor empty")
    return {finding: row[finding] == "1" for finding in FINDINGS if row[finding]}
