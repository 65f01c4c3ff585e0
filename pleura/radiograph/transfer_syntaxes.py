"""The transfer syntaxes that Pleura decodes, one row each. Add a transfer syntax here.

A row with a new encoding also needs its check in ``pixel_data``. The deflated transfer syntax has no row:
``dicom_file`` inflates it, and its data set is then in explicit VR little endian.
"""

from dataclasses import dataclass
from typing import Final, Literal

from pydicom import uid

Encoding = Literal["native", "rle", "jpeg", "jpeg_ls", "jpeg2000"]


@dataclass(frozen=True)
class TransferSyntax:
    """How the pixel data of a DICOM file is encoded, and which plug-in of pydicom decodes it.

    Source:
        DICOM PS3.5 section 10 and annex A, PS3.6 annex A.
    """

    uid: uid.UID
    encoding: Encoding
    plugin: str = ""
    frame_markers: tuple[int, ...] = ()
    """Markers of the frame headers that its codestream may have, see ``codestream.FrameHeader``."""


_ROWS: Final = (
    TransferSyntax(uid.ImplicitVRLittleEndian, "native"),
    TransferSyntax(uid.ExplicitVRLittleEndian, "native"),
    TransferSyntax(uid.ExplicitVRBigEndian, "native"),
    TransferSyntax(uid.RLELossless, "rle", "pylibjpeg"),
    TransferSyntax(uid.JPEGBaseline8Bit, "jpeg", "pylibjpeg", (0xC0, 0xC1)),
    TransferSyntax(uid.JPEGExtended12Bit, "jpeg", "pylibjpeg", (0xC0, 0xC1)),
    TransferSyntax(uid.JPEGLossless, "jpeg", "pylibjpeg", (0xC3,)),
    TransferSyntax(uid.JPEGLosslessSV1, "jpeg", "pylibjpeg", (0xC3,)),
    # pyjpegls refuses damaged data. pylibjpeg decodes damaged data to a wrong picture.
    TransferSyntax(uid.JPEGLSLossless, "jpeg_ls", "pyjpegls", (0xF7,)),
    TransferSyntax(uid.JPEGLSNearLossless, "jpeg_ls", "pyjpegls", (0xF7,)),
    TransferSyntax(uid.JPEG2000Lossless, "jpeg2000", "pylibjpeg", (0x51,)),
    TransferSyntax(uid.JPEG2000, "jpeg2000", "pylibjpeg", (0x51,)),
)

TRANSFER_SYNTAXES: Final = {row.uid: row for row in _ROWS}


def is_native(syntax: uid.UID) -> bool:
    """Say whether pixel data in this transfer syntax is not compressed (PS3.5 A.4 calls it native)."""
    return syntax in TRANSFER_SYNTAXES and TRANSFER_SYNTAXES[syntax].encoding == "native"
