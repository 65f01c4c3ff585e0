"""The metadata of servers and models match their answers."""

from collections.abc import Callable
from typing import Any

import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from tests.conformance.servers import V2Server, V2Servers
from tests.conformance.v2_request import Tensor, V2Request
from tests.conformance.ways import WAYS, TransportAnswer

_SERVERS = ("proxy", "transformer", "predictor")
_MODEL = "/v2/models/chest-xray"


def _build_request(server: str, outputs: tuple[str, ...], rows: int) -> V2Request:
    if server != "predictor":
        return V2Request((Tensor(elements=("r0.png",) * rows),), outputs)
    pixels = (100,) * (rows * 224 * 224)
    return V2Request((Tensor("radiograph", pixels, "UINT8", (rows, 224, 224, 1)),), outputs)


def _list_outputs(document: dict[str, Any]) -> dict[str, tuple[str, list[int]]]:
    return {each["name"]: (each["datatype"], each["shape"]) for each in document["outputs"]}


def _matches(
    server: str, answer: TransportAnswer, specs: dict[str, tuple[str, list[int]]], rows: int
) -> bool:
    """Whether each output has the datatype and shape in the metadata, where -1 is the row count."""
    return all(
        answer.datatypes[name] == datatype
        and list(answer.outputs[name].shape) == [rows if size == -1 else size for size in shape]
        for name, (datatype, shape) in specs.items()
    )


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("way", [WAYS[1], WAYS[2]], ids=lambda way: way.transport)
@pytest.mark.parametrize("server", _SERVERS)
def test_answers_have_the_shapes_in_the_metadata(
    server: str, way: Any, rows: int, servers: V2Servers, triton_client: Any, count_run: Callable[..., None]
) -> None:
    """Every output in the metadata can be requested, and has the datatype and shape that they state."""
    count_run(case="metadata-are-true", transport=way.transport, server=server, client="raw")
    specs = _list_outputs(servers[server].send("GET", _MODEL).document)
    answer = way.send(servers[server], _build_request(server, tuple(specs), rows), triton_client)
    assert answer.error == ""
    assert list(answer.outputs) == list(specs)
    assert _matches(server, answer, specs, rows)
    assert not _matches(
        server, answer, {"present" if server != "predictor" else "typicality": ("X", [1])}, rows
    )


@pytest.mark.parametrize("server", _SERVERS)
def test_rest_and_grpc_give_the_same_metadata(
    server: str, servers: V2Servers, count_run: Callable[..., None]
) -> None:
    """Server and model metadata are the same over REST and gRPC, with and without a version."""
    count_run(case="metadata-are-the-same", transport="grpc", server=server, client="raw")
    v2_server = servers[server]
    metadata = pb.ServerMetadataResponse.FromString(v2_server.call("ServerMetadata", b"").message)
    assert v2_server.send("GET", "/v2").document == _to_document(metadata)
    for version in ("", "0.0.1"):
        path = f"{_MODEL}/versions/{version}" if version else _MODEL
        assert v2_server.send("GET", path).document == _read_model_over_grpc(v2_server, version)


def _to_document(metadata: Any) -> dict[str, Any]:
    return {"name": metadata.name, "version": metadata.version, "extensions": list(metadata.extensions)}


def _read_model_over_grpc(server: V2Server, version: str) -> dict[str, Any]:
    request = pb.ModelMetadataRequest(name="chest-xray", version=version)
    answer = server.call("ModelMetadata", request.SerializeToString())
    model = pb.ModelMetadataResponse.FromString(answer.message)

    def describe_tensors(tensors: Any) -> list[dict[str, Any]]:
        return [{"name": t.name, "datatype": t.datatype, "shape": list(t.shape)} for t in tensors]

    return {
        "name": model.name,
        "versions": list(model.versions),
        "platform": model.platform,
        "inputs": describe_tensors(model.inputs),
        "outputs": describe_tensors(model.outputs),
    }
