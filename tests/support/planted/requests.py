"""Requests with planted values in every place where a value can come in."""

import io
import json
import struct
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import jwt
import numpy as np
import pydicom
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray
from pydicom import uid

from proof.lab.files import encode_dicom, encode_jpeg, make_dicom, make_png, make_png_chunk
from proof.lab.pictures import make_picture
from tests.support.planted.values import Plants, plant_dicom_elements

INFER = "/v2/models/chest-xray/infer"
_FOREIGN = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


@dataclass(frozen=True)
class PlantedRequest:
    """An HTTP request. The caller adds a token if the request has none."""

    verb: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


_ADULT: Final[dict[str, Any]] = {
    "PatientAge": "070Y",
    "PatientSpeciesDescription": "HUMAN",
    "PatientBreedDescription": "",
    "PatientSexNeutered": "",
}
"""Without these a planted species and date of birth would refuse every file."""


def _make_film() -> NDArray[np.uint8]:
    """Make a picture that is large enough for a radiograph."""
    return make_picture().repeat(4, axis=0).repeat(4, axis=1)


def make_planted_dicom(plants: Plants, **broken: Any) -> bytes:
    """Make a DICOM file with a planted value in every element that takes one, also in private elements."""
    with warnings.catch_warnings():
        # pydicom warns about code strings in lower case, which are intended here
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(io.BytesIO(make_dicom(_make_film(), ViewPosition="PA")))
        for keyword, value in plant_dicom_elements(plants).items():
            setattr(dataset, keyword, value)
        block = dataset.private_block(0x0011, plants.plant_name("private creator"), create=True)
        block.add_new(0x01, "LO", plants.plant_name("private element"))
        block.add_new(0x02, "UN", plants.plant_name("private bytes").encode())
        for keyword, value in (_ADULT | broken).items():
            setattr(dataset, keyword, value)
        return encode_dicom(dataset, uid.ExplicitVRLittleEndian)


def make_broken_files(plants: Plants) -> Iterator[bytes]:
    """Make files that cause errors in the libraries, with planted values in the broken places."""
    whole = make_planted_dicom(plants)
    yield whole[: len(whole) // 2]
    yield whole.replace(b"MONOCHROME2 ", plants.plant_name("photometric")[:12].encode())
    for keyword, vr in {"WindowCenter": "DS", "RescaleSlope": "DS", "NumberOfFrames": "IS"}.items():
        dataset = pydicom.dcmread(io.BytesIO(whole))
        dataset.WindowWidth = 100
        dataset.add_new(
            pydicom.datadict.tag_for_keyword(keyword) or 0, "LO", plants.plant_name(f"broken {keyword}")
        )
        file = encode_dicom(dataset, uid.ExplicitVRLittleEndian)
        tag = pydicom.datadict.tag_for_keyword(keyword) or 0
        number = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
        yield file.replace(number + b"LO", number + vr.encode())
    character_set = plants.plant_name("character set")
    yield make_planted_dicom(plants, SpecificCharacterSet=character_set[:16])
    yield make_planted_dicom(plants, PixelData=b"")
    for keyword, word in {
        "PatientSpeciesDescription": "",
        "BodyPartExamined": "HAND ",
        "ViewPosition": "LL ",
    }.items():
        yield make_planted_dicom(plants, **{keyword: word + plants.plant_name(f"refused {keyword}")[:11]})
    yield plants.plant_name("text instead of a file").encode() * 50
    yield whole.replace(uid.ExplicitVRLittleEndian.encode() + b"\0", b"1.2.826.0.97531.9999")


def make_rasters(plants: Plants) -> Iterator[bytes]:
    """Make PNG and JPEG files with planted text, whole and broken."""
    lines = b"".join(b"\0" + row.tobytes() for row in _make_film())
    text = make_png_chunk(b"tEXt", b"Patient\0" + plants.plant_name("PNG tEXt").encode())
    text += make_png_chunk(b"iTXt", b"Patient\0\0\0\0\0" + plants.plant_name("PNG iTXt").encode())
    text += make_png_chunk(b"eXIf", b"MM\0\x2a\0\0\0\x08\0\0" + plants.plant_name("PNG eXIf").encode())
    yield make_png(len(_make_film()), _make_film().shape[1], lines, extra=text)
    yield make_png(len(_make_film()), _make_film().shape[1], lines[:99], extra=text)
    plain = encode_jpeg(_make_film())
    comment = plants.plant_name("JPEG comment").encode()
    exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\0\0\0\0\0" + plants.plant_name("JPEG EXIF").encode()
    iptc = (
        b"Photoshop 3.0\x008BIM\4\4\0\0\0\0\0\x20\x1c\2\x78\0\x18" + plants.plant_name("JPEG IPTC").encode()
    )
    segments = [(0xFE, comment), (0xE1, exif), (0xED, iptc)]
    added = b"".join(bytes([0xFF, m]) + (len(b) + 2).to_bytes(2, "big") + b for m, b in segments)
    yield plain[:2] + added + plain[2:]
    yield (plain[:2] + added + plain[2:])[:-300]


def request_by_file(
    file: bytes, name: str = "a.dcm", field_name: str = "file", kind: str = ""
) -> PlantedRequest:
    """Make a ``POST /classify`` with a file."""
    head = f'--b\r\nContent-Disposition: form-data; name="{field_name}"; filename="{name}"\r\n'
    head += f"Content-Type: {kind or 'application/dicom'}\r\n\r\n"
    headers = {"content-type": "multipart/form-data; boundary=b"}
    return PlantedRequest("POST", "/classify", headers, head.encode() + file + b"\r\n--b--\r\n")


def v2_request_by_file(*files: bytes, **members: Any) -> PlantedRequest:
    """Make a V2 request with binary tensors."""
    raw = b"".join(struct.pack("<I", len(file)) + file for file in files)
    tensor = {"name": "image", "datatype": "BYTES", "shape": [len(files)]}
    document = json.dumps({"inputs": [tensor | {"parameters": {"binary_data_size": len(raw)}}], **members})
    headers = {"inference-header-content-length": str(len(document))}
    return PlantedRequest("POST", INFER, headers, document.encode() + raw)


def v2_request(path: str = INFER, **document: Any) -> PlantedRequest:
    """Make a V2 request in JSON."""
    return PlantedRequest("POST", path, {"content-type": "application/json"}, json.dumps(document).encode())


def requests_by_id(key: str) -> Iterator[PlantedRequest]:
    """Make a request for an object in both protocols."""
    yield PlantedRequest(
        "POST", "/classify", {"content-type": "application/json"}, json.dumps({"image_id": key}).encode()
    )
    yield v2_request(inputs=[{"name": "image_id", "datatype": "BYTES", "shape": [1], "data": [key]}])


def file_requests(plants: Plants) -> Iterator[PlantedRequest]:
    """Make requests with planted values in files and in file names."""
    files = [make_planted_dicom(plants), *make_broken_files(plants), *make_rasters(plants)]
    for file in files:
        yield request_by_file(file)
        yield v2_request_by_file(file)
    yield v2_request_by_file(*files[:4])
    yield request_by_file(files[0], name=plants.plant_name("file name"))
    yield request_by_file(
        files[0],
        name=f"{plants.plant_name('file name, broken')}\udcff.dcm".encode("utf-8", "ignore").decode(),
    )
    yield request_by_file(files[0], field_name=plants.plant_name("field name"))
    yield request_by_file(files[0], kind=plants.plant_name("part's content type"))


def v2_requests(plants: Plants) -> Iterator[PlantedRequest]:
    """Make requests with planted values in V2 documents and paths."""
    good = {"name": "image_id", "datatype": "BYTES", "shape": [1], "data": ["nobody.dcm"]}
    for field_name, value in {"name": "", "datatype": "", "shape": [1], "data": []}.items():
        planted = plants.plant_name(f"V2 {field_name}")
        yield v2_request(inputs=[good | {field_name: [planted] if isinstance(value, list) else planted}])
    yield v2_request(
        inputs=[good],
        parameters={plants.plant_name("V2 parameter"): plants.plant_name("V2 parameter's value")},
    )
    yield v2_request(inputs=[good | {"parameters": {"binary_data_size": plants.plant_name("V2 size")}}])
    yield v2_request(inputs=[good], outputs=[{"name": plants.plant_name("V2 output")}])
    yield v2_request(
        inputs=[good], outputs=[{"name": "present", "parameters": plants.plant_name("V2 output parameter")}]
    )
    for field_name in ("shape", "datatype", "data", "parameters"):
        yield v2_request(
            inputs=[good | {"name": plants.plant_name(f"V2 name, {field_name} broken"), field_name: 7}]
        )
    yield v2_request(inputs=plants.plant_name("V2 inputs"))
    yield v2_request(id=f"{plants.plant_name('V2 id')}\u0007", inputs=[good])
    yield v2_request(id=[plants.plant_name("V2 id in a list")], inputs=[good])
    yield v2_request(INFER, **{plants.plant_name("V2 member"): 1})
    yield v2_request(inputs=[good | {"shape": [2], "data": [plants.plant_name("V2 elements"), 7]}])
    yield PlantedRequest("POST", INFER, {}, b'{"inputs": [' + plants.plant_name("broken JSON").encode())
    yield PlantedRequest(
        "POST", "/classify", {"content-type": "application/json"}, plants.plant_name("no JSON").encode()
    )
    yield PlantedRequest(
        "POST",
        "/classify",
        {"content-type": "application/json"},
        json.dumps({plants.plant_name("member"): 1}).encode(),
    )
    for verb, path in (
        ("POST", "/v2/models/{}/infer"),
        ("GET", "/v2/models/{}"),
        ("GET", "/v2/models/{}/ready"),
    ):
        yield PlantedRequest(
            verb, path.format(plants.plant_name(f"model in {path}")), {}, b"{}" if verb == "POST" else b""
        )
    yield PlantedRequest("GET", f"/v2/models/chest-xray/versions/{plants.plant_name('version')}")
    yield PlantedRequest(
        "POST", f"/v2/models/chest-xray/versions/{plants.plant_name('version of infer')}/infer", {}, b"{}"
    )
    yield PlantedRequest("GET", f"/{plants.plant_name('path')}")
    yield PlantedRequest("GET", f"/v2?patient={plants.plant_name('query')}")
    yield PlantedRequest("GET", f"/model-info?name={plants.plant_name('query of model-info')}")
    yield PlantedRequest(plants.plant_name("verb").upper(), "/v2")


def feedback_requests(plants: Plants) -> Iterator[PlantedRequest]:
    """Make feedback requests that are refused because of a planted value."""
    good = {"id": "nobody", "verdicts": {"Mass": True}, "had_seen_answer": False}
    planted: list[dict[str, Any]] = [
        {name: plants.plant_name(f"feedback {name}")}
        for name in ("id", "answered_to", "position", "verdicts")
    ]
    planted += [
        {"reader": plants.plant_name("feedback reader")},
        {plants.plant_name("feedback member"): None},
    ]
    planted += [{"verdicts": {plants.plant_name("feedback finding"): True}}]
    planted += [{"verdicts": {"Mass": {"why": plants.plant_name("feedback verdict")}}}]
    headers = {"content-type": "application/json"}
    for changed in planted:
        yield PlantedRequest("POST", "/feedback", headers, json.dumps(good | changed).encode())
    broken = json.dumps(good)[:-1] + plants.plant_name("feedback, broken")
    yield PlantedRequest("POST", "/feedback", headers, broken.encode())
    yield PlantedRequest(
        "POST", "/feedback", headers | {"x-request-id": f"{plants.plant_name('feedback id')} x"}, b"{}"
    )
    yield PlantedRequest("POST", f"/feedback/{plants.plant_name('feedback path')}", headers, b"{}")


def answers_requests(plants: Plants) -> Iterator[PlantedRequest]:
    """Make requests for stored answers by planted identifiers, accepted and refused."""
    for query in (
        f"accession_number={plants.plant_name('accession number')}",
        f"study_instance_uid={plants.plant_value('UI', 'study')}",
        f"sop_instance_uid={plants.plant_value('UI', 'film')}&answered_to={plants.plant_name('reader')}",
        f"accession_number=too-long-{plants.plant_name('long number')}",
        f"study_instance_uid=1.{plants.plant_name('wrong UID')}",
        f"accession_number=a&cursor={plants.plant_name('cursor')}",
        f"accession_number=a&limit={plants.plant_name('limit')}",
        f"patient={plants.plant_name('unknown name of a query')}",
        f"{plants.plant_name('name of a query')}=1",
    ):
        yield PlantedRequest("GET", f"/answers?{query}")
    yield PlantedRequest("GET", f"/answers/a?answered_to={plants.plant_name('reader of an answer')}")
    for name in ("finding", "position"):
        yield PlantedRequest("GET", f"/answers/a/overlay?{name}={plants.plant_name(f'overlay {name}')}")
    json_headers = {"content-type": "application/json"}
    for name in ("accession_number", "study_instance_uid", "sop_instance_uid"):
        given = {name: plants.plant_name(f"member {name}")}
        body = json.dumps({"image_id": "nowhere", **given}).encode()
        yield PlantedRequest("POST", "/classify", json_headers, body)
        tensor = {"name": "image_id", "datatype": "BYTES", "shape": [1], "data": ["nowhere"]}
        parameters = {name: [plants.plant_name(f"parameter {name}"), plants.plant_name(f"second {name}")]}
        body = json.dumps({"inputs": [tensor], "parameters": parameters}).encode()
        yield PlantedRequest("POST", INFER, json_headers, body)
        part = f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
        part += plants.plant_name(f"field {name}")
        yield PlantedRequest(
            "POST", "/classify", {"content-type": "multipart/form-data; boundary=b"}, part.encode()
        )
    for how in ("find", "show", "overlay"):
        yield PlantedRequest("POST", f"/answers/{how}", {}, plants.plant_name(f"body of {how}").encode())


_HEADERS = (
    *("user-agent", "cookie", "referer", "origin", "x-forwarded-for", "x-forwarded-user", "x-correlation-id"),
    *("x-amzn-trace-id", "x-b3-traceid", "x-cloud-trace-context", "baggage", "x-patient-id", "from", "via"),
    *("x-pleura-principal", "x-user", "forwarded", "accept", "accept-language", "if-none-match"),
    *("x-original-url", "x-http-method-override", "sentry-trace", "uber-trace-id", "x-client-trace-id"),
)


def header_requests(plants: Plants) -> Iterator[PlantedRequest]:
    """Make requests with planted values in headers, each in a valid and in an invalid request."""
    for name in _HEADERS:
        planted = plants.plant_name(f"header {name}")
        yield PlantedRequest("GET", "/v2", {name: planted})
        yield PlantedRequest("POST", INFER, {name: planted}, b"{}")
    broken = {
        "x-request-id": f"{plants.plant_name('x-request-id')} with spaces",
        "x-request-timeout-ms": plants.plant_name("x-request-timeout-ms"),
        "traceparent": f"00-{plants.plant_name('traceparent')}",
        "inference-header-content-length": plants.plant_name("inference-header-content-length"),
        "content-encoding": plants.plant_name("content-encoding"),
        "content-type": f"text/plain; name={plants.plant_name('content-type')}",
        "expect": plants.plant_name("expect"),
        plants.plant_name("header's name"): "1",
    }
    for name, value in broken.items():
        for path in (INFER, "/classify"):
            yield PlantedRequest("POST", path, {name: value}, b"{}")
    yield PlantedRequest(
        "POST",
        "/classify",
        {"content-type": f"multipart/form-data; boundary={plants.plant_name('boundary')}"},
        b"--x",
    )
    yield PlantedRequest(
        "POST",
        "/classify",
        {"content-type": f"multipart/form-data; charset={plants.plant_name('charset')}; boundary=b"},
    )


def token_requests(plants: Plants) -> Iterator[PlantedRequest]:
    """Make requests with planted values in invalid tokens."""
    for place in ("sub", "name", "iss", "aud", "scope", "exp", "email", "patient"):
        planted = plants.plant_name(f"claim {place}")
        claims = {"iss": "x", "sub": "x", "aud": "pleura", "exp": 4_102_444_800} | {place: planted}
        for header in (
            {"kid": "1"},
            {"kid": plants.plant_name(f"kid with {place}")},
            {"jku": planted, "kid": "1"},
        ):
            # the library cannot encode a broken "exp", so the payload is built here
            token = jwt.PyJWS().encode(json.dumps(claims).encode(), _FOREIGN, "EdDSA", dict(header))
            plants.places.setdefault(token.rpartition(".")[2], f"signature with {place}")
            yield PlantedRequest("GET", "/v2", {"authorization": f"Bearer {token}"})
    for scheme in ("Basic", "Bearer", "Digest", ""):
        value = f"{scheme} {plants.plant_name(f'authorization {scheme}')}".strip()
        yield PlantedRequest("GET", "/v2", {"authorization": value})
