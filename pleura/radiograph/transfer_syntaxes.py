"""The transfer syntaxes that Pleura decodes, one row each. Add a transfer syntax here.

A row with a new encoding also needs its check in ``pixel_data``. The deflated transfer syntax has no row:
``dicom_file`` inflates it, and its data set is then in explicit VR little endian.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

from pydicom import uid

from pleura.errors import UnreadableRadiograph

Encoding = Literal[
    "native", "native_frame", "deflated_frame", "jpeg_xl", "rle", "jpeg", "jpeg_ls", "jpeg2000"
]


@dataclass(frozen=True)
class TransferSyntax:
    """How the pixel data of a DICOM file is encoded, and which plug-in of pydicom decodes it.

    Source:
        DICOM PS3.5 section 10 and annex A, PS3.6 annex A.
    """

    uid: uid.UID
    encoding: Encoding
    plugin: str = ""
    is_lossy: bool = False
    """Whether the transfer syntax allows that the pixels are not exactly those that were compressed."""
    frame_markers: tuple[int, ...] = ()
    """Markers of the frame headers that its codestream may have, see ``codestream.FrameHeader``."""


_ENCAPSULATED_UNCOMPRESSED: Final = uid.UID("1.2.840.10008.1.2.1.98")
_DEFLATED_IMAGE_FRAME: Final = uid.UID("1.2.840.10008.1.2.8.1")
_JPEG_XL_LOSSLESS: Final = uid.UID("1.2.840.10008.1.2.4.110")
_JPEG_XL_JPEG_RECOMPRESSION: Final = uid.UID("1.2.840.10008.1.2.4.111")
_JPEG_XL: Final = uid.UID("1.2.840.10008.1.2.4.112")

_ROWS: Final = (
    TransferSyntax(uid.ImplicitVRLittleEndian, "native"),
    TransferSyntax(uid.ExplicitVRLittleEndian, "native"),
    TransferSyntax(uid.ExplicitVRBigEndian, "native"),
    TransferSyntax(_ENCAPSULATED_UNCOMPRESSED, "native_frame"),
    TransferSyntax(_DEFLATED_IMAGE_FRAME, "deflated_frame"),
    TransferSyntax(uid.RLELossless, "rle", "pylibjpeg"),
    TransferSyntax(uid.JPEGBaseline8Bit, "jpeg", "pylibjpeg", True, (0xC0, 0xC1)),
    TransferSyntax(uid.JPEGExtended12Bit, "jpeg", "pylibjpeg", True, (0xC0, 0xC1)),
    TransferSyntax(uid.JPEGLossless, "jpeg", "pylibjpeg", False, (0xC3,)),
    TransferSyntax(uid.JPEGLosslessSV1, "jpeg", "pylibjpeg", False, (0xC3,)),
    # pyjpegls refuses damaged data. pylibjpeg decodes damaged data to a wrong picture.
    TransferSyntax(uid.JPEGLSLossless, "jpeg_ls", "pyjpegls", False, (0xF7,)),
    TransferSyntax(uid.JPEGLSNearLossless, "jpeg_ls", "pyjpegls", True, (0xF7,)),
    TransferSyntax(uid.JPEG2000Lossless, "jpeg2000", "pylibjpeg", False, (0x51,)),
    TransferSyntax(uid.JPEG2000, "jpeg2000", "pylibjpeg", True, (0x51,)),
    TransferSyntax(uid.HTJ2KLossless, "jpeg2000", "pylibjpeg", False, (0x51,)),
    TransferSyntax(uid.HTJ2KLosslessRPCL, "jpeg2000", "pylibjpeg", False, (0x51,)),
    TransferSyntax(uid.HTJ2K, "jpeg2000", "pylibjpeg", True, (0x51,)),
    TransferSyntax(_JPEG_XL_LOSSLESS, "jpeg_xl"),
    TransferSyntax(_JPEG_XL_JPEG_RECOMPRESSION, "jpeg_xl", "", True),
    TransferSyntax(_JPEG_XL, "jpeg_xl", "", True),
)

TRANSFER_SYNTAXES: Final = {row.uid: row for row in _ROWS}


def is_native(syntax: uid.UID) -> bool:
    """Say whether pixel data in this transfer syntax is not compressed (PS3.5 A.4 calls it native)."""
    return syntax in TRANSFER_SYNTAXES and TRANSFER_SYNTAXES[syntax].encoding == "native"


_NAMES: Final = {
    "1.2.840.113619.5.2": "GE Private Implicit VR Big Endian",
}
"""Names of transfer syntaxes that pydicom does not know."""
_STANDARD_ROOT: Final = "1.2.840.10008."
_UID: Final = re.compile(r"[0-9.]{1,64}")


def require_supported(syntax: uid.UID) -> None:
    """Require that Pleura decodes the transfer syntax.

    Raises:
        UnreadableRadiograph: It does not; the text gives the UID and its name.
    """
    if syntax not in TRANSFER_SYNTAXES:
        raise UnreadableRadiograph(
            f"the transfer syntax of the DICOM file is not supported: {describe_syntax(syntax)}"
        )


def describe_syntax(syntax: uid.UID) -> str:
    """Give the name of a transfer syntax and its UID; a value that is not a UID is not repeated."""
    if not _UID.fullmatch(syntax):
        return "not a valid UID"
    name = _NAMES.get(syntax) or (syntax.name if syntax.is_transfer_syntax else "")
    return f"{name or ('unknown' if syntax.startswith(_STANDARD_ROOT) else 'private')} ({syntax})"
