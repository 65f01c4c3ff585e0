"""Pictures that show no chest film, in a folder with ``images.csv``: an input check learns to tell them."""

import csv
from collections import defaultdict
from pathlib import Path
from typing import Final

import numpy as np
import structlog
from numpy.typing import NDArray

from pipelines.data.decode import decode_radiograph
from pipelines.data.label_files import InvalidLabels
from pipelines.data.manifest import Split
from pleura.errors import PleuraError, RefusedRadiograph, UnreadableRadiograph
from pleura.radiograph.tensor import to_tensor

log = structlog.get_logger()
IMAGES: Final = "images.csv"
_COLUMNS: Final = ("path", "kind", "split", "licence")


def read_not_chest(folder: Path, split: Split) -> dict[str, NDArray[np.uint8]]:
    """Read the pictures of one split, by kind.

    Args:
        folder: ``images.csv`` has the columns ``path``, ``kind``, ``split`` (train, val, test) and
            ``licence``. Other columns are ignored.
        split: The rows to read.

    Returns:
        uint8 (N, 224, 224) of each kind. A picture that the service refuses in any case, such as a blank one,
        is left out.

    Raises:
        FileNotFoundError: There is no ``images.csv``, or no file that it names.
        InvalidLabels: ``images.csv`` lacks a column.
        UnreadableRadiograph: A file cannot be decoded; the text names it.
    """
    found: dict[str, list[NDArray[np.uint8]]] = defaultdict(list)
    with (folder / IMAGES).open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        missing = [column for column in _COLUMNS if column not in (rows.fieldnames or ())]
        if missing:
            raise InvalidLabels(f"{IMAGES} line 1: there is no column {missing[0]}")
        for row in rows:
            if row["split"] != split:
                continue
            try:
                found[row["kind"]].append(_read_picture(folder, row["path"]))
            except RefusedRadiograph as error:  # the service refuses it too, before the model sees it
                log.info("picture_left_out", reason=error.reason)
    return {kind: np.stack(tensors) for kind, tensors in sorted(found.items())}


def _read_picture(folder: Path, path: str) -> NDArray[np.uint8]:
    content = (folder / path).read_bytes()
    try:
        return to_tensor(decode_radiograph(content))
    except RefusedRadiograph:
        raise
    except PleuraError as error:
        raise UnreadableRadiograph(f"{path} is not a readable picture: {error}") from error
