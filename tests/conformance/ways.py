"""The ways a question can be asked: by raw bytes and by NVIDIA's client, over each transport."""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import tritonclient.http as triton_http
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from tritonclient.utils import InferenceServerException

from tests.conformance.hops import GrpcAnswer, Hop, HttpAnswer
from tests.conformance.question import Question, Tensor
from tests.support import triton

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
"""The gRPC code that means what an HTTP status means."""
_DTYPES = {"FP32": "<f4", "BOOL": "?"}


@dataclass(frozen=True)
class WayAnswer:
    """What came back, whatever it came over; ``status`` is HTTP's, or the gRPC code's name."""

    status: str
    error: str = ""
    id: str = ""
    version: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    datatypes: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


Ask = Callable[[Hop, Question, triton.TritonClient], WayAnswer]


@dataclass(frozen=True)
class Way:
    """A transport, and who speaks it."""

    transport: str
    client: str
    ask: Ask
    speaks: Callable[[Tensor], bool] = lambda tensor: True

    @property
    def is_grpc(self) -> bool:
        """Whether statuses are gRPC codes."""
        return self.transport.startswith("grpc")

    def status(self, status: int) -> str:
        """How an HTTP status reads in an answer that came this way."""
        return CODES[status].name if self.is_grpc else str(status)


def read_rest(answer: HttpAnswer) -> WayAnswer:
    """Read an answer over REST, JSON outputs and binary ones."""
    document = answer.document
    if answer.status != 200:
        assert list(document) == ["error"], document
        assert answer.headers["content-type"] == "application/json"
        return WayAnswer(str(answer.status), document["error"], headers=answer.headers)
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
    return WayAnswer("200", "", document["id"], version, parameters, outputs, datatypes, answer.headers)


def read_grpc(answer: GrpcAnswer) -> WayAnswer:
    """Read an answer over gRPC."""
    if answer.code is not grpc.StatusCode.OK:
        return WayAnswer(answer.code.name, answer.details, headers=answer.trailing)
    message = pb.ModelInferResponse.FromString(answer.message)
    assert message.model_name == "chest-xray"
    assert len(message.raw_output_contents) == len(message.outputs)
    outputs = {
        output.name: np.frombuffer(raw, _DTYPES[output.datatype]).reshape(list(output.shape))
        for output, raw in zip(message.outputs, message.raw_output_contents, strict=True)
    }
    return WayAnswer(
        "OK",
        "",
        message.id,
        message.model_version,
        {name: getattr(v, v.WhichOneof("parameter_choice")) for name, v in message.parameters.items()},
        outputs,
        {output.name: output.datatype for output in message.outputs},
        answer.trailing,
    )


def _rest_json(hop: Hop, question: Question, client: triton.TritonClient) -> WayAnswer:
    return read_rest(hop.ask("POST", question.path, *question.as_json()))


def _rest_binary(hop: Hop, question: Question, client: triton.TritonClient) -> WayAnswer:
    return read_rest(hop.ask("POST", question.path, *question.as_binary()))


def _grpc_raw(hop: Hop, question: Question, client: triton.TritonClient) -> WayAnswer:
    return read_grpc(hop.call("ModelInfer", question.as_message().SerializeToString()))


def _grpc_typed(hop: Hop, question: Question, client: triton.TritonClient) -> WayAnswer:
    return read_grpc(hop.call("ModelInfer", question.as_message(typed=True).SerializeToString()))


def _triton_http(is_binary: bool) -> Ask:
    def ask(hop: Hop, question: Question, client: triton.TritonClient) -> WayAnswer:
        inputs = []
        for each in question.inputs:
            inputs.append(triton_http.InferInput(each.name, each.dimensions, each.datatype))
            inputs[-1].set_data_from_numpy(each.array, binary_data=is_binary)
        names = question.outputs or question.default_outputs
        with closing(triton_http.InferenceServerClient(hop.address, network_timeout=60)) as asking:
            try:
                result = asking.infer(
                    question.model,
                    inputs,
                    question.version,
                    [triton_http.InferRequestedOutput(name, binary_data=is_binary) for name in names],
                    request_id=question.id,
                    headers=hop.metadata,
                    parameters=dict(question.parameters) or None,
                )
            except InferenceServerException as error:
                return WayAnswer(error.status(), error.message())
        document = result.get_response()
        return WayAnswer(
            "200",
            "",
            document["id"],
            document["model_version"],
            document["parameters"],
            {output["name"]: result.as_numpy(output["name"]) for output in document["outputs"]},
        )

    return ask


def _triton_grpc(hop: Hop, question: Question, client: triton.TritonClient) -> WayAnswer:
    inputs = {each.name: (each.datatype, each.array) for each in question.inputs}
    call = triton.TritonCall(
        hop.service.grpc_address,
        "infer",
        (question.model,),
        inputs,
        question.outputs,
        question.id,
        hop.metadata,
        60.0,
        question.parameters,
        version=question.version,
    )
    try:
        answer = client.ask(call)
    except triton.CallFailed as error:
        return WayAnswer(error.status.removeprefix("StatusCode."), error.message)
    return WayAnswer("OK", "", answer["id"], answer["model_version"], answer["parameters"], answer["outputs"])


def _json_holds(tensor: Tensor) -> bool:
    return tensor.is_text


def _triton_json_holds(tensor: Tensor) -> bool:
    return tensor.is_text and tensor.is_whole


WAYS = (
    Way("rest-json", "raw", _rest_json, _json_holds),
    Way("rest-binary", "raw", _rest_binary),
    Way("grpc", "raw", _grpc_raw),
    Way("grpc-typed", "raw", _grpc_typed),
    Way("rest-json", "triton", _triton_http(is_binary=False), _triton_json_holds),
    Way("rest-binary", "triton", _triton_http(is_binary=True), lambda tensor: tensor.is_whole),
    Way("grpc", "triton", _triton_grpc, lambda tensor: tensor.is_whole),
)
