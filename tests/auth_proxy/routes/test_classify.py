"""``POST /classify``: V2 behind plain JSON."""

import json
import struct

import httpx
import pytest

from auth_proxy.uploads.classify_request import FILE_KINDS
from auth_proxy.uploads.hints import SEND_FILE, UNKNOWN_ID, V2_REQUEST
from pleura.findings import FINDINGS
from proof.lab.module_process import wait_until
from proof.lab.proxy import Proxy, read_log_lines
from proof.lab.stand_in_transformer import DIGEST, VERSION, Upstream, build_v2_answer
from tests.support.errors import check_error

FILES = [b"", b"\x89PNG", bytes(range(256)) * 2000, b"\r\n--boundary--\r\n" * 50]


def test_a_radiograph_is_named_by_its_id(client: httpx.Client, upstream: Upstream) -> None:
    """The answer is plain JSON, and says which finding is not measured."""
    answer = client.post("/classify", json={"image_id": "a/ü.dcm"}, headers={"x-request-id": "c1"})
    document = answer.json()
    findings = document.pop("findings")
    assert document == {
        "request_id": "c1",
        "model": {"name": "chest-xray", "version": VERSION, "digest": DIGEST},
        "preprocessing_version": "1",
        "typicality": 0.9,
        "journal": "written",
        "cached": False,
        "warnings": [{"code": "untypical", "text": "unlike the others"}],
    }
    assert [finding["name"] for finding in findings] == list(FINDINGS)
    expected = {"probability": 0.25, "present": False, "threshold": 0.5}
    assert findings[0] == {"name": FINDINGS[0], **expected, "measured": True}
    assert findings[-1] == {"name": "Hernia", **expected, "measured": False}


def test_the_transformer_is_asked_in_v2(client: httpx.Client, upstream: Upstream) -> None:
    """The V2 request has one BYTES element, the request id, and the outputs that are needed."""
    client.post("/classify", json={"image_id": "a.dcm"}, headers={"x-request-id": "c2"})
    (body,) = [body for request, body in upstream.requests if request.url.path.endswith("/infer")]
    document = json.loads(body)
    assert document["id"] == "c2"
    assert document["inputs"] == [{"name": "image_id", "datatype": "BYTES", "shape": [1], "data": ["a.dcm"]}]
    assert {output["name"] for output in document["outputs"]} == {
        "probability",
        "present",
        "threshold",
        "typicality",
    }


@pytest.mark.parametrize("file", FILES, ids=len)
def test_a_file_becomes_a_binary_tensor(client: httpx.Client, upstream: Upstream, file: bytes) -> None:
    """The bytes of the file arrive unchanged. The name of the file does not arrive."""
    answer = client.post("/classify", files={"file": ("JANE^DOE.dcm", file)})
    assert answer.status_code == 200
    request, body = next(each for each in upstream.requests if each[0].url.path.endswith("/infer"))
    length = int(request.headers["inference-header-content-length"])
    (tensor,) = json.loads(body[:length])["inputs"]
    assert tensor["parameters"]["binary_data_size"] == len(body) - length == len(file) + 4
    assert body[length:] == struct.pack("<I", len(file)) + file
    assert b"JANE" not in body + str(request.headers.raw).encode()


def check_forwarded(upstream: Upstream, file: bytes) -> None:
    """Check that the transformer got the bytes of the file as a binary tensor."""
    request, body = next(each for each in upstream.requests if each[0].url.path.endswith("/infer"))
    length = int(request.headers["inference-header-content-length"])
    assert body[length:] == struct.pack("<I", len(file)) + file


@pytest.mark.parametrize("kind", sorted(FILE_KINDS))
@pytest.mark.parametrize("file", FILES[1:], ids=len)
def test_a_body_may_be_the_file_itself(
    client: httpx.Client, upstream: Upstream, kind: str, file: bytes
) -> None:
    """The bytes arrive unchanged, with and without a declared length."""
    for content in (file, iter([file[:7], file[7:]])):
        upstream.requests.clear()
        answer = client.post("/classify", content=content, headers={"content-type": kind})
        assert answer.status_code == 200
        check_forwarded(upstream, file)


@pytest.mark.parametrize(
    "content_type",
    [
        'multipart/related; type="application/dicom"; boundary=b',
        'Multipart/Related; boundary="b"; type=application/dicom',
        "multipart/related; boundary=b",
    ],
)
def test_a_dicomweb_client_may_store_to_classify(
    client: httpx.Client, upstream: Upstream, content_type: str
) -> None:
    """The one part of a STOW-RS request is the file, whatever else its headers say."""
    file = FILES[2] + b"\r\n--a\r\n"
    head = b"--b\r\nContent-Type: application/dicom; transfer-syntax=1\r\nContent-Disposition: x; name=y\r\n"
    answer = client.post(
        "/classify", content=head + b"\r\n" + file + b"\r\n--b--\r\n", headers={"content-type": content_type}
    )
    assert answer.status_code == 200
    check_forwarded(upstream, file)


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"", "application/json"),
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b"{}", "application/json"),
        (b'{"image_id": 7}', "application/json"),
        (b'{"image_id": null}', "application/json"),
        (b'{"image_id": ""}', "application/json"),
        (b'{"image_id": ["a"]}', "application/json"),
        (b'{"image_id": "a", "image": "b"}', "application/json"),
        (b'{"image_id": "\\ud800"}', "application/json"),
        (b'{"image_id": "' + b"a" * 1025 + b'"}', "application/json"),
        (b"\xff", "application/json"),
        (b"[" * 10_000, "application/json"),
        (b'{"image_id": "a"}', "text/plain"),
        (b"DICM", "application/dicom+json"),
        (b"DICM", "application/dicom, application/dicom"),
        (b"image_id=a", "application/x-www-form-urlencoded"),
        (b"", "multipart/form-data"),
        (b"", "multipart/form-data; boundary=b"),
        (b"nothing", "multipart/form-data; boundary=b"),
        (
            b'--b\r\ncontent-disposition: form-data; name="file"\r\n\r\nx\r\n--b--',
            "multipart/form-data; boundary=b",
        ),
        (
            b'--b\r\ncontent-disposition: form-data; filename="f"\r\n\r\nx\r\n--b--',
            "multipart/form-data; boundary=b",
        ),
        (b"--b\r\n\r\nx\r\n--b--", "multipart/form-data; boundary=b"),
    ],
)
def test_any_other_body_is_refused(
    client: httpx.Client, upstream: Upstream, content: bytes, content_type: str
) -> None:
    """The answer is a 400 in the form of our errors, and the transformer gets no request."""
    answer = client.post("/classify", content=content, headers={"content-type": content_type})
    assert answer.status_code == 400
    check_error(answer.json(), code="invalid_request")
    assert not upstream.requests


@pytest.mark.parametrize(
    ("content", "content_type", "hint"),
    [
        (b'{"instances": [{"b64": "AAAA"}]}', "application/json", "V2 at /v2/models/chest-xray/infer"),
        (b'{"inputs": []}', "application/json", V2_REQUEST),
        (b'{"image": "AAAA"}', "application/json", SEND_FILE),
        (b'{"data": "AAAA"}', "application/json", SEND_FILE),
        (b'{"b64": "AAAA"}', "application/json", SEND_FILE),
        (b'"AAAA"', "application/json", SEND_FILE),
        (b"AAAA", "text/plain", "also not base64"),
        (b"image_id=a", "application/x-www-form-urlencoded", "must be multipart/form-data"),
        (b"x", "", "the content-type is missing"),
        (b"x", "multipart/form-data", "leave the content-type to your HTTP library"),
        (b"x", "application/pdf", SEND_FILE),
    ],
)
def test_a_well_known_mistake_is_explained(
    client: httpx.Client, upstream: Upstream, content: bytes, content_type: str, hint: str
) -> None:
    """The error says what to do instead, and repeats nothing of the body."""
    headers = {"content-type": content_type} if content_type else {}
    answer = client.post("/classify", content=content, headers=headers)
    assert answer.status_code == 400
    assert hint in answer.json()["error"]
    assert "AAAA" not in answer.text


def test_a_large_json_body_is_explained(client: httpx.Client) -> None:
    """JSON of many bytes can only be a file in base64."""
    answer = client.post("/classify", json={"image": "A" * 100_000})
    assert answer.status_code == 413
    assert SEND_FILE in answer.json()["error"]


def test_a_v2_request_is_sent_to_its_own_path(client: httpx.Client, upstream: Upstream) -> None:
    """A body with binary tensors of V2 is not taken for a file."""
    headers = {"content-type": "application/octet-stream", "inference-header-content-length": "2"}
    answer = client.post("/classify", content=b"{}AAAA", headers=headers)
    check_error(answer.json(), error=V2_REQUEST)
    assert not upstream.requests


@pytest.mark.parametrize("files", [{"other": b"x"}, [("file", b"x"), ("file", b"y")]])
def test_exactly_one_file_is_taken(client: httpx.Client, upstream: Upstream, files: object) -> None:
    """Another name, or a second file, is refused, and the error says what is wrong."""
    answer = client.post("/classify", files=files)  # type: ignore[arg-type]
    assert answer.status_code == 400
    assert ("several files" if isinstance(files, list) else "field 'file'") in answer.json()["error"]
    assert not upstream.requests


def test_a_json_body_is_small(client: httpx.Client) -> None:
    """The proxy reads no more than an id can need."""
    assert client.post("/classify", content=bytes(100_000), headers=JSON).status_code == 413


def test_an_error_of_the_transformer_is_passed_on(client: httpx.Client, upstream: Upstream) -> None:
    """Status and message stay, without the number of the only element."""
    upstream.error = (404, {"error": "element 0: no such version"}, {})
    answer = client.post("/classify", json={"image_id": "a"})
    assert answer.status_code == 404
    check_error(answer.json(), error="no such version", code="not_found")


def test_an_unknown_id_may_be_the_name_of_a_file(client: httpx.Client, upstream: Upstream) -> None:
    """The error says how to send a file, and does not repeat the id."""
    upstream.error = (404, {"error": "element 0: gone"}, {"pleura-error": "radiograph_not_found"})
    answer = client.post("/classify", json={"image_id": "/home/doe/JANE.dcm"})
    check_error(answer.json(), error=UNKNOWN_ID, code="radiograph_not_found")
    assert "JANE" not in answer.text


@pytest.mark.parametrize("broken", ["outputs", "parameters", "model_version"])
def test_an_incomplete_answer_is_an_error(client: httpx.Client, upstream: Upstream, broken: str) -> None:
    """An answer without one of its parts is a 502."""
    upstream.error = (200, {n: v for n, v in build_v2_answer(DIGEST).items() if n != broken}, {})
    assert client.post("/classify", json={"image_id": "a"}).status_code == 502


def test_measured_is_null_where_it_cannot_be_known(client: httpx.Client, upstream: Upstream) -> None:
    """The figures of another revision do not count for the revision that answered."""
    upstream.digest = "e" * 64
    findings = client.post("/classify", json={"image_id": "a"}).json()["findings"]
    assert {finding["measured"] for finding in findings} == {None}


def test_work_for_a_disconnected_caller_is_cancelled(
    client: httpx.Client, proxy: Proxy, upstream: Upstream
) -> None:
    """The log line says that the caller had disconnected."""
    upstream.delay_s = 4
    with pytest.raises(httpx.ReadTimeout):
        client.post("/classify", json={"image_id": "a"}, headers={"x-request-id": "gone-2"}, timeout=0.5)
    wait_until(lambda: bool(read_log_lines(proxy, "gone-2")))
    assert read_log_lines(proxy, "gone-2")[0]["outcome"] == "client_gone"
