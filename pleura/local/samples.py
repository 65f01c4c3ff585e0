"""The sample radiographs of the repository."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pleura

_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".dcm")
DEFAULT_FOLDER: Final = Path(pleura.__file__).parents[1] / "samples"


def find_samples(folder: Path = DEFAULT_FOLDER) -> Sequence[Path]:
    """The radiographs of a folder, in the order of their names; none where there is no such folder."""
    if not folder.is_dir():
        return ()
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)


def choose_sample(files: Sequence[Path]) -> Path | None:
    """The radiograph to show first: a PNG, which anybody can open."""
    return next((path for path in files if path.suffix == ".png"), files[0] if files else None)
