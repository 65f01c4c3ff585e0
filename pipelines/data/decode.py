"""Decode the files of data sets: the formats that the service reads, and WebP."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pleura.errors import UnreadableRadiograph
from pleura.radiograph.reader import read_radiograph

_MAX_PIXELS = 100_000_000


def decode_radiograph(file: bytes) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Decode a DICOM, PNG, JPEG or WebP file as it would be displayed.

    Returns:
        Pixels uint8 or uint16, shape (rows, columns), 0 black, bone brighter than air.

    Raises:
        UnreadableRadiograph: The file has another format, or is damaged.
        RefusedRadiograph: The file is not a single greyscale radiograph.
        TooLarge: The radiograph has more than 100 million pixels.
    """
    if file[:4] == b"RIFF" and file[8:12] == b"WEBP":
        return _decode_webp(file)
    return read_radiograph(file, _MAX_PIXELS).pixels


def _decode_webp(file: bytes) -> NDArray[np.uint8]:
    """Decode a WebP file. The format limits each side to 16,383 pixels."""
    if len(file) < 8 + int.from_bytes(file[4:8], "little"):
        raise UnreadableRadiograph("the WebP file is truncated")
    try:
        pixels = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_GRAYSCALE)
    except cv2.error as error:
        raise UnreadableRadiograph("the WebP file cannot be decoded") from error
    if pixels is None:
        raise UnreadableRadiograph("the WebP file cannot be decoded")
    return pixels.astype(np.uint8, copy=False)
