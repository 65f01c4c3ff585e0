"""The ways to send a request: as raw bytes and with NVIDIA's client, over each transport."""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import tritonclient.http as triton_http
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from tritonclient.utils import InferenceServerException

from tests.conformance.servers import GrpcAnswer, HttpAnswer, V2Server
from tests.conformance.v2_request import Tensor, V2Request
from tests.support import triton
from tests.support.errors import check_error

CODES: Mapping[int, grpc.StatusCode] = {
    200: grpc.StatusCode.OK,
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.ALREADY_EXISTS,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    422: grpc.StatusCode.FAILED_PRECONDITION,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""The gRPC code for each HTTP status."""
_DTYPES = {"FP32": "<f4", "BOOL": "?"}


@dataclass(frozen=True)
class TransportAnswer:
    """An answer over any transport. ``status`` is the HTTP status or the name of the gRPC code."""

    status: str
    error: str = ""
    id: str = ""
    version: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    datatypes: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


Send = Callable[[V2Server, V2Request, triton.TritonClient], TransportAnswer]


@dataclass(frozen=True)
class Way:
    """A transport and the client that uses it."""

    transport: str
    client: str
    send: Send
    can_send: Callable[[Tensor], bool] = lambda tensor: True

    @property
    def is_grpc(self) -> bool:
        """Whether statuses are gRPC codes."""
        return self.transport.startswith("grpc")

    def translate_status(self, status: int) -> str:
        """Translate an HTTP status into the status of this transport."""
        return CODES[status].name if self.is_grpc else str(status)


def read_rest(answer: HttpAnswer) -> TransportAnswer:
    """Read an answer over REST, with JSON and binary outputs."""
    document = answer.document
    if answer.status != 200:
        check_error(document)
        assert answer.headers["content-type"] == "application/json"
        return TransportAnswer(str(answer.status), document["error"], headers=answer.headers)
    binary = answer.body[int(answer.headers.get("inference-header-content-length", len(answer.body))) :]
    outputs, datatypes = {}, {}
    for output in document["outputs"]:
        dtype = _DTYPES[output["datatype"]]
        if "data" in output:
            flat = np.array(output["data"], dtype)
        else:
            size = output["parameters"]["binary_data_size"]
            flat, binary = np.frombuffer(binary[:size], dtype), binary[size:]
        outputs[output["name"]] = flat.reshape(output["shape"])
        datatypes[output["name"]] = output["datatype"]
    assert binary == b""
    assert document["model_name"] == "chest-xray"
    version, parameters = document["model_version"], document.get("parameters", {})
    return TransportAnswer("200", "", document["id"], version, parameters, outputs, datatypes, answer.headers)


def read_grpc(answer: GrpcAnswer) -> TransportAnswer:
    """Read an answer over gRPC."""
    if answer.code is not grpc.StatusCode.OK:
        return TransportAnswer(answer.code.name, answer.details, headers=answer.trailing)
    message = pb.ModelInferResponse.FromString(answer.message)
    assert message.model_name == "chest-xray"
    assert len(message.raw_output_contents) == len(message.outputs)
    outputs = {
        output.name: np.frombuffer(raw, _DTYPES[output.datatype]).reshape(list(output.shape))
        for output, raw in zip(message.outputs, message.raw_output_contents, strict=True)
    }
    return TransportAnswer(
        "OK",
        "",
        message.id,
        message.model_version,
        {name: getattr(v, v.WhichOneof("parameter_choice")) for name, v in message.parameters.items()},
        outputs,
        {output.name: output.datatype for output in message.outputs},
        answer.trailing,
    )


def _send_rest_json(server: V2Server, request: V2Request, client: triton.TritonClient) -> TransportAnswer:
    return read_rest(server.send("POST", request.path, *request.encode_json()))


def _send_rest_binary(server: V2Server, request: V2Request, client: triton.TritonClient) -> TransportAnswer:
    return read_rest(server.send("POST", request.path, *request.encode_binary()))


def _send_raw_grpc(server: V2Server, request: V2Request, client: triton.TritonClient) -> TransportAnswer:
    return read_grpc(server.call("ModelInfer", request.to_message().SerializeToString()))


def _send_typed_grpc(server: V2Server, request: V2Request, client: triton.TritonClient) -> TransportAnswer:
    return read_grpc(server.call("ModelInfer", request.to_message(typed=True).SerializeToString()))


def _make_triton_http_sender(is_binary: bool) -> Send:
    def send(server: V2Server, request: V2Request, client: triton.TritonClient) -> TransportAnswer:
        inputs = []
        for each in request.inputs:
            inputs.append(triton_http.InferInput(each.name, each.dimensions, each.datatype))
            inputs[-1].set_data_from_numpy(each.array, binary_data=is_binary)
        names = request.outputs or request.default_outputs
        with closing(triton_http.InferenceServerClient(server.address, network_timeout=60)) as http_client:
            try:
                result = http_client.infer(
                    request.model,
                    inputs,
                    request.version,
                    [triton_http.InferRequestedOutput(name, binary_data=is_binary) for name in names],
                    request_id=request.id,
                    headers=server.metadata,
                    parameters=dict(request.parameters) or None,
                )
            except InferenceServerException as error:
                return TransportAnswer(error.status(), error.message())
        document = result.get_response()
        return TransportAnswer(
            "200",
            "",
            document["id"],
            document["model_version"],
            document["parameters"],
            {output["name"]: result.as_numpy(output["name"]) for output in document["outputs"]},
        )

    return send


def _send_triton_grpc(server: V2Server, request: V2Request, client: triton.TritonClient) -> TransportAnswer:
    inputs = {each.name: (each.datatype, each.array) for each in request.inputs}
    call = triton.TritonCall(
        server.service.grpc_address,
        "infer",
        (request.model,),
        inputs,
        request.outputs,
        request.id,
        server.metadata,
        60.0,
        request.parameters,
        version=request.version,
    )
    try:
        answer = client.send(call)
    except triton.CallFailed as error:
        return TransportAnswer(error.status.removeprefix("StatusCode."), error.message)
    return TransportAnswer(
        "OK", "", answer["id"], answer["model_version"], answer["parameters"], answer["outputs"]
    )


def _can_send_json(tensor: Tensor) -> bool:
    return tensor.is_text


def _can_triton_send_json(tensor: Tensor) -> bool:
    return tensor.is_text and tensor.has_consistent_shape


WAYS = (
    Way("rest-json", "raw", _send_rest_json, _can_send_json),
    Way("rest-binary", "raw", _send_rest_binary),
    Way("grpc", "raw", _send_raw_grpc),
    Way("grpc-typed", "raw", _send_typed_grpc),
    Way("rest-json", "triton", _make_triton_http_sender(is_binary=False), _can_triton_send_json),
    Way(
        "rest-binary",
        "triton",
        _make_triton_http_sender(is_binary=True),
        lambda tensor: tensor.has_consistent_shape,
    ),
    Way("grpc", "triton", _send_triton_grpc, lambda tensor: tensor.has_consistent_shape),
)
