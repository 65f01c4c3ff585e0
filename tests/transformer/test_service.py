"""A real transformer process with real parts: its answers, its journal rows and its cache."""

import asyncio
import hashlib
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import numpy as np
import psycopg2
import pytest
import redis
from minio import Minio

from pleura.findings import FINDINGS
from pleura.local.dependencies import Server
from pleura.local.pleura_services import Service
from proof.lab.bucket import put_object
from proof.lab.transformer import (
    TransformerParts,
    make_radiograph_png,
    send_by_id,
    send_files,
    start_transformer,
)
from tests.support.errors import check_error
from tests.support.triton import CallFailed, TritonCall
from transformer.object_store import NO_SUCH_RADIOGRAPH


@pytest.fixture(scope="module")
def parts(
    predictor: Service,
    seaweed: Server,
    valkey: Server,
    postgres: Server,
    bucket: Minio,
    tmp_path_factory: pytest.TempPathFactory,
) -> TransformerParts:
    """The real parts."""
    spool = tmp_path_factory.mktemp("transformer") / "spool"
    return TransformerParts(predictor.grpc_address, seaweed.url, valkey.url, postgres.url, spool)


@pytest.fixture(scope="module")
def service(parts: TransformerParts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Start a transformer with these parts."""
    environment = parts.build_environment(PLEURA_MAX_IN_FLIGHT="300", PLEURA_MAX_FILE_MB="1")
    service = start_transformer(tmp_path_factory.mktemp("service"), environment)
    yield service
    service.stop()


def _rows(parts: TransformerParts, request_id: str, columns: str) -> list[tuple[Any, ...]]:
    statement = f"SELECT {columns} FROM answers WHERE request_id = %s ORDER BY position"
    with closing(psycopg2.connect(parts.journal_dsn)) as connection, connection.cursor() as cursor:
        cursor.execute(statement, (request_id,))
        return list(cursor.fetchall())


async def test_a_named_radiograph_is_answered_and_journaled(
    service: Service, parts: TransformerParts
) -> None:
    """The answer has its outputs and its revision, and the journal has its row."""
    answer = await send_by_id(service, ["r0.png"], {"x-pleura-principal": "ward-3"}, id="named")
    assert (answer.status, answer.body["id"], answer.body["model_version"]) == (200, "named", "0.0.1")
    assert [tensor["name"] for tensor in answer.body["outputs"]] == [
        "probability",
        "present",
        "typicality",
        "threshold",
    ]
    probability, threshold = answer.read_output("probability"), answer.read_output("threshold")
    np.testing.assert_array_equal(answer.read_output("present"), probability >= threshold)
    assert set(answer.body["parameters"]) == {
        "model_digest",
        "preprocessing_version",
        "cached",
        "journal",
        "warnings",
    }
    ((principal, image_id, findings, latency),) = _rows(
        parts, "named", "principal, image_id, findings, latency_ms"
    )
    expected = [name for name, there in zip(FINDINGS, answer.read_output("present")[0], strict=True) if there]
    assert (principal, image_id, findings) == ("ward-3", "r0.png", expected)
    how = {"stat"} if answer.body["parameters"]["cached"] else {"fetch", "decode", "predict"}
    assert {"cache", "until_journal", *how} <= set(latency)


async def test_a_sent_file_has_the_same_answer_as_the_stored_one(service: Service) -> None:
    """Both inputs give the same answer. Activation maps are sent when the request names them."""
    stored, sent = (
        await send_by_id(service, ["r1.png"]),
        await send_files(service, [make_radiograph_png(1)]),
    )
    np.testing.assert_allclose(stored.read_output("probability"), sent.read_output("probability"), atol=1e-6)
    with_map = await send_files(service, [make_radiograph_png(1)], outputs=[{"name": "activation_map"}])
    assert with_map.read_output("activation_map").shape == (1, 14, 7, 7)
    assert with_map.body["parameters"]["cached"]


async def test_the_journal_has_the_digest_of_the_file(
    service: Service, parts: TransformerParts, bucket: Minio
) -> None:
    """The digest is right for small and large files, stored and sent, read and cached."""
    files = [make_radiograph_png(30), make_radiograph_png(31, side=2048)]
    assert len(files[0]) < 2**19 < len(files[1])
    for number, file in enumerate(files):
        put_object(bucket, f"digest-{number}.png", file)
    names = ["digest-0.png", "digest-1.png"]
    for request_id in ("digests-read", "digests-cached"):
        await send_by_id(service, names, id=request_id)
    await send_files(service, files, id="digests-sent")
    digests = [(hashlib.sha256(file).hexdigest(),) for file in files]
    for request_id in ("digests-read", "digests-cached", "digests-sent"):
        assert _rows(parts, request_id, "image_digest") == digests


async def test_a_second_request_is_cached_until_the_object_changes(service: Service, bucket: Minio) -> None:
    """An overwritten object is a new radiograph."""
    put_object(bucket, "changing.png", make_radiograph_png(20))
    first, second = await send_by_id(service, ["changing.png"]), await send_by_id(service, ["changing.png"])
    put_object(bucket, "changing.png", make_radiograph_png(21))
    third = await send_by_id(service, ["changing.png"])
    assert [answer.body["parameters"]["cached"] for answer in (first, second, third)] == [False, True, False]
    np.testing.assert_array_equal(first.read_output("probability"), second.read_output("probability"))
    assert (first.read_output("probability") != third.read_output("probability")).any()


async def test_tritonclient_is_answered_over_grpc(service: Service) -> None:
    """Keys and binary files are answered over gRPC."""
    ids = {"image_id": ("BYTES", np.array([b"r2.png", b"r3.png"], np.object_))}
    named = await asyncio.to_thread(TritonCall(service.grpc_address, "infer", ("chest-xray",), ids))
    files = {"image": ("BYTES", np.array([make_radiograph_png(2), make_radiograph_png(3)], np.object_))}
    outputs = ("probability", "activation_map")
    sent = await asyncio.to_thread(TritonCall(service.grpc_address, "infer", ("chest-xray",), files, outputs))
    np.testing.assert_allclose(named["outputs"]["probability"], sent["outputs"]["probability"], atol=1e-6)
    assert sent["outputs"]["activation_map"].shape == (2, 14, 7, 7)
    assert named["parameters"]["journal"] == "written"


async def test_a_grpc_error_has_its_status(service: Service) -> None:
    """A radiograph that does not exist is NOT_FOUND."""
    ids = {"image_id": ("BYTES", np.array([b"nowhere.png"], np.object_))}
    with pytest.raises(CallFailed) as caught:
        await asyncio.to_thread(TritonCall(service.grpc_address, "infer", ("chest-xray",), ids))
    assert caught.value.status == "StatusCode.NOT_FOUND"


async def test_the_elements_that_fail_are_named(service: Service, parts: TransformerParts) -> None:
    """The error lists all failing elements, has the status of the first, and nothing is journaled."""
    answer = await send_by_id(service, ["r0.png", "nowhere.png", "text.dcm"], id="partial")
    assert answer.status == 404
    first, second = answer.body["error"].split("; ")
    assert first == f"element 1: {NO_SUCH_RADIOGRAPH}"
    assert second.startswith("element 2: ")
    elements = answer.body["elements"]
    codes = [(each["element"], each["code"]) for each in elements]
    assert codes == [(1, "radiograph_not_found"), (2, "unreadable_radiograph")]
    assert elements[0]["error"] == NO_SUCH_RADIOGRAPH
    assert _rows(parts, "partial", "position") == []


async def test_every_bad_id_of_a_request_is_named(service: Service) -> None:
    """The request is refused before anything is fetched, and the text stays short."""
    answer = await send_by_id(service, ["r0.png", "../secret", *["/r0.png"] * 20])
    assert (answer.status, answer.body["code"]) == (400, "invalid_request")
    assert [each["element"] for each in answer.body["elements"]] == list(range(1, 22))
    assert answer.body["error"].endswith("; and 13 more elements")


@pytest.mark.parametrize(
    ("ids", "status"),
    [
        (["nowhere.png"], 404),
        (["empty.png"], 400),
        (["text.dcm"], 400),
        (["../secret"], 400),
        (["/r0.png"], 400),
        (["a\x00b"], 400),
        (["x" * 1025], 400),
        ([""], 400),
        ([], 400),
        (["r0.png"] * 33, 400),
        (["r0.png"] * 1000, 400),
    ],
)
async def test_bad_ids_have_their_status(service: Service, ids: list[str], status: int) -> None:
    """Each bad id has a clear error and nothing else."""
    answer = await send_by_id(service, ids)
    assert answer.status == status
    check_error(answer.body)
    assert "http" not in answer.body["error"]


BYTES = {"name": "image_id", "datatype": "BYTES", "shape": [1], "data": ["r0.png"]}


@pytest.mark.parametrize(
    "document",
    [
        {"inputs": []},
        {"inputs": [BYTES, BYTES]},
        {"inputs": [BYTES, BYTES | {"name": "image"}]},
        {"inputs": [BYTES | {"name": "radiograph"}]},
        {"inputs": [BYTES | {"datatype": "FP32", "data": [1.0]}]},
        {"inputs": [BYTES | {"shape": [1, 1]}]},
        {"inputs": [BYTES | {"shape": [2]}]},
        {"inputs": [BYTES], "outputs": [{"name": "verdict"}]},
        {"inputs": [BYTES], "id": "two\nlines"},
        {"inputs": [BYTES], "id": "x" * 257},
    ],
)
async def test_an_invalid_request_is_400(service: Service, document: dict[str, Any]) -> None:
    """Wrong inputs, datatypes, shapes, outputs and ids are errors of the client."""
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        response = await client.post(f"{service.url}/v2/models/chest-xray/infer", json=document)
    assert response.status_code == 400
    check_error(response.json(), code="invalid_request")


async def test_a_file_beyond_its_limit_is_too_large(service: Service, bucket: Minio) -> None:
    """A stored or sent file is refused before it is decoded."""
    put_object(bucket, "large.png", bytes(2**20 + 1))
    answer = await send_by_id(service, ["large.png"])
    assert answer.status == 413
    assert (await send_files(service, [bytes(2**20 + 1)])).status == 413


async def test_one_request_id_is_one_row_and_one_radiograph(
    service: Service, parts: TransformerParts
) -> None:
    """A repeated request is answered again. Another radiograph under the same id is a conflict."""
    answers = [await send_by_id(service, ids, id="repeated") for ids in (["r4.png"], ["r4.png"], ["r5.png"])]
    assert [answer.status for answer in answers] == [200, 200, 409]
    assert _rows(parts, "repeated", "image_id") == [("r4.png",)]


async def test_corrupt_cache_entries_are_misses(service: Service, parts: TransformerParts) -> None:
    """The answer stays right when cache entries are damaged."""
    before = await send_by_id(service, ["r6.png"])
    with redis.Redis.from_url(parts.redis_url) as client:
        for key in client.scan_iter("pleura:answer:*"):
            value = client.get(key)
            assert isinstance(value, bytes)
            client.set(key, value[:-5] + b"wrong")
    after = await send_by_id(service, ["r6.png"])
    np.testing.assert_array_equal(before.read_output("probability"), after.read_output("probability"))
    assert not after.body["parameters"]["cached"]


async def test_a_short_deadline_is_kept(service: Service) -> None:
    """A caller with no time left gets an error quickly."""
    answer = await send_by_id(service, ["r7.png"], {"x-request-timeout-ms": "1"})
    assert answer.status in (503, 504)
    wrong = await send_by_id(service, ["r7.png"], {"x-request-timeout-ms": "soon"})
    assert wrong.status == 400


async def test_each_request_is_one_line_without_names(service: Service, bucket: Minio) -> None:
    """The log line has the outcome, but not the object's key, which may contain a patient's name."""
    put_object(bucket, "Doe^Jane.png", make_radiograph_png(30))
    await send_by_id(service, ["Doe^Jane.png"], id="logged")
    await send_by_id(service, ["Doe^John.png"], id="logged-too")
    text = service.log.read_text()
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    found = {line["request_id"]: line for line in lines if str(line.get("request_id")).startswith("logged")}
    assert (found["logged"]["outcome"], found["logged"]["revision"]) == ("ok", "0.0.1")
    assert found["logged-too"]["outcome"] == "radiograph_not_found"
    assert "Doe" not in text


async def test_the_model_is_described(service: Service) -> None:
    """Metadata and description are those of the model that answers now."""
    async with httpx.AsyncClient(base_url=service.url, trust_env=False) as client:
        metadata = (await client.get("/v2/models/chest-xray")).json()
        info = (await client.get("/model-info")).json()
    assert [tensor["name"] for tensor in metadata["inputs"]] == ["image_id", "image"]
    assert metadata["versions"] == [info["description"]["version"]] == ["0.0.1"]
