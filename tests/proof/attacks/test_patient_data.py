"""No output of the services contains a planted name, number, date or token of a patient."""

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
    answers_requests,
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
def caller(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackCaller]:
    """A caller of a separate stack, which logs at DEBUG and exports its spans."""
    environment = {"PLEURA_LOG_LEVEL": "DEBUG", "OTEL_BSP_SCHEDULE_DELAY": str(EXPORT_MS)}
    with start_span_collector() as collector:
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.url
        stack = start_stack(tmp_path_factory.mktemp("planted"), bundle, environment=environment)
        scopes = [*SCOPES, "zqvscope-of-the-caller"]
        token = make_token(stack.state.path, stack.record.issuer, "tester", scopes)
        yield StackCaller(stack, collector, token)
        stack.process.terminate()
        stack.process.wait(60)


def make_grpc_calls(plants: Plants, file: bytes) -> list[tuple[str, bytes, list[tuple[str, str]]]]:
    """Make gRPC calls with planted values in messages and metadata."""

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
        request = messages.ModelReadyRequest(name=plants.plant_name(f"gRPC {method}")).SerializeToString()
        calls.append((method, request, metadata))
    return [*calls, (plants.plant_name("gRPC method"), b"", metadata)]


def run_with_each_part_frozen(caller: StackCaller, run: Callable[[], None]) -> None:
    """Run a function while each part in turn does not answer."""
    for name in DOWN:
        with caller.stack.freeze(name):
            run()


def test_no_output_contains_a_planted_value(caller: StackCaller) -> None:
    """Plant 200 values in tags, headers, names and errors, also with each part down. None is found."""
    plants = Plants()
    plants.places["zqvscope-of-the-caller"] = "scope of a good token"
    plants.places[caller.token.rpartition(".")[2][:40]] = "the caller's token"
    plants.places[caller.stack.service_key] = "the service key"
    requests = [
        *file_requests(plants),
        *v2_requests(plants),
        *feedback_requests(plants),
        *answers_requests(plants),
        *header_requests(plants),
        *token_requests(plants),
    ]
    calls = make_grpc_calls(plants, make_planted_dicom(plants))
    caller.send_rest(requests)
    caller.send_grpc(calls)
    for part in ("transformer", "predictor"):
        caller.send_rest([*v2_requests(plants), *feedback_requests(plants), *answers_requests(plants)], part)
    sample = [*file_requests(plants)][:4] + [*v2_requests(plants)][-3:] + [*feedback_requests(plants)][:2]
    sample += [*answers_requests(plants)][:3]

    def send_some() -> None:
        caller.send_rest(sample)
        caller.send_grpc(calls[:1])

    run_with_each_part_frozen(caller, send_some)
    assert len(plants.places) >= 200
    assert {200, 400, 401, 404, 422, 503} <= set(caller.statuses)
    assert not caller.unsent
    for name in SERVICES:
        assert '"level": "debug"' in Path(caller.stack.record.parts[name].log).read_text()
    found = list_leaks(plants, [*read_outputs(caller), *read_journal(caller.stack)])
    assert not found, "\n".join(sorted(set(found)))


def test_only_the_journal_contains_object_keys(caller: StackCaller) -> None:
    """A name in an object key is only in the column ``image_id``, whether or not the object exists."""
    plants, store = Plants(), caller.stack.record.store
    existing = [
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
    client = build_store_client(store["url"], store["access_key"], store["secret_key"])
    for number, key in enumerate(existing):
        file = make_planted_dicom(plants)
        path = caller.stack.state.path.parent / f"existing{number}"
        path.write_bytes(file)
        client.fput_object(BUCKET, key, str(path))
    requests = [request for key in [*existing, *missing, *broken] for request in requests_by_id(key)]
    caller.send_rest(requests)
    caller.send_rest(requests)
    run_with_each_part_frozen(caller, lambda: caller.send_rest(requests))
    found = list_leaks(
        plants, [*read_outputs(caller), *read_journal(caller.stack, without_column="image_id")]
    )
    assert not found, "\n".join(sorted(set(found)))
    assert list_leaks(plants, read_journal(caller.stack)), "the journal stores the object keys of requests"


@pytest.mark.parametrize(
    "spelling", ["Zqv000Xandrova", "zqv000xandrova", "ZQV000XANDR", "WnF2MDAwWGFuZHJvdmE="]
)
def test_search_finds_planted_values(spelling: str) -> None:
    """A planted value is found as it is, in other letter cases, cut short and in base64."""
    plants = Plants()
    plants.plant_name("place")
    assert plants.find_in(f"some text with {spelling} in it".encode())
    assert not plants.find_in(b"some text with Zqv001Yandrova in it")
