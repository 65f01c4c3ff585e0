"""One test picture in many file formats, and a measure of how alike two pictures are."""

import io
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames

from pleura.radiograph.tensor import to_tensor
from proof.lab.files import encode_dicom, encode_jpeg, make_dicom

_SAMPLE: Final = Path(__file__).parents[2] / "samples" / "nih_00000362_001.png"
NATIVE: Final = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)
COMPRESSED: Final = (uid.RLELossless, uid.JPEG2000Lossless)


def make_picture(rows: int = 44, columns: int = 36) -> NDArray[np.uint8]:
    """Make a small chest radiograph. It has no symmetry, and differs much from its negative."""
    grey = cv2.imread(str(_SAMPLE), cv2.IMREAD_GRAYSCALE)
    assert grey is not None
    return np.asarray(cv2.resize(grey, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)


def make_deep_picture() -> NDArray[np.uint16]:
    """Make the same picture with 12 bits."""
    return make_picture().astype(np.uint16) * 16


def make_picture_tensor(pixels: NDArray[Any] | None = None) -> NDArray[np.uint8]:
    """Make the tensor of a picture."""
    return to_tensor(make_picture() if pixels is None else pixels)


def correlate(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Correlate two pictures: 1 is the same, -1 is the negative. It is 0 if one has no contrast."""
    a, b = (picture.astype(np.float64) - picture.mean() for picture in (first, second))
    norm = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / norm if norm else 0.0


def make_lut(entries: Any, first: int, bits: int = 16) -> list[Dataset]:
    """Make a LUT sequence of one item."""
    item = Dataset()
    # A table of 65,536 entries has the number 0 (PS3.3 C.11.1.1).
    item.LUTDescriptor = [len(entries) % 65_536, first, bits]
    item.LUTData = [int(entry) for entry in entries]
    # The standard allows US and SS, and pydicom cannot choose without the sign of the pixels.
    for keyword in ("LUTDescriptor", "LUTData"):
        item[keyword].VR = "US"
    return [item]


def compress_dicom(file: bytes, syntax: str) -> bytes:
    """Compress a DICOM file with another transfer syntax."""
    dataset = pydicom.dcmread(io.BytesIO(file))
    dataset.compress(uid.UID(syntax))
    return encode_dicom(dataset, syntax)


def read_stream(file: bytes) -> bytes:
    """Read the compressed stream of a DICOM file with one frame."""
    return next(generate_frames(pydicom.dcmread(io.BytesIO(file)).PixelData, number_of_frames=1))


def encapsulate_stream(stream: bytes, syntax: str, pixels: NDArray[Any], **elements: Any) -> bytes:
    """Make a DICOM file of these pixels, with ``stream`` as its pixel data."""
    return encapsulate_pixel_data(encapsulate([stream]), syntax, pixels, **elements)


def encapsulate_pixel_data(pixel_data: bytes, syntax: str, pixels: NDArray[Any], **elements: Any) -> bytes:
    """Make a DICOM file of these pixels, with other encapsulated pixel data, which may be invalid."""
    dataset = pydicom.dcmread(io.BytesIO(make_dicom(pixels, **elements)))
    dataset.PixelData = pixel_data
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return encode_dicom(dataset, syntax)


def dicom_of_jpeg(pixels: NDArray[np.uint8], **elements: Any) -> bytes:
    """Make a DICOM file that holds a baseline JPEG."""
    return encapsulate_stream(encode_jpeg(pixels), uid.JPEGBaseline8Bit, pixels, **elements)
