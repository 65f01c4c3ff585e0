"""Requests that are full of planted values, by every way that a value can come in."""

import io
import json
import struct
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
import pydicom
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydicom import uid

from proof.lab.files import dicom, jpeg, png_chunk, png_with_header, save_dicom
from proof.lab.pictures import picture
from tests.support.planted.values import Plants, dicom_elements

INFER = "/v2/models/chest-xray/infer"
_FOREIGN = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


@dataclass(frozen=True)
class PlantedRequest:
    """An HTTP request; the token is added where it brings none."""

    verb: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def planted_dicom(plants: Plants, **broken: Any) -> bytes:
    """A file with a planted value in every element that takes one, private ones too."""
    with warnings.catch_warnings():
        # pydicom warns of code strings in lower case, which is what is wanted here
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(io.BytesIO(dicom(picture(), ViewPosition="PA")))
        for keyword, value in dicom_elements(plants).items():
            setattr(dataset, keyword, value)
        block = dataset.private_block(0x0011, plants.name("private creator"), create=True)
        block.add_new(0x01, "LO", plants.name("private element"))
        block.add_new(0x02, "UN", plants.name("private bytes").encode())
        for keyword, value in broken.items():
            setattr(dataset, keyword, value)
        return save_dicom(dataset, uid.ExplicitVRLittleEndian)


def broken_files(plants: Plants) -> Iterator[bytes]:
    """Files that draw errors out of the libraries, with planted values where they hurt."""
    whole = planted_dicom(plants)
    yield whole[: len(whole) // 2]
    yield whole.replace(b"MONOCHROME2 ", plants.name("photometric")[:12].encode())
    for keyword, vr in {"WindowCenter": "DS", "RescaleSlope": "DS", "NumberOfFrames": "IS"}.items():
        dataset = pydicom.dcmread(io.BytesIO(whole))
        dataset.WindowWidth = 100
        dataset.add_new(
            pydicom.datadict.tag_for_keyword(keyword) or 0, "LO", plants.name(f"broken {keyword}")
        )
        file = save_dicom(dataset, uid.ExplicitVRLittleEndian)
        tag = pydicom.datadict.tag_for_keyword(keyword) or 0
        number = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
        yield file.replace(number + b"LO", number + vr.encode())
    character_set = plants.name("character set")
    yield planted_dicom(plants, SpecificCharacterSet=character_set[:16])
    yield planted_dicom(plants, PixelData=b"")
    yield plants.name("text instead of a file").encode() * 50
    yield whole.replace(uid.ExplicitVRLittleEndian.encode() + b"\0", b"1.2.826.0.97531.9999")


def rasters(plants: Plants) -> Iterator[bytes]:
    """PNG and JPEG files with planted text, whole and broken."""
    lines = b"".join(b"\0" + row.tobytes() for row in picture())
    text = png_chunk(b"tEXt", b"Patient\0" + plants.name("PNG tEXt").encode())
    text += png_chunk(b"iTXt", b"Patient\0\0\0\0\0" + plants.name("PNG iTXt").encode())
    text += png_chunk(b"eXIf", b"MM\0\x2a\0\0\0\x08\0\0" + plants.name("PNG eXIf").encode())
    yield png_with_header(len(picture()), picture().shape[1], lines, extra=text)
    yield png_with_header(len(picture()), picture().shape[1], lines[:99], extra=text)
    plain = jpeg(picture())
    comment = plants.name("JPEG comment").encode()
    exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\0\0\0\0\0" + plants.name("JPEG EXIF").encode()
    iptc = b"Photoshop 3.0\x008BIM\4\4\0\0\0\0\0\x20\x1c\2\x78\0\x18" + plants.name("JPEG IPTC").encode()
    segments = [(0xFE, comment), (0xE1, exif), (0xED, iptc)]
    added = b"".join(bytes([0xFF, m]) + (len(b) + 2).to_bytes(2, "big") + b for m, b in segments)
    yield plain[:2] + added + plain[2:]
    yield (plain[:2] + added + plain[2:])[:-300]


def by_file(file: bytes, name: str = "a.dcm", field_name: str = "file", kind: str = "") -> PlantedRequest:
    """``POST /classify`` with a file."""
    head = f'--b\r\nContent-Disposition: form-data; name="{field_name}"; filename="{name}"\r\n'
    head += f"Content-Type: {kind or 'application/dicom'}\r\n\r\n"
    headers = {"content-type": "multipart/form-data; boundary=b"}
    return PlantedRequest("POST", "/classify", headers, head.encode() + file + b"\r\n--b--\r\n")


def v2_by_file(*files: bytes, **more: Any) -> PlantedRequest:
    """V2 with binary tensors."""
    raw = b"".join(struct.pack("<I", len(file)) + file for file in files)
    tensor = {"name": "image", "datatype": "BYTES", "shape": [len(files)]}
    document = json.dumps({"inputs": [tensor | {"parameters": {"binary_data_size": len(raw)}}], **more})
    headers = {"inference-header-content-length": str(len(document))}
    return PlantedRequest("POST", INFER, headers, document.encode() + raw)


def v2(path: str = INFER, **document: Any) -> PlantedRequest:
    """V2 in JSON; without inputs, about a radiograph that is there."""
    return PlantedRequest("POST", path, {"content-type": "application/json"}, json.dumps(document).encode())


def by_id(key: str) -> Iterator[PlantedRequest]:
    """Both ways to ask about an object."""
    yield PlantedRequest(
        "POST", "/classify", {"content-type": "application/json"}, json.dumps({"image_id": key}).encode()
    )
    yield v2(inputs=[{"name": "image_id", "datatype": "BYTES", "shape": [1], "data": [key]}])


def file_requests(plants: Plants) -> Iterator[PlantedRequest]:
    """Planted values in files, and in what files are called."""
    files = [planted_dicom(plants), *broken_files(plants), *rasters(plants)]
    for file in files:
        yield by_file(file)
        yield v2_by_file(file)
    yield v2_by_file(*files[:4])
    yield by_file(files[0], name=plants.name("file name"))
    yield by_file(
        files[0], name=f"{plants.name('file name, broken')}\udcff.dcm".encode("utf-8", "ignore").decode()
    )
    yield by_file(files[0], field_name=plants.name("field name"))
    yield by_file(files[0], kind=plants.name("part's content type"))


def v2_requests(plants: Plants) -> Iterator[PlantedRequest]:
    """Planted values all over V2 documents and paths."""
    good = {"name": "image_id", "datatype": "BYTES", "shape": [1], "data": ["nobody.dcm"]}
    for field_name, value in {"name": "", "datatype": "", "shape": [1], "data": []}.items():
        planted = plants.name(f"V2 {field_name}")
        yield v2(inputs=[good | {field_name: [planted] if isinstance(value, list) else planted}])
    yield v2(inputs=[good], parameters={plants.name("V2 parameter"): plants.name("V2 parameter's value")})
    yield v2(inputs=[good | {"parameters": {"binary_data_size": plants.name("V2 size")}}])
    yield v2(inputs=[good], outputs=[{"name": plants.name("V2 output")}])
    yield v2(inputs=[good], outputs=[{"name": "present", "parameters": plants.name("V2 output parameter")}])
    for field_name in ("shape", "datatype", "data", "parameters"):
        yield v2(inputs=[good | {"name": plants.name(f"V2 name, {field_name} broken"), field_name: 7}])
    yield v2(inputs=plants.name("V2 inputs"))
    yield v2(id=f"{plants.name('V2 id')}\u0007", inputs=[good])
    yield v2(id=[plants.name("V2 id in a list")], inputs=[good])
    yield v2(INFER, **{plants.name("V2 member"): 1})
    yield v2(inputs=[good | {"shape": [2], "data": [plants.name("V2 elements"), 7]}])
    yield PlantedRequest("POST", INFER, {}, b'{"inputs": [' + plants.name("broken JSON").encode())
    yield PlantedRequest(
        "POST", "/classify", {"content-type": "application/json"}, plants.name("no JSON").encode()
    )
    yield PlantedRequest(
        "POST",
        "/classify",
        {"content-type": "application/json"},
        json.dumps({plants.name("member"): 1}).encode(),
    )
    for verb, path in (
        ("POST", "/v2/models/{}/infer"),
        ("GET", "/v2/models/{}"),
        ("GET", "/v2/models/{}/ready"),
    ):
        yield PlantedRequest(
            verb, path.format(plants.name(f"model in {path}")), {}, b"{}" if verb == "POST" else b""
        )
    yield PlantedRequest("GET", f"/v2/models/chest-xray/versions/{plants.name('version')}")
    yield PlantedRequest(
        "POST", f"/v2/models/chest-xray/versions/{plants.name('version of infer')}/infer", {}, b"{}"
    )
    yield PlantedRequest("GET", f"/{plants.name('path')}")
    yield PlantedRequest("GET", f"/v2?patient={plants.name('query')}")
    yield PlantedRequest("GET", f"/model-info?name={plants.name('query of model-info')}")
    yield PlantedRequest(plants.name("verb").upper(), "/v2")


def feedback_requests(plants: Plants) -> Iterator[PlantedRequest]:
    """Planted values in verdicts on answers, each where it makes them refused."""
    good = {"id": "nobody", "verdicts": {"Mass": True}, "had_seen_answer": False}
    planted: list[dict[str, Any]] = [
        {name: plants.name(f"feedback {name}")} for name in ("id", "answered_to", "position", "verdicts")
    ]
    planted += [{"reader": plants.name("feedback reader")}, {plants.name("feedback member"): None}]
    planted += [{"verdicts": {plants.name("feedback finding"): True}}]
    planted += [{"verdicts": {"Mass": {"why": plants.name("feedback verdict")}}}]
    headers = {"content-type": "application/json"}
    for changed in planted:
        yield PlantedRequest("POST", "/feedback", headers, json.dumps(good | changed).encode())
    broken = json.dumps(good)[:-1] + plants.name("feedback, broken")
    yield PlantedRequest("POST", "/feedback", headers, broken.encode())
    yield PlantedRequest(
        "POST", "/feedback", headers | {"x-request-id": f"{plants.name('feedback id')} x"}, b"{}"
    )
    yield PlantedRequest("POST", f"/feedback/{plants.name('feedback path')}", headers, b"{}")


_HEADERS = (
    *("user-agent", "cookie", "referer", "origin", "x-forwarded-for", "x-forwarded-user", "x-correlation-id"),
    *("x-amzn-trace-id", "x-b3-traceid", "x-cloud-trace-context", "baggage", "x-patient-id", "from", "via"),
    *("x-pleura-principal", "x-user", "forwarded", "accept", "accept-language", "if-none-match"),
    *("x-original-url", "x-http-method-override", "sentry-trace", "uber-trace-id", "x-client-trace-id"),
)


def header_requests(plants: Plants) -> Iterator[PlantedRequest]:
    """Planted values in headers, each in a good and in a bad request."""
    for name in _HEADERS:
        planted = plants.name(f"header {name}")
        yield PlantedRequest("GET", "/v2", {name: planted})
        yield PlantedRequest("POST", INFER, {name: planted}, b"{}")
    broken = {
        "x-request-id": f"{plants.name('x-request-id')} with spaces",
        "x-request-timeout-ms": plants.name("x-request-timeout-ms"),
        "traceparent": f"00-{plants.name('traceparent')}",
        "inference-header-content-length": plants.name("inference-header-content-length"),
        "content-encoding": plants.name("content-encoding"),
        "content-type": f"text/plain; name={plants.name('content-type')}",
        "expect": plants.name("expect"),
        plants.name("header's name"): "1",
    }
    for name, value in broken.items():
        for path in (INFER, "/classify"):
            yield PlantedRequest("POST", path, {name: value}, b"{}")
    yield PlantedRequest(
        "POST",
        "/classify",
        {"content-type": f"multipart/form-data; boundary={plants.name('boundary')}"},
        b"--x",
    )
    yield PlantedRequest(
        "POST",
        "/classify",
        {"content-type": f"multipart/form-data; charset={plants.name('charset')}; boundary=b"},
    )


def token_requests(plants: Plants) -> Iterator[PlantedRequest]:
    """Planted values in tokens that are no good."""
    for place in ("sub", "name", "iss", "aud", "scope", "exp", "email", "patient"):
        planted = plants.name(f"claim {place}")
        claims = {"iss": "x", "sub": "x", "aud": "pleura", "exp": 4_102_444_800} | {place: planted}
        for header in ({"kid": "1"}, {"kid": plants.name(f"kid with {place}")}, {"jku": planted, "kid": "1"}):
            # a broken "exp" cannot be encoded by the library, so the payload is written by hand
            token = jwt.PyJWS().encode(json.dumps(claims).encode(), _FOREIGN, "EdDSA", dict(header))
            plants.places.setdefault(token.rpartition(".")[2], f"signature with {place}")
            yield PlantedRequest("GET", "/v2", {"authorization": f"Bearer {token}"})
    for scheme in ("Basic", "Bearer", "Digest", ""):
        value = f"{scheme} {plants.name(f'authorization {scheme}')}".strip()
        yield PlantedRequest("GET", "/v2", {"authorization": value})
