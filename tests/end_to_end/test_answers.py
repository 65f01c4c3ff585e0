"""Stored answers through the whole stack: who may read which, how they are found, and their overlays."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import grpc
import httpx
import numpy as np
import psycopg2
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages

from pleura.local.access import BUCKET, make_token
from pleura.local.object_store import build_store_client
from proof.lab.bucket import put_object
from proof.lab.files import make_dicom, make_gradient
from proof.lab.running_stack import RunningStack, run_pleura
from proof.lab.transformer import make_radiograph_png
from tests.support.planted.outputs import SERVICES

Ask = Callable[..., httpx.Response]
SCOPES = ("radiograph:classify", "answers:read")


@pytest.fixture
def ask(stack: RunningStack) -> Iterator[Ask]:
    """A function that sends a request as a principal with some scopes."""
    with httpx.Client(base_url=stack.record.address, timeout=60, trust_env=False) as http:

        def send(verb: str, path: str, who: str = "ris", *scopes: str, **more: Any) -> httpx.Response:
            token = make_token(stack.state.path, stack.record.issuer, who, scopes or SCOPES)
            headers = {"authorization": f"Bearer {token}"} | more.pop("headers", {})
            return http.request(verb, path, headers=headers, **more)

        yield send


def _new_number() -> str:
    """Make an accession number that no other test uses."""
    return f"ZQ{uuid.uuid4().int % 10**12:012d}"


def make_film(**elements: str) -> bytes:
    """Make a DICOM file that is large enough to be answered."""
    return make_dicom(make_gradient(300, 300), **elements)


def _store(stack: RunningStack, key: str, file: bytes) -> None:
    store = stack.record.store
    client = build_store_client(store["url"], store["access_key"], store["secret_key"])
    put_object(client, key, file)


def _classify_stored(ask: Ask, stack: RunningStack, **identifiers: str) -> tuple[str, dict[str, Any]]:
    """Store a new radiograph, and have it answered: its key, and the answer."""
    key = f"answers/{uuid.uuid4()}.png"
    _store(stack, key, make_radiograph_png(uuid.uuid4().int % 10**6))
    response = _ask_v2(ask, key, "ris", **identifiers) if identifiers else _ask_plainly(ask, key)
    assert response.status_code == 200, response.text
    answer = response.json()
    return key, {"request_id": answer.get("id"), **answer}


def _ask_plainly(ask: Ask, key: str) -> httpx.Response:
    return ask("POST", "/classify", json={"image_id": key})


def _ask_v2(ask: Ask, key: str, who: str, **identifiers: str) -> httpx.Response:
    tensor = {"name": "image_id", "datatype": "BYTES", "shape": [1], "data": [key]}
    body = {"inputs": [tensor], "parameters": identifiers}
    return ask("POST", "/v2/models/chest-xray/infer", who, json=body)


def test_an_answer_is_shown_as_it_was_given(ask: Ask, stack: RunningStack) -> None:
    """Findings, thresholds, model and typicality are those of the answer."""
    key, given = _classify_stored(ask, stack)
    shown = ask("GET", f"/answers/{given['request_id']}")
    assert shown.status_code == 200
    assert shown.headers["cache-control"] == "no-store"
    document = shown.json()
    assert (document["request_id"], document["answered_to"]) == (given["request_id"], "ris")
    (radiograph,) = document["radiographs"]
    assert (radiograph["position"], radiograph["image_id"], radiograph["identifiers"]) == (0, key, [])
    for name in ("model", "preprocessing_version", "cached"):
        assert radiograph[name] == given[name]
    assert radiograph["typicality"] == pytest.approx(given["typicality"], abs=1e-6)
    for stored, first in zip(radiograph["findings"], given["findings"], strict=True):
        assert stored == {name: pytest.approx(value, abs=1e-6) for name, value in first.items()}


def test_answers_are_found_by_parameter_and_header(ask: Ask, stack: RunningStack) -> None:
    """Whichever way the accession number came, the search finds the answer."""
    number, study = _new_number(), f"1.2.{uuid.uuid4().int % 10**20}"
    _, by_parameter = _classify_stored(ask, stack, accession_number=number, study_instance_uid=study)
    dicom = make_film(AccessionNumber=number, StudyInstanceUID=study, SOPInstanceUID=f"{study}.1")
    by_header = ask("POST", "/classify", files={"file": ("film", dicom)}).json()
    again = ask("POST", "/classify", files={"file": ("film", dicom)}).json()
    assert again["cached"]
    expected = [answer["request_id"] for answer in (again, by_header, by_parameter)]
    found = ask("GET", "/answers", params={"accession_number": number}).json()
    assert [answer["request_id"] for answer in found["answers"]] == expected
    assert (found["next"], found["complete"]) == (None, True)
    of_study = ask("GET", "/answers", params={"study_instance_uid": study, "accession_number": number}).json()
    assert [answer["request_id"] for answer in of_study["answers"]] == expected
    of_film = ask("GET", "/answers", params={"sop_instance_uid": f"{study}.1", "limit": 1}).json()
    assert [answer["request_id"] for answer in of_film["answers"]] == expected[:1]
    rest = ask("GET", "/answers", params={"sop_instance_uid": f"{study}.1", "cursor": of_film["next"]}).json()
    assert [answer["request_id"] for answer in rest["answers"]] == expected[1:2]


def test_answers_are_found_by_field_and_member(ask: Ask, stack: RunningStack) -> None:
    """A form has fields beside its file, and JSON has members beside the id."""
    number, key = _new_number(), f"answers/{uuid.uuid4()}.png"
    png = make_radiograph_png(uuid.uuid4().int % 10**6)
    _store(stack, key, png)
    form = ask("POST", "/classify", files={"file": ("film", png)}, data={"accession_number": number})
    member = ask("POST", "/classify", json={"image_id": key, "accession_number": number})
    assert (form.status_code, member.status_code) == (200, 200)
    found = ask("GET", "/answers", params={"accession_number": number}).json()["answers"]
    expected = [answer.json()["request_id"] for answer in (member, form)]
    assert [answer["request_id"] for answer in found] == expected
    dicom = make_film(AccessionNumber="A-1")
    for wrong in ("A-2", "x" * 17):
        refused = ask("POST", "/classify", files={"file": ("film", dicom)}, data={"accession_number": wrong})
        assert (refused.status_code, wrong in refused.text) == (400, False)
    assert refused.json()["code"] == "invalid_request"
    same = ask("POST", "/classify", files={"file": ("film", dicom)}, data={"accession_number": " A-1 "})
    assert same.status_code == 200


def test_several_films_of_one_grpc_request_have_their_own_numbers(ask: Ask, stack: RunningStack) -> None:
    """gRPC has no lists: a backslash stands between the values. The request shows both films."""
    numbers, keys = [_new_number(), _new_number()], [f"answers/{uuid.uuid4()}.png" for _ in range(2)]
    for key in keys:
        _store(stack, key, make_radiograph_png(uuid.uuid4().int % 10**6))
    contents = messages.InferTensorContents(bytes_contents=[key.encode() for key in keys])
    tensor = messages.ModelInferRequest.InferInputTensor(
        name="image_id", datatype="BYTES", shape=[2], contents=contents
    )
    request = messages.ModelInferRequest(
        model_name="chest-xray",
        inputs=[tensor],
        id=(request_id := str(uuid.uuid4())),
        parameters={"accession_number": {"string_param": "\\".join(numbers)}},
    )
    token = make_token(stack.state.path, stack.record.issuer, "ris", SCOPES)
    with grpc.insecure_channel(stack.record.grpc_address) as channel:
        send = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        send(request.SerializeToString(), metadata=[("authorization", f"Bearer {token}")], timeout=60)
    for position, number in enumerate(numbers):
        (found,) = ask("GET", "/answers", params={"accession_number": number}).json()["answers"]
        assert (found["request_id"], found["position"]) == (request_id, position)
    shown = ask("GET", f"/answers/{request_id}").json()["radiographs"]
    assert [radiograph["image_id"] for radiograph in shown] == keys
    second = ask("GET", f"/answers/{request_id}/overlay", params={"position": 1})
    assert second.status_code == 200


def test_a_refused_film_is_found_with_its_reason(ask: Ask, stack: RunningStack) -> None:
    """It has no findings, and so no overlay."""
    number = _new_number()
    leg = make_film(AccessionNumber=number, BodyPartExamined="LEG")
    refused = ask("POST", "/classify", files={"file": ("film", leg)})
    assert refused.status_code == 422
    (found,) = ask("GET", "/answers", params={"accession_number": number}).json()["answers"]
    assert (found["refusal_reasons"], found["findings"]) == (["not_chest"], [])
    overlay = ask("GET", f"/answers/{found['request_id']}/overlay")
    assert (overlay.status_code, overlay.json()["code"]) == (409, "radiograph_was_refused")


def test_a_parameter_that_contradicts_the_header_is_refused(ask: Ask, stack: RunningStack) -> None:
    """The film is another patient's, or the number is. Nothing is kept."""
    key, number = f"answers/{uuid.uuid4()}.dcm", _new_number()
    _store(stack, key, make_film(AccessionNumber="A-1"))
    refused = _ask_v2(ask, key, "ris", accession_number=number)
    assert refused.status_code == 400
    assert "'accession_number' is not the one in the file's header" in refused.text
    assert number not in refused.text
    assert ask("GET", "/answers", params={"accession_number": number}).json()["answers"] == []


def test_another_principals_answers_look_as_if_they_were_not_there(ask: Ask, stack: RunningStack) -> None:
    """The status and the text are those of an id that nobody used, for a foreign answer and its overlay."""
    number = _new_number()
    _, given = _classify_stored(ask, stack, accession_number=number)
    own = f"/answers/{given['request_id']}"
    refused = [
        ask("GET", path, "pacs", params=params)
        for path in (own, "/answers/nosuch", f"{own}/overlay", "/answers/nosuch/overlay")
        for params in ({}, {"answered_to": "ris"})
    ]
    texts = {(each.status_code, each.text.replace(each.headers["x-request-id"], "")) for each in refused}
    assert len(texts) == 1
    assert refused[0].status_code == 404
    assert ask("GET", "/answers", "pacs", params={"accession_number": number}).json()["answers"] == []
    for scopes in (("radiograph:classify", "model:read", "feedback:write"), ("answers:read_all",)):
        assert ask("GET", own, "ris", *scopes).status_code == 403
    everything = ("answers:read", "answers:read_all")
    assert ask("GET", own, "auditor", *everything).status_code == 404
    assert ask("GET", own, "auditor", *everything, params={"answered_to": "ris"}).status_code == 200
    found = ask("GET", "/answers", "auditor", *everything, params={"accession_number": number}).json()
    assert [answer["answered_to"] for answer in found["answers"]] == ["ris"]


def test_an_overlay_shows_the_finding_that_is_asked_for(ask: Ask, stack: RunningStack) -> None:
    """It is a PNG with the radiograph; by default the first finding of the list is drawn."""
    _, given = _classify_stored(ask, stack)
    path = f"/answers/{given['request_id']}/overlay"
    pictures = {}
    for finding in (None, "Effusion", "Hernia"):
        drawn = ask("GET", path, params={} if finding is None else {"finding": finding})
        assert (drawn.status_code, drawn.headers["content-type"]) == (200, "image/png"), drawn.text
        assert drawn.headers["cache-control"] == "no-store"
        assert finding in (None, drawn.headers["pleura-finding"])
        decoded = cv2.imdecode(np.frombuffer(drawn.content, np.uint8), cv2.IMREAD_COLOR)
        assert decoded is not None
        pictures[finding] = decoded
    assert pictures["Effusion"].shape[1] > 1200
    assert not np.array_equal(pictures["Effusion"], pictures["Hernia"])
    assert ask("GET", path, params={"finding": "effusion"}).status_code == 400
    assert ask("GET", path, params={"position": "1"}).status_code == 404


def test_an_overlay_is_never_drawn_on_another_radiograph(ask: Ask, stack: RunningStack) -> None:
    """A replaced object is 409, a deleted one 404, and a film that was sent as a file was never stored."""
    key, given = _classify_stored(ask, stack)
    path = f"/answers/{given['request_id']}/overlay"
    _store(stack, key, make_radiograph_png(uuid.uuid4().int % 10**6))
    replaced = ask("GET", path)
    assert (replaced.status_code, replaced.headers.get("content-type")) == (409, "application/json")
    store = stack.record.store
    build_store_client(store["url"], store["access_key"], store["secret_key"]).remove_object(BUCKET, key)
    assert ask("GET", path).status_code == 404
    sent = ask("POST", "/classify", files={"file": ("film", make_film())}).json()
    not_stored = ask("GET", f"/answers/{sent['request_id']}/overlay")
    assert not_stored.status_code == 404
    assert "sent as a file" in not_stored.text


def test_a_wrong_query_is_refused(ask: Ask) -> None:
    """Nothing is guessed or passed over, and nothing is repeated."""
    for query in (
        "",
        "accession_number=",
        "accession_number=zq12345678901234567",
        "study_instance_uid=zq1.2",
        "patient=zq",
        "accession_number=zq1&accession_number=zq2",
        "accession_number",
        "accession_number=%ff",
        "accession_number=zq&limit=0",
        "accession_number=zq&limit=zq",
        "accession_number=zq&cursor=zq",
        "accession_number=zq&" + "x" * 4000,
    ):
        refused = ask("GET", f"/answers?{query}")
        assert refused.status_code == 400, query
        assert "zq" not in refused.text
    assert ask("GET", "/answers/nosuch?limit=1").status_code == 400
    assert ask("POST", "/answers").status_code == 405


def test_no_log_and_no_journal_has_an_identifier(ask: Ask, stack: RunningStack) -> None:
    """Neither from a member, a header, a query nor an error."""
    number, study = _new_number(), f"1.2.{uuid.uuid4().int % 10**20}"
    _classify_stored(ask, stack, accession_number=number, study_instance_uid=study)
    ask("POST", "/classify", files={"file": ("film", make_film(AccessionNumber=number))})
    ask("GET", "/answers", params={"accession_number": number, "study_instance_uid": study})
    ask("GET", "/answers", params={"accession_number": number, "cursor": "x"})
    with stack.freeze("postgres"):
        assert ask("GET", "/answers", params={"accession_number": number}).status_code in (503, 504)
    texts = [Path(stack.record.parts[name].log).read_text() for name in SERVICES]
    with closing(psycopg2.connect(stack.journal_dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT answers::text FROM answers")
        texts += [row[0] for row in cursor.fetchall()]
    assert not any(value in text for text in texts for value in (number, study))


def test_the_command_line_shows_finds_and_draws(ask: Ask, stack: RunningStack, tmp_path: Path) -> None:
    """The three commands work on the local stack, and an error is one line."""
    number = _new_number()
    key = f"answers/{uuid.uuid4()}.png"
    _store(stack, key, make_radiograph_png(uuid.uuid4().int % 10**6))
    request_id = _ask_v2(ask, key, "local", accession_number=number).json()["id"]
    state = ("--state", str(stack.state.path), "answers")
    shown = run_pleura(*state, "show", request_id)
    assert shown.returncode == 0, shown.stderr
    assert key in shown.stdout
    assert "Effusion" in shown.stdout
    found = run_pleura(*state, "find", "--accession-number", number)
    assert found.returncode == 0, found.stderr
    assert request_id in found.stdout
    picture = tmp_path / "overlay.png"
    drawn = run_pleura(*state, "overlay", request_id, "--finding", "Effusion", "--output", str(picture))
    assert drawn.returncode == 0, drawn.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")
    missing = run_pleura(*state, "show", "nosuch")
    assert (missing.returncode, missing.stderr.count("\n")) == (1, 1)
    assert "the journal holds no such answer" in missing.stderr
