"""No planted name, number, date or token of a patient is found in anything that the services write."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages

from pleura.local.access import BUCKET, make_token
from pleura.local.object_store import build_store_client
from pleura.local.token_issuer import SCOPES
from proof.lab.running_stack import start_stack
from tests.support.collector import start_span_collector
from tests.support.planted.outputs import EXPORT_MS, SERVICES, read_journal, read_outputs
from tests.support.planted.requests import (
    feedback_requests,
    file_requests,
    header_requests,
    make_planted_dicom,
    requests_by_id,
    token_requests,
    v2_requests,
)
from tests.support.planted.stack_caller import StackCaller
from tests.support.planted.values import Plants, list_leaks

DOWN = ("predictor", "seaweed", "postgres", "valkey", "transformer")


@pytest.fixture(scope="module")
def asking(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackCaller]:
    """A stack of its own, all services at DEBUG, that exports its spans."""
    environment = {"PLEURA_LOG_LEVEL": "DEBUG", "OTEL_BSP_SCHEDULE_DELAY": str(EXPORT_MS)}
    with start_span_collector() as collector:
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.url
        running = start_stack(tmp_path_factory.mktemp("planted"), bundle, environment=environment)
        scopes = [*SCOPES, "zqvscope-of-the-caller"]
        token = make_token(running.state.path, running.record.issuer, "tester", scopes)
        yield StackCaller(running, collector, token)
        running.process.terminate()
        running.process.wait(60)


def grpc_calls(plants: Plants, file: bytes) -> list[tuple[str, bytes, list[tuple[str, str]]]]:
    """Planted values in gRPC messages and metadata."""

    def tensor(name: str, datatype: str, *elements: bytes) -> messages.ModelInferRequest.InferInputTensor:
        contents = messages.InferTensorContents(bytes_contents=elements)
        return messages.ModelInferRequest.InferInputTensor(
            name=name, datatype=datatype, shape=[len(elements)], contents=contents
        )

    def infer(*tensors: object, model: str = "chest-xray", **more: object) -> bytes:
        request = messages.ModelInferRequest(model_name=model, inputs=tensors, **more)
        return bytes(request.SerializeToString())

    good = tensor("image", "BYTES", file)
    metadata = [
        (name, plants.plant_name(f"gRPC metadata {name}"))
        for name in (
            "baggage",
            "x-patient-id",
            "user-agent",
            "x-correlation-id",
            "cookie",
            "x-pleura-principal",
        )
    ]
    requests = [
        infer(good),
        infer(tensor(plants.plant_name("gRPC input"), "BYTES", file)),
        infer(tensor("image", plants.plant_name("gRPC datatype"), file)),
        infer(tensor("image", "BYTES", plants.plant_name("gRPC element").encode())),
        infer(tensor("image_id", "BYTES", f"../{plants.plant_name('gRPC id')}".encode())),
        infer(good, model=plants.plant_name("gRPC model")),
        infer(good, model_version=plants.plant_name("gRPC version")),
        infer(good, id=f"{plants.plant_name('gRPC request id')}\n"),
        infer(good, outputs=[{"name": plants.plant_name("gRPC output")}]),
        infer(
            good,
            parameters={
                plants.plant_name("gRPC parameter"): {"string_param": plants.plant_name("gRPC value")}
            },
        ),
        b"\xff" + plants.plant_name("no message").encode(),
    ]
    calls = [("ModelInfer", request, metadata) for request in requests]
    for method in ("ModelMetadata", "ModelReady"):
        asked = messages.ModelReadyRequest(name=plants.plant_name(f"gRPC {method}")).SerializeToString()
        calls.append((method, asked, metadata))
    return [*calls, (plants.plant_name("gRPC method"), b"", metadata)]


def with_a_part_down(asking: StackCaller, ask: Callable[[], None]) -> None:
    """Ask while each part in turn does not answer."""
    for name in DOWN:
        with asking.stack.freeze(name):
            ask()


def test_nothing_planted_is_found(asking: StackCaller) -> None:
    """200 values in tags, headers, names and exceptions, with all parts up and each down: none is found."""
    plants = Plants()
    plants.places["zqvscope-of-the-caller"] = "scope of a good token"
    plants.places[asking.token.rpartition(".")[2][:40]] = "the caller's token"
    requests = [
        *file_requests(plants),
        *v2_requests(plants),
        *feedback_requests(plants),
        *header_requests(plants),
        *token_requests(plants),
    ]
    calls = grpc_calls(plants, make_planted_dicom(plants))
    asking.rest(requests)
    asking.grpc(calls)
    for part in ("transformer", "predictor"):
        asking.rest([*v2_requests(plants), *feedback_requests(plants)], part)
    some = [*file_requests(plants)][:4] + [*v2_requests(plants)][-3:] + [*feedback_requests(plants)][:2]

    def ask_some() -> None:
        asking.rest(some)
        asking.grpc(calls[:1])

    with_a_part_down(asking, ask_some)
    assert len(plants.places) >= 200
    assert {200, 400, 401, 404, 422, 503} <= set(asking.statuses)
    assert not asking.unsent
    for name in SERVICES:
        assert '"level": "debug"' in Path(asking.stack.record.parts[name].log).read_text()
    found = list_leaks(plants, [*read_outputs(asking), *read_journal(asking.stack)])
    assert not found, "\n".join(sorted(set(found)))


def test_object_keys_are_in_the_journal_and_nowhere_else(asking: StackCaller) -> None:
    """A name within a key, of an object that is there or not, stands in the column ``image_id`` only."""
    plants, recorded = Plants(), asking.stack.record
    kept = [
        f"ward/{plants.plant_name('key of an object')}.dcm",
        f"{plants.plant_name('key with an umlaut')}/ä b.dcm",
    ]
    missing = [
        f"gone/{plants.plant_name('key of no object')}",
        f"gone/{plants.plant_name('second key')} ü?&#.dcm",
    ]
    broken = [
        f"../{plants.plant_name('key with a traversal')}",
        f"{plants.plant_name('key with NUL')}\0",
        plants.plant_name("long") * 99,
    ]
    store = recorded.store
    client = build_store_client(store["url"], store["access_key"], store["secret_key"])
    for number, key in enumerate(kept):
        file = make_planted_dicom(plants)
        path = asking.stack.state.path.parent / f"kept{number}"
        path.write_bytes(file)
        client.fput_object(BUCKET, key, str(path))
    requests = [asked for key in [*kept, *missing, *broken] for asked in requests_by_id(key)]
    asking.rest(requests)
    asking.rest(requests)
    with_a_part_down(asking, lambda: asking.rest(requests))
    found = list_leaks(plants, [*read_outputs(asking), *read_journal(asking.stack, without="image_id")])
    assert not found, "\n".join(sorted(set(found)))
    assert list_leaks(plants, read_journal(asking.stack)), "the journal keeps what was asked about"


@pytest.mark.parametrize(
    "spelling", ["Zqv000Xandrova", "zqv000xandrova", "ZQV000XANDR", "WnF2MDAwWGFuZHJvdmE="]
)
def test_search_finds_what_is_there(spelling: str) -> None:
    """A planted value is found as it is, in other letters, cut short and in base64."""
    plants = Plants()
    plants.plant_name("place")
    assert plants.find_in(f"some text with {spelling} in it".encode())
    assert not plants.find_in(b"some text with Zqv001Yandrova in it")
