"""The seeds of fuzzing: small valid inputs of every kind.

Nearly all files show the same picture, so that a tensor which is its negative reveals an inversion.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import cv2
import jwt
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from proof.fuzz.checkpoints import make_checkpoint_seeds, make_pickle_seeds
from proof.lab.files import add_exif_orientation, encode_jpeg, encode_png, make_dicom, make_png
from proof.lab.pictures import (
    COMPRESSED,
    NATIVE,
    compress_dicom,
    dicom_of_jpeg,
    make_deep_picture,
    make_lut,
    make_picture,
)

_ROOT: Final = Path(__file__).parents[2]
_MAX_BYTES: Final = 60_000
_FAR_FUTURE: Final = 4_102_444_800
# Fixed, so that the tokens of a stored corpus stay validly signed.
SIGNING_KEY: Final = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def make_dicom_seeds() -> Iterator[bytes]:
    """Make a file for each transfer syntax that we can write, and each element of the grey-scale pipeline."""
    deep = make_deep_picture()
    negative: dict[str, Any] = {"PhotometricInterpretation": "MONOCHROME1", "BitsStored": 12, "HighBit": 11}
    for syntax in NATIVE:
        yield make_dicom(deep, syntax=syntax, BitsStored=12, HighBit=11)
        yield make_dicom(4095 - deep, syntax=syntax, **negative)
    yield make_dicom(make_picture(), PresentationLUTShape="IDENTITY", ViewPosition="PA")
    yield make_dicom(deep.astype(np.int16) - 2048, PixelPaddingValue=-2048, WindowCenter=0, WindowWidth=4000)
    for function in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        yield make_dicom(deep, WindowCenter=[2048, 1], WindowWidth=[4096, 2], VOILUTFunction=function)
    yield make_dicom(deep, RescaleSlope="0.5", RescaleIntercept="-100", WindowCenter=900, WindowWidth=2048)
    yield make_dicom(4095 - deep, RescaleSlope="-1", RescaleIntercept="4095")
    yield make_dicom(deep, VOILUTSequence=make_lut(np.arange(256) * 256, 0))
    yield make_dicom(
        4095 - deep, ModalityLUTSequence=make_lut(np.arange(4096)[::-1], 0), BitsStored=12, HighBit=11
    )
    yield make_dicom(cv2.cvtColor(make_picture(), cv2.COLOR_GRAY2RGB))
    plain = (
        make_dicom(deep, BitsStored=12, HighBit=11),
        make_dicom(4095 - deep, **negative),
        make_dicom(make_picture()),
    )
    for file in plain:
        for syntax in COMPRESSED:
            yield compress_dicom(file, syntax)
    yield dicom_of_jpeg(make_picture())
    yield dicom_of_jpeg(255 - make_picture(), PhotometricInterpretation="MONOCHROME1")


def make_png_seeds() -> Iterator[bytes]:
    """Make PNG files of several colour types and depths."""
    grey = make_picture()
    colour = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    yield encode_png(grey)
    yield encode_png(grey.astype(np.uint16) * 257)
    yield encode_png(colour)
    yield encode_png(np.dstack([colour, np.full_like(grey, 255)]))
    lines = b"".join(b"\0" + row.tobytes() for row in grey)
    yield make_png(len(grey), grey.shape[1], lines)
    packed = b"".join(b"\0" + np.packbits(row > np.median(grey)).tobytes() for row in grey)
    yield make_png(len(grey), grey.shape[1], packed, depth=1)


def make_jpeg_seeds() -> Iterator[bytes]:
    """Make JPEG files: grey, colour, progressive, with restart markers, with an orientation."""
    grey = make_picture()
    yield encode_jpeg(grey)
    yield encode_jpeg(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))
    for option in (cv2.IMWRITE_JPEG_PROGRESSIVE, cv2.IMWRITE_JPEG_RST_INTERVAL):
        yield cv2.imencode(".jpg", grey, [option, 1])[1].tobytes()
    yield add_exif_orientation(encode_jpeg(grey), 3)


def make_token_seeds() -> Iterator[bytes]:
    """Make signed tokens, valid and expired, as values of ``Authorization``."""
    parties = {"iss": "https://issuer", "aud": "pleura", "sub": "a", "scope": "model:read"}
    good = parties | {"nbf": 0, "exp": _FAR_FUTURE}
    for claims in (good, good | {"exp": 1}, good | {"aud": ["pleura", "x"], "iat": 1}):
        token = jwt.encode(claims, SIGNING_KEY, "EdDSA", {"kid": "k1", "typ": "at+jwt"})
        yield b"Bearer " + token.encode()


_V2: Final = (
    b'{"id":"1","inputs":[{"name":"image_id","datatype":"BYTES","shape":[1],"data":["a/b.dcm"]}]}',
    b'{"inputs":[{"name":"image","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":7}}],'
    b'"outputs":[{"name":"probability","parameters":{"binary_data":true}}]}',
    b'{"inputs":[{"name":"x","datatype":"FP32","shape":[2,2],"data":[[1,2.5],[3,-4]]}],"parameters":{}}',
)
_FORM: Final = (
    b"multipart/form-data; boundary=b\n"
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.dcm"\r\n'
    b"Content-Type: application/dicom\r\n\r\nbytes\r\n--b--\r\n"
)
_RELATED: Final = (
    b'multipart/related; type="application/dicom"; boundary=b\n'
    b"--b\r\nContent-Type: application/dicom\r\n\r\nDICM\r\n--b--\r\n"
)
_HEADS: Final = (
    b"POST /classify HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n",
    b"POST /v2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n",
)


def make_seeds() -> Mapping[str, list[bytes]]:
    """Make the seeds of each target, by the name of the target."""
    return {
        "dicom": [*make_dicom_seeds(), *_read_small_files("dicom", "*.dcm")],
        "png": [*make_png_seeds()],
        "jpeg": [*make_jpeg_seeds(), *_read_small_files("quirks", "*.jpg")],
        "v2": [b"\0\0" + _V2[0], len(_V2[1]).to_bytes(2, "big") + _V2[1] + b"\3\0\0\0abc", b"\0\0" + _V2[2]],
        "object_id": [b"ward/2026/a.dcm", b"a/../b", "röntgen/ä.png".encode(), b"\xff\0"],
        "token": [*make_token_seeds()],
        "form": [_FORM, _RELATED, b'application/json\n{"image_id": "a"}', b"application/dicom\nDICM"],
        "head": [*_HEADS],
        "checkpoint": [*make_checkpoint_seeds()],
        "pickle": [*make_pickle_seeds()],
    }


def _read_small_files(folder: str, pattern: str) -> Iterator[bytes]:
    """Read real files that are small enough for mutation."""
    for path in sorted((_ROOT / "tests" / "data" / folder).glob(pattern)):
        if path.stat().st_size <= _MAX_BYTES:
            yield path.read_bytes()
