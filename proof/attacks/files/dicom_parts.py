"""What DICOM files of the tables of hostile files are put together from."""

import struct
from typing import Any, Final

from proof.lab.files import make_dicom
from proof.lab.pictures import make_deep_picture

DEEP: Final = make_deep_picture()
TWELVE: Final[dict[str, Any]] = {"BitsStored": 12, "HighBit": 11}


def with_pixels(**elements: Any) -> bytes:
    """A good file of 12 bits, less what is changed here."""
    return make_dicom(DEEP, **(TWELVE | elements))


def start_of_dataset(file: bytes) -> int:
    """Where the data set begins."""
    return 144 + int(struct.unpack_from("<I", file, 140)[0])


def element(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """An element in Explicit VR Little Endian, of the length that it says or of another one."""
    number = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    size = len(value) if length is None else length
    if vr in (b"OB", b"OW", b"UN", b"SQ", b"UT", b"OF", b"OD"):
        return number + vr + b"\0\0" + struct.pack("<I", size) + value
    return number + vr + struct.pack("<H", size) + value
