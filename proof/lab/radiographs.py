"""Radiographs of 1024 pixels that nobody has asked about yet: a sample, with noise of its own in each."""

import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np
import pydicom
from numpy.typing import NDArray

from pleura.radiograph.reader import read_radiograph

_SAMPLE = Path(__file__).parents[2] / "samples" / "nih_00000103_000.dcm"
_MOST_PIXELS = 100_000_000
Grey = NDArray[np.float64]


def _greys(count: int, seed: int, size_px: int) -> Iterator[Grey]:
    """Pixels from 0 to 255; so much noise that a PNG file has the 400 KB of the NIH's own."""
    pixels = read_radiograph(_SAMPLE.read_bytes(), _MOST_PIXELS).pixels.astype(np.float32)
    grey = cv2.resize(pixels, (size_px, size_px), interpolation=cv2.INTER_AREA)
    grey = 255 * (grey - grey.min()) / (grey.max() - grey.min())
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield (grey + rng.normal(0, 0.7, grey.shape)).clip(0, 255)


def _png(grey: Grey) -> bytes:
    return cv2.imencode(".png", grey.astype(np.uint8))[1].tobytes()


def _jpeg(grey: Grey) -> bytes:
    return cv2.imencode(".jpg", grey.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def _dicom(stored: NDArray[np.uint8] | NDArray[np.uint16], bits_stored: int) -> bytes:
    """The sample with other pixels, not compressed."""
    dataset = pydicom.dcmread(_SAMPLE)
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated, dataset.BitsStored = 8 * stored.itemsize, bits_stored
    dataset.HighBit, dataset.PhotometricInterpretation = bits_stored - 1, "MONOCHROME2"
    dataset.WindowCenter, dataset.WindowWidth = 2 ** (bits_stored - 1), 2**bits_stored
    dataset.PresentationLUTShape, dataset.PixelData = "IDENTITY", stored.tobytes()
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


FORMS: Final[Mapping[str, Callable[[Grey], bytes]]] = MappingProxyType(
    {
        "PNG": _png,
        "JPEG": _jpeg,
        "DICOM 8 bit": lambda grey: _dicom(grey.astype(np.uint8), 8),
        "DICOM 16 bit": lambda grey: _dicom((16 * grey).astype(np.uint16), 12),
    }
)
"""The forms in which a radiograph comes."""


def make_fresh_radiographs(count: int, seed: int, size_px: int = 1024, form: str = "PNG") -> list[bytes]:
    """Make files of ``size_px`` squared, each with another content and the same difficulty."""
    return [FORMS[form](grey) for grey in _greys(count, seed, size_px)]
