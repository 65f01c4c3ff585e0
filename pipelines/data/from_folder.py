"""Build a data set from a folder of radiographs and its CSV files."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from pipelines.data.label_files import (
    BOXES,
    LABELS,
    NO_FINDING,
    InvalidLabels,
    LabelledFile,
    read_boxes,
    read_labels,
    read_non_chest_images,
)
from pipelines.data.manifest import SPLITS, Box, DatasetFile, Manifest, Split
from pleura.findings import FINDINGS

_UPLOADS_AT_ONCE: Final = 8


@dataclass(frozen=True)
class Selection:
    """The radiographs of a folder to take: some sources and splits, and at most so many of each split.

    A limited selection takes turns over the findings, the rarest first, and the radiographs without a
    finding. So a small data set has something of each, but its prevalences are those of no hospital.
    """

    sources: tuple[str, ...] | None = None
    most_per_split: int | None = None
    seed: int = 1
    splits: tuple[Split, ...] = SPLITS

    def __str__(self) -> str:
        """Describe the selection; the text is part of a data set's digest."""
        # Stored manifests hold this text: another wording would give the same folder another digest.
        text = "all sources" if self.sources is None else f"sources {', '.join(self.sources)}"
        if self.splits != SPLITS:
            text += f", splits {', '.join(self.splits)}"
        if self.most_per_split is None:
            return text
        return f"{text}, at most {self.most_per_split} of each split (seed {self.seed})"


class FileStore(Protocol):
    """Stores files under their digest, as a ``DatasetStore`` does."""

    bucket: str

    def add(self, file: bytes) -> str:
        """Store a file and return its key, which ends in its digest."""
        ...


class FilesInMemory:
    """The files of a data set that is used in this process only."""

    bucket = "none"

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}

    def add(self, file: bytes) -> str:
        """Store a file and return its key."""
        key = f"radiographs/{hashlib.sha256(file).hexdigest()}"
        self._files[key] = file
        return key

    def read(self, stored: DatasetFile) -> bytes:
        """Return a stored file.

        Raises:
            KeyError: The file was not stored.
        """
        return self._files[stored.key]


def select_files(files: list[LabelledFile], selection: Selection) -> list[LabelledFile]:
    """Apply a selection.

    Raises:
        InvalidLabels: No file is left.
    """
    sources = selection.sources
    selected = [
        file
        for file in files
        if file.record.split in selection.splits and (sources is None or file.record.source in sources)
    ]
    if selection.most_per_split is not None:
        most, rng = selection.most_per_split, np.random.default_rng(selection.seed)
        by_split = ([file for file in selected if file.record.split == split] for split in selection.splits)
        selected = [file for of_split in by_split for file in _take_turns(of_split, rng)[:most]]
    if not selected:
        raise InvalidLabels(f"{LABELS} has no radiograph of {selection}")
    return selected


def build_from_folder(store: FileStore, name: str, folder: Path, selection: Selection) -> Manifest:
    """Send the radiographs of a folder to the store, and describe them; ``store.put`` keeps the result.

    Boxes and images that are not of chests are included if the folder has them. The data set has the date of
    ``labels.csv``, so the same folder always gives the same data set.

    Raises:
        InvalidLabels: See ``read_labels``, ``select_files``, ``read_boxes`` and ``read_non_chest_images``.
        StoreUnavailable: The store does not answer. Files that were sent stay, and are not sent again.
    """
    labelled = read_labels(folder)
    boxes, images = _read_known_boxes(folder, labelled), read_non_chest_images(folder)
    selected = select_files(labelled, selection)
    with ThreadPoolExecutor(_UPLOADS_AT_ONCE) as pool:

        def store_all(paths: Iterable[Path]) -> Iterator[dict[str, str]]:
            keys = pool.map(lambda path: store.add(path.read_bytes()), paths)
            return ({"key": key, "sha256": key.rpartition("/")[2]} for key in keys)

        records = [
            file.record.model_copy(update=stored | {"boxes": boxes.get(file.path.with_suffix(""), ())})
            for file, stored in zip(selected, store_all(file.path for file in selected), strict=True)
        ]
        stored_images = [
            image.model_copy(update=stored)
            for (_, image), stored in zip(images, store_all(path for path, _ in images), strict=True)
        ]
    changed_at = datetime.fromtimestamp(int((folder / LABELS).stat().st_mtime), UTC)
    # The same image may lie in the folder under two names.
    by_digest = {image.sha256: image for image in stored_images}
    return Manifest(
        name=name,
        bucket=store.bucket,
        made_from=(f"a folder with {LABELS}, {selection}",),
        made_at=changed_at,
        records=tuple(sorted(records, key=lambda record: record.key)),
        strangers=tuple(sorted(by_digest.values(), key=lambda image: image.key)),
    )


def _read_known_boxes(folder: Path, files: Sequence[LabelledFile]) -> dict[Path, tuple[Box, ...]]:
    boxes = read_boxes(folder)
    unknown = set(boxes) - {file.path.with_suffix("") for file in files}
    if unknown:
        raise InvalidLabels(f"{BOXES}: {len(unknown)} radiographs with boxes are not in {LABELS}")
    return boxes


def _take_turns(files: list[LabelledFile], rng: np.random.Generator) -> list[LabelledFile]:
    """Shuffle the files, and order them so that the kinds of radiographs take turns."""
    shuffled = [files[place] for place in rng.permutation(len(files))]
    counts = {f: sum(file.record.labels.get(f, False) for file in files) for f in FINDINGS}
    queues: dict[str, list[LabelledFile]] = {f: [] for f in sorted(FINDINGS, key=counts.__getitem__)}
    queues[NO_FINDING] = []
    for file in shuffled:
        kind = next((f for f in queues if file.record.labels.get(f)), NO_FINDING)
        queues[kind].append(file)
    rounds = max(map(len, queues.values()), default=0)
    return [queue[turn] for turn in range(rounds) for queue in queues.values() if turn < len(queue)]
