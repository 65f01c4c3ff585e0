"""A case in the tables of hostile files."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pleura.errors import PleuraError, RefusedRadiograph, TooLarge, UnreadableRadiograph

DAMAGED = (UnreadableRadiograph,)
REFUSED = (RefusedRadiograph,)
TOO_LARGE = (TooLarge,)
# Some files have two faults, and the refusal names the fault that is noticed first.
ANY_ERROR = (UnreadableRadiograph, RefusedRadiograph, TooLarge)


@dataclass(frozen=True)
class HostileFile:
    """A file and its allowed outcomes: these kinds of errors, or this picture, upright and not inverted."""

    file: Callable[..., bytes]
    errors: tuple[type[PleuraError], ...] = ()
    picture: NDArray[Any] | None = None
    likeness: float = 0.98


def expect_picture(file: Callable[..., bytes], picture: NDArray[Any], likeness: float = 0.98) -> HostileFile:
    """Expect that the file is read and shows this picture."""
    return HostileFile(file, (), picture, likeness)


def expect_errors(file: Callable[..., bytes], *errors: type[PleuraError]) -> HostileFile:
    """Expect that reading the file raises an error of one of these kinds."""
    return HostileFile(file, errors)


def expect_either(file: Callable[..., bytes], picture: NDArray[Any]) -> HostileFile:
    """Expect an error, or this picture and no other."""
    # Lower: such a file may have lost a part of its picture.
    return HostileFile(file, ANY_ERROR, picture, 0.9)


def rotate(orientation: int, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Rotate a stored picture as its EXIF orientation requires (TIFF 6.0, tag 274)."""
    rotations: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
        1: lambda p: p,
        2: np.fliplr,
        3: lambda p: np.rot90(p, 2),
        4: np.flipud,
        5: np.transpose,
        6: lambda p: np.rot90(p, -1),
        7: lambda p: np.rot90(p, 2).T,
        8: np.rot90,
    }
    return np.ascontiguousarray(rotations[orientation](picture))
