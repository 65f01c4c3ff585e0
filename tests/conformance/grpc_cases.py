"""gRPC messages, methods and metadata that no client of the protocol would send."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from tests.conformance.servers import SERVICE, GrpcAnswer
from tests.conformance.v2_request import MODEL, Tensor, V2Request

BOTH = ("proxy", "transformer")
EVERYWHERE = (*BOTH, "predictor")
OK, INVALID = grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND, UNIMPLEMENTED = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED
_NO_MODEL = "no model of that name is served"
_NO_VERSION = "no such version of the model is served"
_NO_METHOD = "Method not found!"
_UNREADABLE = "the message is not of its type"


@dataclass(frozen=True)
class GrpcCase:
    """A message to a method, with its expected code and whole error text.

    ``details`` is None if grpc words the error. ``check`` checks the answer.
    """

    name: str
    message: bytes = b""
    code: grpc.StatusCode = OK
    details: str | None = ""
    method: str = "ModelInfer"
    metadata: tuple[tuple[str, str], ...] = ()
    compression: grpc.Compression | None = None
    servers: tuple[str, ...] = BOTH
    check: Callable[[GrpcAnswer], object] = field(default=lambda answer: True)


def _build_infer(
    change: Callable[[Any], object] = lambda message: None, typed: bool = False, **more: Any
) -> bytes:
    message = V2Request(**more).to_message(typed)
    change(message)
    return bytes(message.SerializeToString())


def _has_id(expected: str) -> Callable[[GrpcAnswer], bool]:
    return lambda answer: bool(pb.ModelInferResponse.FromString(answer.message).id == expected)


def _has_new_id(answer: GrpcAnswer) -> bool:
    in_body = pb.ModelInferResponse.FromString(answer.message).id
    return len(in_body) == 36 and answer.trailing.get("x-request-id", in_body) == in_body


def _clear_raw(message: Any) -> None:
    del message.raw_input_contents[:]


def _replace_raw(*raw: bytes) -> Callable[[Any], None]:
    def change(message: Any) -> None:
        _clear_raw(message)
        message.raw_input_contents.extend(raw)

    return change


def _add_typed_content(message: Any) -> None:
    message.inputs[0].contents.bytes_contents.append(b"r0.png")


def _replace_contents(message: Any) -> None:
    message.inputs[0].contents.Clear()
    message.inputs[0].contents.int_contents.append(1)


def _add_other_content(message: Any) -> None:
    message.inputs[0].contents.int_contents.append(1)


def _add_empty_parameters(message: Any) -> None:
    message.parameters["empty"].SetInParent()
    message.inputs[0].parameters["empty"].SetInParent()


def _add_output_parameter(message: Any) -> None:
    message.outputs.add(name="present").parameters["binary_data"].bool_param = False


def _add_unknown_field(message: Any) -> None:
    message.MergeFromString(b"\xfa\x3e\x03abc")


_TWO = (Tensor(elements=("r0.png", "r0.png")),)
_INFER = (
    GrpcCase("raw", _build_infer()),
    GrpcCase("typed", _build_infer(typed=True)),
    GrpcCase("id-missing", _build_infer(), check=_has_new_id),
    GrpcCase("id-of-message", _build_infer(id="m-1"), check=_has_id("m-1")),
    GrpcCase("id-of-metadata", _build_infer(), metadata=(("x-request-id", "h-1"),), check=_has_id("h-1")),
    GrpcCase(
        "id-of-message-before-metadata",
        _build_infer(id="m-1"),
        metadata=(("x-request-id", "h-1"),),
        check=_has_id("m-1"),
    ),
    GrpcCase(
        "odd-id-in-metadata",
        _build_infer(),
        INVALID,
        "x-request-id must be 1 to 128 letters, digits and any of . _ : -",
        metadata=(("x-request-id", "a b"),),
        servers=("proxy",),
    ),
    GrpcCase("version-empty", _build_infer(version="")),
    GrpcCase("version-right", _build_infer(version="0.0.1")),
    GrpcCase("version-wrong", _build_infer(version="9"), NOT_FOUND, _NO_VERSION),
    GrpcCase("model-wrong", _build_infer(model="other"), NOT_FOUND, _NO_MODEL),
    GrpcCase("model-empty", _build_infer(model=""), NOT_FOUND, _NO_MODEL),
    GrpcCase("message-empty", b"", NOT_FOUND, _NO_MODEL),
    GrpcCase("unknown-field", _build_infer(_add_unknown_field)),
    GrpcCase("parameter-without-value", _build_infer(_add_empty_parameters)),
    GrpcCase("output-parameter", _build_infer(_add_output_parameter)),
    GrpcCase(
        "raw-contents-too-many",
        _build_infer(_replace_raw(b"", b"")),
        INVALID,
        "there must be as many raw_input_contents as inputs",
    ),
    GrpcCase(
        "raw-contents-too-few",
        _build_infer(lambda m: m.inputs.add(name="image", datatype="BYTES", shape=[1])),
        INVALID,
        "there must be as many raw_input_contents as inputs",
    ),
    GrpcCase(
        "raw-and-typed",
        _build_infer(_add_typed_content),
        INVALID,
        "input 'image_id' has both contents and raw_input_contents",
    ),
    GrpcCase(
        "no-contents",
        _build_infer(_clear_raw),
        INVALID,
        "input 'image_id' has 0 elements, its shape [1] says otherwise",
    ),
    GrpcCase(
        "contents-of-another-type",
        _build_infer(_replace_contents, typed=True),
        INVALID,
        "input 'image_id' has 0 elements, its shape [1] says otherwise",
    ),
    GrpcCase("contents-of-two-types", _build_infer(_add_other_content, typed=True)),
    GrpcCase(
        "typed-too-many",
        _build_infer(lambda m: m.inputs[0].contents.bytes_contents.append(b"r1.png"), typed=True),
        INVALID,
        "a tensor has more elements than its shape says",
    ),
    GrpcCase(
        "typed-too-few",
        _build_infer(lambda m: m.inputs[0].contents.bytes_contents.pop(), typed=True, inputs=_TWO),
        INVALID,
        "input 'image_id' has 1 elements, its shape [2] says otherwise",
    ),
    GrpcCase(
        "raw-length-cut",
        _build_infer(_replace_raw(b"\x06\x00")),
        INVALID,
        "a BYTES tensor ends within a length",
    ),
    GrpcCase(
        "raw-element-cut",
        _build_infer(_replace_raw(b"\x06\x00\x00\x00r0")),
        INVALID,
        "a BYTES tensor ends within an element",
    ),
    GrpcCase(
        "raw-too-many",
        _build_infer(_replace_raw(b"\x06\x00\x00\x00r0.png" * 2)),
        INVALID,
        "a BYTES tensor has more elements than its shape says",
    ),
    GrpcCase(
        "raw-empty",
        _build_infer(_replace_raw(b"")),
        INVALID,
        "input 'image_id' has 0 elements, its shape [1] says otherwise",
    ),
    GrpcCase("gzip", _build_infer(), compression=grpc.Compression.Gzip),
    GrpcCase("deflate", _build_infer(), compression=grpc.Compression.Deflate),
    *(
        GrpcCase(f"no-protobuf-{name}", message, INVALID, _UNREADABLE)
        for name, message in {
            "text": b"hello",
            "ones": b"\xff" * 64,
            "cut": _build_infer()[:-3],
            "invalid-utf-8": b"\x0a\x02\xff\xfe",
            "group": b"\x0b" * 200,
            "wrong-wire-type": b"\x08\x01" + _build_infer() + b"\x0d\x01",
        }.items()
    ),
)


def _is_ready(answer: GrpcAnswer) -> bool:
    return bool(pb.ModelReadyResponse.FromString(answer.message).ready)


def _is_server(answer: GrpcAnswer) -> bool:
    message = pb.ServerMetadataResponse.FromString(answer.message)
    return bool(
        message.name == "pleura" and message.version and list(message.extensions) == ["binary_tensor_data"]
    )


def _is_model(answer: GrpcAnswer) -> bool:
    message = pb.ModelMetadataResponse.FromString(answer.message)
    return bool(message.name == MODEL and list(message.versions) == ["0.0.1"] and message.platform)


def _build_model_request(**fields: str) -> bytes:
    return bytes(pb.ModelReadyRequest(**fields).SerializeToString())


_READING = (
    GrpcCase("live", b"", method="ServerLive", servers=EVERYWHERE, check=lambda a: a.message == b"\x08\x01"),
    GrpcCase(
        "ready", b"", method="ServerReady", servers=EVERYWHERE, check=lambda a: a.message == b"\x08\x01"
    ),
    GrpcCase("server", b"", method="ServerMetadata", servers=EVERYWHERE, check=_is_server),
    *(
        GrpcCase(f"{name}-{kind}", message, code, details, method=method, servers=EVERYWHERE, check=check)
        for name, method, is_right in (
            ("model-ready", "ModelReady", _is_ready),
            ("model", "ModelMetadata", _is_model),
        )
        for kind, message, code, details, check in (
            ("right", _build_model_request(name=MODEL), OK, "", is_right),
            ("of-version", _build_model_request(name=MODEL, version="0.0.1"), OK, "", is_right),
            ("of-wrong-version", _build_model_request(name=MODEL, version="9"), NOT_FOUND, _NO_VERSION, bool),
            ("unknown", _build_model_request(name="other"), NOT_FOUND, _NO_MODEL, bool),
            ("nameless", b"", NOT_FOUND, _NO_MODEL, bool),
            ("no-protobuf", b"\xff\xff", INVALID, _UNREADABLE, bool),
        )
    ),
    *(
        GrpcCase(
            f"{method}-no-protobuf", b"\xff\xff", INVALID, _UNREADABLE, method=method, servers=EVERYWHERE
        )
        for method in ("ServerLive", "ServerReady", "ServerMetadata")
    ),
)
_METHODS: Mapping[str, tuple[str, ...]] = {
    SERVICE + "ModelStatistics": EVERYWHERE,
    SERVICE + "ModelConfig": EVERYWHERE,
    SERVICE + "ModelStreamInfer": EVERYWHERE,
    SERVICE + "SystemSharedMemoryRegister": EVERYWHERE,
    SERVICE + "RepositoryIndex": EVERYWHERE,
    SERVICE + "RepositoryModelLoad": EVERYWHERE,
    SERVICE + "RepositoryModelUnload": EVERYWHERE,
    SERVICE + "modelinfer": EVERYWHERE,
    SERVICE: EVERYWHERE,
    "/inference.grpcinferenceservice/ModelInfer": EVERYWHERE,
    "/other.Service/ModelInfer": EVERYWHERE,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": EVERYWHERE,
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": EVERYWHERE,
    "/grpc.health.v1.Health/Check": EVERYWHERE,
    "/pleura.Model/Describe": ("proxy",),
    "/": EVERYWHERE,
}
_ABSENT = tuple(
    GrpcCase(f"no-method-{method}", _build_infer(), UNIMPLEMENTED, _NO_METHOD, method=method, servers=servers)
    for method, servers in _METHODS.items()
)
CASES = (*_INFER, *_READING, *_ABSENT)
