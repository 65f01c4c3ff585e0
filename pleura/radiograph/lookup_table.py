"""Read and apply the lookup tables of a DICOM header (modality LUT and VOI LUT)."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pleura.errors import UnreadableRadiograph

Values = NDArray[np.float64]
_SIGN: Final = 2**15
_WRAP: Final = 2**16


@dataclass(frozen=True)
class LookupTable:
    """A lookup table; inputs beyond its ends take the entry at that end.

    Source:
        DICOM PS3.3 C.11.1.1.1, C.11.2.1.1 (LUT descriptor).
    """

    first: int
    """The input of the first entry."""
    bits: int
    """Bits of an entry."""
    entries: NDArray[np.integer[Any]]

    def apply(self, values: Values) -> Values:
        """Replace each value by its entry."""
        positions = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1).astype(np.int64)
        return np.asarray(self.entries[positions], np.float64)


def find_table_item(dataset: Dataset, keyword: str, alternative: str) -> Dataset | None:
    """Find the first item of a LUT sequence that holds a table. Some devices write empty items.

    Args:
        dataset: The header.
        keyword: The LUT sequence.
        alternative: The attribute that is applied where there is no table.

    Raises:
        UnreadableRadiograph: The only tables lack data or descriptor, and there is no alternative.
    """
    is_partial = False
    for item in dataset.get(keyword) or ():
        parts = bool(item.get("LUTDescriptor")) + bool(item.get("LUTData"))
        if parts == 2:
            return item  # type: ignore[no-any-return]  # pydicom's items are Datasets
        is_partial |= parts == 1
    if is_partial and alternative not in dataset:
        raise UnreadableRadiograph("a lookup table of the DICOM file lacks its data or its descriptor")
    return None


def read_table(item: Dataset, inputs: tuple[float, float], *, is_big_endian: bool) -> LookupTable:
    """Read the table of a sequence item.

    Args:
        item: An item of a LUT sequence.
        inputs: The lowest and the highest input that the step before can give.
        is_big_endian: Whether the file is in a big endian transfer syntax.

    Raises:
        UnreadableRadiograph: The table is shorter than it announces.
    """
    count, first, bits = (int(number) for number in item.LUTDescriptor)
    count = count % _WRAP or _WRAP
    entries = _read_entries(item.LUTData, count, is_big_endian)
    if len(entries) < count or not 1 <= bits <= 16:
        raise UnreadableRadiograph("a lookup table of the DICOM file is shorter than it announces")
    return LookupTable(_resolve_sign(first, count, inputs), bits, entries[:count])


def _resolve_sign(first: int, count: int, inputs: tuple[float, float]) -> int:
    """Resolve the first input, whose value representation (US or SS) is a guess in implicit VR."""
    low, high = inputs
    if first >= _SIGN and low < 0:
        return first - _WRAP
    if first < 0 and low >= 0 and not (first < high and low < first + count):
        return first + _WRAP
    return first


def _read_entries(data: Any, count: int, is_big_endian: bool) -> NDArray[np.integer[Any]]:
    if not isinstance(data, bytes):
        return np.atleast_1d(np.asarray(data, np.int64)) & 0xFFFF
    if len(data) < 2 * count:
        return np.frombuffer(data, np.uint8)
    return np.frombuffer(data[: 2 * count], ">u2" if is_big_endian else "<u2")
