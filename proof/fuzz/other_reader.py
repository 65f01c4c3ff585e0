"""Reads radiographs with pydicom and OpenCV only, so that Pleura's reader has something to compare with."""

import contextlib
import io
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.filereader import read_partial
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from pleura.radiograph.tensor import to_tensor

_PIXEL_DATA: Final = 0x7FE00010
_NOT_BY_PYDICOM: Final = (
    "PatientOrientation",
    "ShutterShape",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
"""What Pleura applies and pydicom does not."""


def read_with_other_library(file: bytes) -> NDArray[Any] | None:
    """Make the tensor with the functions of pydicom or OpenCV only. None if they fail."""
    # another library may raise any exception on a damaged file
    with contextlib.suppress(Exception):
        if file[128:132] != b"DICM" and file[:1] in (b"\x89", b"\xff"):
            return to_tensor(cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_GRAYSCALE))  # type: ignore[arg-type]
        # pydicom drops the whole dataset if an element behind the pixels is cut short
        dataset = read_partial(io.BytesIO(file), lambda tag, *_: bool(tag > _PIXEL_DATA), force=True)
        is_little = dataset.original_encoding[1]
        assumed = uid.ExplicitVRLittleEndian if is_little else uid.ExplicitVRBigEndian
        dataset.file_meta.setdefault("TransferSyntaxUID", assumed)
        if any(keyword in dataset for keyword in _NOT_BY_PYDICOM):
            return None
        if dataset.HighBit != dataset.BitsStored - 1:
            return None
        _sign_tables(dataset)
        _retype_numbers(dataset)
        greys = apply_modality_lut(dataset.pixel_array.astype(np.int32), dataset)
        # otherwise pydicom inverts the window with a negative slope, against PS3.3 C.11.2.1.2
        dataset.RescaleSlope, dataset.RescaleIntercept = "1", "0"
        with contextlib.suppress(Exception):
            greys = apply_voi_lut(greys, dataset)
        greys = greys.astype(np.float64)
        greys = (greys - greys.min()) / np.ptp(greys)
        if dataset.PhotometricInterpretation == "MONOCHROME1":
            greys = 1.0 - greys
        return to_tensor(greys.astype(np.float32))
    return None


def _sign_tables(dataset: Dataset) -> None:
    """Give the first mapped value of a table the sign of the pixels. pydicom does not do so."""
    if dataset.PixelRepresentation == 1:
        for item in dataset.get("ModalityLUTSequence") or ():
            count, first, bits = item.LUTDescriptor
            item.LUTDescriptor = [count, first - 2**16 if first >= 2**15 else first, bits]


def _retype_numbers(dataset: Dataset) -> None:
    """Restore the type of numeric elements that the damage has changed, since pydicom fails on them."""
    for name in ("RescaleSlope", "RescaleIntercept"):
        if name in dataset:
            value = str(dataset[name].value)
            del dataset[name]
            setattr(dataset, name, value)
