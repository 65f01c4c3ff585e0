"""Parts from which the tables of hostile files build DICOM files."""

import struct
from typing import Any, Final

from proof.lab.files import make_dicom
from proof.lab.pictures import make_deep_picture

DEEP_PICTURE: Final = make_deep_picture()
TWELVE_BITS: Final[dict[str, Any]] = {"BitsStored": 12, "HighBit": 11}


def make_deep_dicom(**elements: Any) -> bytes:
    """Make a good file of 12 bits with some elements changed."""
    return make_dicom(DEEP_PICTURE, **(TWELVE_BITS | elements))


def find_dataset(file: bytes) -> int:
    """Find the position at which the data set begins."""
    # Preamble, DICM and the first element, which holds the length of the rest of the file meta.
    return 144 + int(struct.unpack_from("<I", file, 140)[0])


def encode_element(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """Encode an element in Explicit VR Little Endian, with its true length or with another one."""
    number = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    size = len(value) if length is None else length
    # These have a length of four bytes, behind two that are reserved (PS3.5 7.1.2).
    if vr in (b"OB", b"OW", b"UN", b"SQ", b"UT", b"OF", b"OD"):
        return number + vr + b"\0\0" + struct.pack("<I", size) + value
    return number + vr + struct.pack("<H", size) + value
