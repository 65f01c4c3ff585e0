"""What servers and models say of themselves is what they do."""

from collections.abc import Callable
from typing import Any

import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from tests.conformance.hops import Hop, Hops
from tests.conformance.question import Question, Tensor
from tests.conformance.ways import WAYS, WayAnswer

_HOPS = ("proxy", "transformer", "predictor")
_MODEL = "/v2/models/chest-xray"


def _question(hop: str, outputs: tuple[str, ...], rows: int) -> Question:
    if hop != "predictor":
        return Question((Tensor(elements=("r0.png",) * rows),), outputs)
    pixels = (100,) * (rows * 224 * 224)
    return Question((Tensor("radiograph", pixels, "UINT8", (rows, 224, 224, 1)),), outputs)


def _specs(document: dict[str, Any]) -> dict[str, tuple[str, list[int]]]:
    return {each["name"]: (each["datatype"], each["shape"]) for each in document["outputs"]}


def _matches(hop: str, answer: WayAnswer, specs: dict[str, tuple[str, list[int]]], rows: int) -> bool:
    """Whether each output has the datatype and shape that the metadata promise; -1 is the row count."""
    return all(
        answer.datatypes[name] == datatype
        and list(answer.outputs[name].shape) == [rows if size == -1 else size for size in shape]
        for name, (datatype, shape) in specs.items()
    )


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("way", [WAYS[1], WAYS[2]], ids=lambda way: way.transport)
@pytest.mark.parametrize("hop", _HOPS)
def test_answers_have_the_shapes_that_metadata_promise(
    hop: str, way: Any, rows: int, hops: Hops, triton_client: Any, count_run: Callable[..., None]
) -> None:
    """Every output that metadata name can be asked for, and comes in the promised datatype and shape."""
    count_run(case="metadata-are-true", transport=way.transport, hop=hop, client="raw")
    specs = _specs(hops[hop].ask("GET", _MODEL).document)
    answer = way.ask(hops[hop], _question(hop, tuple(specs), rows), triton_client)
    assert answer.error == ""
    assert list(answer.outputs) == list(specs)
    assert _matches(hop, answer, specs, rows)
    assert not _matches(hop, answer, {"present" if hop != "predictor" else "typicality": ("X", [1])}, rows)


@pytest.mark.parametrize("hop", _HOPS)
def test_rest_and_grpc_say_the_same(hop: str, hops: Hops, count_run: Callable[..., None]) -> None:
    """Server and model metadata are the same over both, plain and for a version."""
    count_run(case="metadata-are-the-same", transport="grpc", hop=hop, client="raw")
    asked = hops[hop]
    server = pb.ServerMetadataResponse.FromString(asked.call("ServerMetadata", b"").message)
    assert asked.ask("GET", "/v2").document == _plain(server)
    for version in ("", "0.0.1"):
        path = f"{_MODEL}/versions/{version}" if version else _MODEL
        assert asked.ask("GET", path).document == _model_over_grpc(asked, version)


def _plain(server: Any) -> dict[str, Any]:
    return {"name": server.name, "version": server.version, "extensions": list(server.extensions)}


def _model_over_grpc(hop: Hop, version: str) -> dict[str, Any]:
    request = pb.ModelMetadataRequest(name="chest-xray", version=version)
    answer = hop.call("ModelMetadata", request.SerializeToString())
    model = pb.ModelMetadataResponse.FromString(answer.message)

    def tensors(of: Any) -> list[dict[str, Any]]:
        return [{"name": t.name, "datatype": t.datatype, "shape": list(t.shape)} for t in of]

    return {
        "name": model.name,
        "versions": list(model.versions),
        "platform": model.platform,
        "inputs": tensors(model.inputs),
        "outputs": tensors(model.outputs),
    }
