"""Each reason that a DICOM header gives is refused through the whole stack, over REST and gRPC alike."""

import json
import struct
from collections.abc import Iterator
from contextlib import closing
from typing import Any, get_args

import grpc
import httpx
import psycopg2
import pytest

from pleura.errors import ERROR_DETAILS_HEADER, RefusalReason
from pleura.local.access import make_token
from pleura.serving.kserve_import import GRPCInferenceServiceStub, grpc_messages
from proof.lab.files import make_dicom, make_gradient
from proof.lab.running_stack import RunningStack

PIXELS = make_gradient(300, 240)
REFUSED: dict[str, dict[str, Any]] = {
    "not_a_radiograph": {"Modality": "CT"},
    "for_processing": {"PresentationIntentType": "FOR PROCESSING"},
    "not_chest": {"BodyPartExamined": "HAND"},
    "not_frontal": {"ViewPosition": "LL"},
    "pediatric": {"PatientAge": "004Y"},
    "orientation": {"PatientOrientation": ["L", "R"]},
    "too_small": {},
    "several_frames": {"NumberOfFrames": 2},
}


def _make_film(reason: str) -> bytes:
    pixels = make_gradient(40, 300) if reason == "too_small" else PIXELS
    return make_dicom(pixels, **REFUSED[reason])


@pytest.fixture
def token(stack: RunningStack) -> str:
    """A token that may classify."""
    return make_token(stack.state.path, stack.record.issuer, "ris", ("radiograph:classify", "model:read"))


@pytest.fixture
def rest(stack: RunningStack, token: str) -> Iterator[httpx.Client]:
    """A client of REST."""
    headers = {"authorization": f"Bearer {token}"}
    with httpx.Client(base_url=stack.record.address, headers=headers, timeout=60, trust_env=False) as client:
        yield client


def _read_reasons(stack: RunningStack, request_id: str) -> list[tuple[Any, ...]]:
    statement = 'SELECT "position", refusal_reasons, findings FROM answers WHERE request_id = %s ORDER BY 1'
    with closing(psycopg2.connect(stack.journal_dsn)) as connection, connection.cursor() as cursor:
        cursor.execute(statement, (request_id,))
        return list(cursor.fetchall())


@pytest.mark.parametrize("reason", REFUSED)
def test_a_reason_of_the_header_is_refused(
    stack: RunningStack, rest: httpx.Client, token: str, reason: str
) -> None:
    """The status is 422 and FAILED_PRECONDITION, the text names the reason, and the journal has it."""
    film, request_id = _make_film(reason), f"refused-{reason}"
    answer = rest.post("/classify", files={"file": ("film", film)}, headers={"x-request-id": request_id})
    assert answer.status_code == 422
    assert answer.json()["error"].endswith(f"({reason})")
    assert answer.json()["reason"] == reason
    assert _read_reasons(stack, request_id) == [(0, [reason], None)]
    error = _fail_by_grpc(stack, token, film)
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert str(error.details()).endswith(f"({reason})")
    assert _read_details(error) == {"reason": reason}


def test_every_film_that_fails_is_listed(stack: RunningStack, rest: httpx.Client, token: str) -> None:
    """A program reads the elements that failed, each with code and reason, over REST and gRPC."""
    films = [make_dicom(PIXELS), _make_film("not_chest"), b"text", _make_film("pediatric")]
    raw = b"".join(struct.pack("<I", len(film)) + film for film in films)
    tensor = {
        "name": "image",
        "datatype": "BYTES",
        "shape": [4],
        "parameters": {"binary_data_size": len(raw)},
    }
    head = json.dumps({"id": "four-films", "inputs": [tensor]}).encode()
    headers = {"inference-header-content-length": str(len(head))}
    answer = rest.post("/v2/models/chest-xray/infer", content=head + raw, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "refused_radiograph")
    elements = answer.json()["elements"]
    failed = [(each["element"], each["code"], each.get("reason")) for each in elements]
    assert failed == [
        (1, "refused_radiograph", "not_chest"),
        (2, "unreadable_radiograph", None),
        (3, "refused_radiograph", "pediatric"),
    ]
    assert all(each["error"] in answer.json()["error"] for each in elements)
    assert _read_reasons(stack, "four-films") == [(1, ["not_chest"], None), (3, ["pediatric"], None)]
    details = _read_details(_fail_by_grpc(stack, token, *films))
    assert [(each["element"], each["code"]) for each in details["elements"]] == [each[:2] for each in failed]


def test_what_is_passed_over_is_told(rest: httpx.Client) -> None:
    """An answer has its warnings, without a word of the header's own."""
    film = make_dicom(
        PIXELS, BurnedInAnnotation="YES", LossyImageCompression="01", LossyImageCompressionRatio="9"
    )
    answer = rest.post("/classify", files={"file": ("film", film)})
    assert answer.status_code == 200, answer.text
    texts = {warning["code"]: warning["text"] for warning in answer.json()["warnings"]}
    assert texts["lossy_compression"].endswith("9 to 1")
    assert "burned_in_annotation" in texts


def test_the_policy_is_stated(rest: httpx.Client) -> None:
    """``/model-info`` tells what follows from each reason."""
    policy = rest.get("/model-info").json()["refusal_policy"]
    assert set(policy) == set(get_args(RefusalReason))
    assert (policy["not_chest"], policy["untypical"]) == ("refuse", "warn")


def _fail_by_grpc(stack: RunningStack, token: str, *films: bytes) -> grpc.RpcError:
    request = grpc_messages.ModelInferRequest(model_name="chest-xray")
    request.inputs.add(name="image", datatype="BYTES", shape=[len(films)])
    request.inputs[0].contents.bytes_contents.extend(films)
    metadata = (("authorization", f"Bearer {token}"),)
    with grpc.insecure_channel(stack.record.grpc_address) as channel:
        with pytest.raises(grpc.RpcError) as raised:
            GRPCInferenceServiceStub(channel).ModelInfer(request, metadata=metadata, timeout=60)
        return raised.value


def _read_details(error: Any) -> dict[str, Any]:
    trailing = dict(error.trailing_metadata())
    details: dict[str, Any] = json.loads(trailing[ERROR_DETAILS_HEADER])
    return details
