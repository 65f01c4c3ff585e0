"""Whether the coded data of a JPEG are those of its picture: all of them, and not one byte more.

JPEG has no checksum, and codecs fill in what is missing. But where bytes were lost, zeroed or put in, the
data end too early or too late, which libjpeg-turbo notices and, unlike OpenCV and libjpeg, tells.
"""

from typing import Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from pleura.errors import UnreadableRadiograph
from transformer.radiograph_codecs import Frame

_NO_DAMAGE: Final = (
    "Could not determine subsampling level",  # of TurboJPEG's names for them
    "Unsupported color conversion",  # colours without loss
    "Invalid SOS parameters",
    "Unknown Adobe color transform code",
    "unknown JFIF revision number",
)
"""What libjpeg-turbo says of a JPEG that other codecs read well."""
_BITS: Final = 8


def strictly_decoded(stream: bytes) -> NDArray[np.uint8] | None:
    """Decode a JPEG of 8 bits to grey.

    Args:
        stream: Coded by Huffman's codes, in whatever process.

    Returns:
        Shape (rows, columns); None where libjpeg-turbo minds something else than damage.

    Raises:
        UnreadableRadiograph: Its data end before the picture does, or after it, or stop making sense.
    """
    try:
        grey: NDArray[np.uint8] = simplejpeg.decode_jpeg(stream, "GRAY", strict=True)[..., 0]
    except ValueError as error:
        if any(words in str(error) for words in _NO_DAMAGE):
            return None
        raise UnreadableRadiograph("the data of the JPEG are damaged") from error
    return grey


def require_undamaged(stream: bytes, frame: Frame) -> None:
    """Check the data of a JPEG of any precision.

    How they are coded does not depend on the precision: they are read as if it were 8 bits, for their length.

    Raises:
        UnreadableRadiograph: As for ``strictly_decoded``.
    """
    at = frame.precision_at
    strictly_decoded(stream[:at] + bytes([_BITS]) + stream[at + 1 :])
