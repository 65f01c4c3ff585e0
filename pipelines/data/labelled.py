"""From a data set to the arrays that a model is trained on, through a folder that keeps what was fetched."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.data.decode import decode_radiograph
from pipelines.data.manifest import Record, StoredRadiograph
from pipelines.data.radiographs import LabelledRadiographs
from pleura.contract import SIZE_PX
from pleura.errors import PleuraError, UnreadableRadiograph
from pleura.findings import FINDINGS
from pleura.radiograph.tensor import to_tensor

_READERS: Final = 4
Read = Callable[[StoredRadiograph], bytes]


class RadiographCache:
    """A folder that keeps files by their SHA-256, checked whenever they are read.

    Args:
        folder: Made where it is missing; may be shared by processes, and removed at any time.
        read: Where files come from at first, as ``DatasetStore.read``.
    """

    def __init__(self, folder: Path, read: Read) -> None:
        self._folder, self._read = folder, read

    def read(self, stored: StoredRadiograph) -> bytes:
        """Give a radiograph's file, from the folder if it is there unharmed.

        Raises:
            NoSuchObject, ChangedObject, StoreUnavailable: It has to be fetched, and cannot be.
        """
        kept = self._folder / stored.sha256[:2] / stored.sha256
        try:
            file = kept.read_bytes()
        except FileNotFoundError:
            pass
        else:
            if hashlib.sha256(file).hexdigest() == stored.sha256:
                return file
        file = self._read(stored)
        kept.parent.mkdir(parents=True, exist_ok=True)
        _write_whole(kept, file)
        return file


def load_labelled(records: Sequence[Record], read: Read) -> LabelledRadiographs:
    """Fetch, decode and prepare radiographs as the service does, in their order.

    Args:
        records: As of ``Manifest.of_split``.
        read: Gives a record's file: of a ``RadiographCache``, or of the store itself.

    Raises:
        UnreadableRadiograph: A file is no radiograph; it is named by its digest.
        NoSuchObject, ChangedObject, StoreUnavailable: A file cannot be fetched.
    """
    tensors = np.empty((len(records), SIZE_PX, SIZE_PX), np.uint8)
    with ThreadPoolExecutor(_READERS) as pool:
        for index, tensor in enumerate(pool.map(lambda record: _tensor(record, read), records)):
            tensors[index] = tensor
    return LabelledRadiographs(
        tensors=tensors,
        labels=label_rows(records),
        patients=np.array([each.patient for each in records], np.str_),
        sources=np.array([each.source for each in records], np.str_),
        paths=np.array([each.key for each in records], np.str_),
        digests=np.array([each.sha256 for each in records], np.str_),
        views=np.array([each.view for each in records], np.str_),
        sexes=np.array([each.sex for each in records], np.str_),
        ages=np.array([np.nan if each.age is None else each.age for each in records], np.float32),
    )


def label_rows(records: Sequence[Record]) -> NDArray[np.float32]:
    """What is known, float32 (N, 14): 1.0 present, 0.0 absent, NaN unknown."""
    rows = [[each.labels.get(finding, np.nan) for finding in FINDINGS] for each in records]
    return np.array(rows, np.float32).reshape(len(records), len(FINDINGS))


def _tensor(record: Record, read: Read) -> NDArray[np.uint8]:
    file = read(record)
    try:
        return to_tensor(decode_radiograph(file))
    except PleuraError as error:
        raise UnreadableRadiograph(f"radiograph {record.sha256[:12]}: {error}") from error


def _write_whole(path: Path, file: bytes) -> None:
    """Write a file so that nobody ever sees a part of it."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(descriptor, "wb") as unfinished:
            unfinished.write(file)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
