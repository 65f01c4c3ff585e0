"""The sample radiographs of the repository."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pleura

_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".dcm")
DEFAULT_FOLDER: Final = Path(pleura.__file__).parents[1] / "samples"


def find_samples(folder: Path = DEFAULT_FOLDER) -> Sequence[Path]:
    """Return the radiographs of a folder, sorted by name; none where the folder does not exist."""
    if not folder.is_dir():
        return ()
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)


def choose_sample(files: Sequence[Path]) -> Path | None:
    """Return the radiograph to show first: a PNG, because everybody can open it."""
    return next((path for path in files if path.suffix == ".png"), files[0] if files else None)
