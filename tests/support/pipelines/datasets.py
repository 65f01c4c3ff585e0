"""Small data sets for tests, and the stores for them."""

import csv
import hashlib
import itertools
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np

from pipelines.data.manifest import Manifest, Record
from pipelines.data.store import DatasetStore
from pleura.findings import FINDINGS
from pleura.local.dependencies import Server
from pleura.object_bucket import connect

ACCESS_KEY, SECRET_KEY = "test-access", "test-secret-key"
COLUMNS = ("path", "source", "patient_id", "view", "licence", *FINDINGS, "No_Finding", "split", "sex", "age")
_SPLITS = ("train", "val", "test")


def picture(seed: int, side: int = 64) -> bytes:
    """Make a PNG that can be read as a radiograph; each seed gives another."""
    coarse = np.random.default_rng(seed).integers(0, 255, (8, 8)).astype(np.uint8)
    return bytes(cv2.imencode(".png", cv2.resize(coarse, (side, side)))[1])


def store_of(server: Server) -> DatasetStore:
    """Make a store in a new bucket."""
    store = DatasetStore(connect(server.url, ACCESS_KEY, SECRET_KEY), f"data-{uuid.uuid4().hex[:12]}")
    store.prepare()
    return store


def record_of(file: bytes, split: str = "train", **changes: object) -> Record:
    """Make the record of a file with all its labels, and some changes."""
    digest = hashlib.sha256(file).hexdigest()
    return Record.model_validate(
        {
            "key": f"radiographs/{digest}",
            "sha256": digest,
            "patient": f"patient of {digest}",
            "source": "ours",
            "licence": "CC0",
            "split": split,
            "labels": {finding: int(digest[i], 16) < 8 for i, finding in enumerate(FINDINGS)},
            "view": "PA",
            "sex": "F",
            "age": 40,
        }
        | changes
    )


def manifest_of(*records: Record, name: str = "ours", bucket: str = "data") -> Manifest:
    """Make a data set of some records."""
    made_at = datetime(2026, 11, 25, tzinfo=UTC)
    return Manifest(name=name, bucket=bucket, made_from=("a test",), made_at=made_at, records=records)


def row_of(path: str, split: str = "train", **changes: str) -> dict[str, str]:
    """Make a line of a label file: a new patient, the first finding present, the others absent."""
    row = {
        "path": path,
        "source": "ours",
        "patient_id": f"patient of {path}",
        "view": "PA",
        "licence": "CC0",
        "split": split,
        "sex": "F",
        "age": "40",
    }
    return row | {finding: str(int(finding == FINDINGS[0])) for finding in FINDINGS} | changes


def write_folder(folder: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    """Write a folder with a label file, and a picture under each of its paths."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, row in enumerate(rows):
        (folder / row["path"]).write_bytes(picture(seed))
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return folder


def some_rows(count: int) -> list[dict[str, str]]:
    """Make lines for some radiographs, spread evenly over the splits."""
    splits = itertools.cycle(_SPLITS)
    return [row_of(f"{number}.png", next(splits)) for number in range(count)]
