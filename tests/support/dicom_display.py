"""Display a DICOM file, and make the LUT sequences of its grey-scale pipeline."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pleura.radiograph.dicom import read_dicom
from proof.lab.files import MAX_PIXELS


def display_dicom(file: bytes) -> NDArray[Any]:
    """Read a file, and stretch its displayed pixels to 0 to 1."""
    pixels = read_dicom(file, MAX_PIXELS).pixels.astype(np.float64)
    return np.asarray((pixels - pixels.min()) / max(np.ptp(pixels), 1))


def make_lut(entries: Any, first: int, bits: int = 16) -> list[Dataset]:
    """Make a LUT sequence."""
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item.LUTData = [int(entry) for entry in entries]
    for keyword in ("LUTDescriptor", "LUTData"):
        item[keyword].VR = "US"
    return [item]
