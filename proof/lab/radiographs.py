"""Make radiographs that no cache knows: a sample with different noise in each."""

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
_MAX_PIXELS = 100_000_000
Grey = NDArray[np.float64]


def _make_greys(count: int, seed: int, size_px: int) -> Iterator[Grey]:
    """Make pixels from 0 to 255. The noise makes a PNG file as large as those of the NIH, 400 KB."""
    pixels = read_radiograph(_SAMPLE.read_bytes(), _MAX_PIXELS).pixels.astype(np.float32)
    grey = cv2.resize(pixels, (size_px, size_px), interpolation=cv2.INTER_AREA)
    grey = 255 * (grey - grey.min()) / (grey.max() - grey.min())
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield (grey + rng.normal(0, 0.7, grey.shape)).clip(0, 255)


def _encode_png(grey: Grey) -> bytes:
    return cv2.imencode(".png", grey.astype(np.uint8))[1].tobytes()


def _encode_jpeg(grey: Grey) -> bytes:
    # A usual quality; at 100 the files are several times as large.
    return cv2.imencode(".jpg", grey.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def _make_dicom(stored: NDArray[np.uint8] | NDArray[np.uint16], bits_stored: int) -> bytes:
    """Make an uncompressed copy of the sample with other pixels."""
    dataset = pydicom.dcmread(_SAMPLE)
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated, dataset.BitsStored = 8 * stored.itemsize, bits_stored
    dataset.HighBit, dataset.PhotometricInterpretation = bits_stored - 1, "MONOCHROME2"
    # The sample's own window is for other values, and would clip these pixels.
    dataset.WindowCenter, dataset.WindowWidth = 2 ** (bits_stored - 1), 2**bits_stored
    dataset.PresentationLUTShape, dataset.PixelData = "IDENTITY", stored.tobytes()
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


FORMS: Final[Mapping[str, Callable[[Grey], bytes]]] = MappingProxyType(
    {
        "PNG": _encode_png,
        "JPEG": _encode_jpeg,
        "DICOM 8 bit": lambda grey: _make_dicom(grey.astype(np.uint8), 8),
        "DICOM 16 bit": lambda grey: _make_dicom((16 * grey).astype(np.uint16), 12),
    }
)
"""Encoders by the name of the file form."""


def make_fresh_radiographs(count: int, seed: int, size_px: int = 1024, form: str = "PNG") -> list[bytes]:
    """Make ``count`` files of ``size_px`` squared. Their contents differ, but decode equally fast."""
    return [FORMS[form](grey) for grey in _make_greys(count, seed, size_px)]
