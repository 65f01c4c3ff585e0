"""What a case of the tables of hostile files is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pleura.errors import PleuraError, RefusedRadiograph, TooLarge, UnreadableRadiograph

DAMAGED = (UnreadableRadiograph,)
REFUSED = (RefusedRadiograph,)
TOO_LARGE = (TooLarge,)
ANY_ERROR = (UnreadableRadiograph, RefusedRadiograph, TooLarge)


@dataclass(frozen=True)
class HostileFile:
    """A file, and what must come of it: errors of which kinds, or this picture, upright and not inverted."""

    file: Callable[..., bytes]
    errors: tuple[type[PleuraError], ...] = ()
    picture: NDArray[Any] | None = None
    likeness: float = 0.98


def shows(file: Callable[..., bytes], picture: NDArray[Any], likeness: float = 0.98) -> HostileFile:
    """The file is answered, with this picture."""
    return HostileFile(file, (), picture, likeness)


def fails(file: Callable[..., bytes], *errors: type[PleuraError]) -> HostileFile:
    """The file is an error of one of these kinds."""
    return HostileFile(file, errors)


def shows_or_fails(file: Callable[..., bytes], picture: NDArray[Any]) -> HostileFile:
    """The file may be answered, but then with this picture and nothing else."""
    return HostileFile(file, ANY_ERROR, picture, 0.9)


def rotated(orientation: int, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture as EXIF says that a stored one of this orientation is shown (TIFF 6.0, tag 274)."""
    ways: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
        1: lambda p: p,
        2: np.fliplr,
        3: lambda p: np.rot90(p, 2),
        4: np.flipud,
        5: np.transpose,
        6: lambda p: np.rot90(p, -1),
        7: lambda p: np.rot90(p, 2).T,
        8: np.rot90,
    }
    return np.ascontiguousarray(ways[orientation](picture))
