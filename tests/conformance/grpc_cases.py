"""gRPC to the byte: messages, methods and metadata that no client of the protocol would write."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from tests.conformance.hops import SERVICE, GrpcAnswer
from tests.conformance.question import MODEL, Question, Tensor

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
    """A message to a method, and the code and whole text that it gets (None where grpc
    words it); ``check`` looks at the answer."""

    name: str
    message: bytes = b""
    code: grpc.StatusCode = OK
    details: str | None = ""
    method: str = "ModelInfer"
    metadata: tuple[tuple[str, str], ...] = ()
    compression: grpc.Compression | None = None
    hops: tuple[str, ...] = BOTH
    check: Callable[[GrpcAnswer], object] = field(default=lambda answer: True)


def _infer(change: Callable[[Any], object] = lambda message: None, typed: bool = False, **more: Any) -> bytes:
    message = Question(**more).as_message(typed)
    change(message)
    return bytes(message.SerializeToString())


def _id(expected: str) -> Callable[[GrpcAnswer], bool]:
    return lambda answer: bool(pb.ModelInferResponse.FromString(answer.message).id == expected)


def _new_id(answer: GrpcAnswer) -> bool:
    in_body = pb.ModelInferResponse.FromString(answer.message).id
    return len(in_body) == 36 and answer.trailing.get("x-request-id", in_body) == in_body


def _cleared(message: Any) -> None:
    del message.raw_input_contents[:]


def _raw(*raw: bytes) -> Callable[[Any], None]:
    def change(message: Any) -> None:
        _cleared(message)
        message.raw_input_contents.extend(raw)

    return change


def _mixed(message: Any) -> None:
    message.inputs[0].contents.bytes_contents.append(b"r0.png")


def _other_contents(message: Any) -> None:
    message.inputs[0].contents.Clear()
    message.inputs[0].contents.int_contents.append(1)


def _both_contents(message: Any) -> None:
    message.inputs[0].contents.int_contents.append(1)


def _empty_parameter(message: Any) -> None:
    message.parameters["empty"].SetInParent()
    message.inputs[0].parameters["empty"].SetInParent()


def _output_parameter(message: Any) -> None:
    message.outputs.add(name="present").parameters["binary_data"].bool_param = False


def _unknown_field(message: Any) -> None:
    message.MergeFromString(b"\xfa\x3e\x03abc")


_TWO = (Tensor(elements=("r0.png", "r0.png")),)
_INFER = (
    GrpcCase("raw", _infer()),
    GrpcCase("typed", _infer(typed=True)),
    GrpcCase("id-missing", _infer(), check=_new_id),
    GrpcCase("id-of-message", _infer(id="m-1"), check=_id("m-1")),
    GrpcCase("id-of-metadata", _infer(), metadata=(("x-request-id", "h-1"),), check=_id("h-1")),
    GrpcCase(
        "id-of-message-before-metadata",
        _infer(id="m-1"),
        metadata=(("x-request-id", "h-1"),),
        check=_id("m-1"),
    ),
    GrpcCase(
        "odd-id-in-metadata",
        _infer(),
        INVALID,
        "x-request-id must be 1 to 128 letters, digits and any of . _ : -",
        metadata=(("x-request-id", "a b"),),
        hops=("proxy",),
    ),
    GrpcCase("version-empty", _infer(version="")),
    GrpcCase("version-right", _infer(version="0.0.1")),
    GrpcCase("version-wrong", _infer(version="9"), NOT_FOUND, _NO_VERSION),
    GrpcCase("model-wrong", _infer(model="other"), NOT_FOUND, _NO_MODEL),
    GrpcCase("model-empty", _infer(model=""), NOT_FOUND, _NO_MODEL),
    GrpcCase("message-empty", b"", NOT_FOUND, _NO_MODEL),
    GrpcCase("unknown-field", _infer(_unknown_field)),
    GrpcCase("parameter-without-value", _infer(_empty_parameter)),
    GrpcCase("output-parameter", _infer(_output_parameter)),
    GrpcCase(
        "raw-contents-too-many",
        _infer(_raw(b"", b"")),
        INVALID,
        "there must be as many raw_input_contents as inputs",
    ),
    GrpcCase(
        "raw-contents-too-few",
        _infer(lambda m: m.inputs.add(name="image", datatype="BYTES", shape=[1])),
        INVALID,
        "there must be as many raw_input_contents as inputs",
    ),
    GrpcCase(
        "raw-and-typed",
        _infer(_mixed),
        INVALID,
        "input 'image_id' has both contents and raw_input_contents",
    ),
    GrpcCase(
        "no-contents",
        _infer(_cleared),
        INVALID,
        "input 'image_id' has 0 elements, its shape [1] says otherwise",
    ),
    GrpcCase(
        "contents-of-another-type",
        _infer(_other_contents, typed=True),
        INVALID,
        "input 'image_id' has 0 elements, its shape [1] says otherwise",
    ),
    GrpcCase("contents-of-two-types", _infer(_both_contents, typed=True)),
    GrpcCase(
        "typed-too-many",
        _infer(lambda m: m.inputs[0].contents.bytes_contents.append(b"r1.png"), typed=True),
        INVALID,
        "a tensor has more elements than its shape says",
    ),
    GrpcCase(
        "typed-too-few",
        _infer(lambda m: m.inputs[0].contents.bytes_contents.pop(), typed=True, inputs=_TWO),
        INVALID,
        "input 'image_id' has 1 elements, its shape [2] says otherwise",
    ),
    GrpcCase("raw-length-cut", _infer(_raw(b"\x06\x00")), INVALID, "a BYTES tensor ends within a length"),
    GrpcCase(
        "raw-element-cut",
        _infer(_raw(b"\x06\x00\x00\x00r0")),
        INVALID,
        "a BYTES tensor ends within an element",
    ),
    GrpcCase(
        "raw-too-many",
        _infer(_raw(b"\x06\x00\x00\x00r0.png" * 2)),
        INVALID,
        "a BYTES tensor has more elements than its shape says",
    ),
    GrpcCase(
        "raw-empty",
        _infer(_raw(b"")),
        INVALID,
        "input 'image_id' has 0 elements, its shape [1] says otherwise",
    ),
    GrpcCase("gzip", _infer(), compression=grpc.Compression.Gzip),
    GrpcCase("deflate", _infer(), compression=grpc.Compression.Deflate),
    *(
        GrpcCase(f"no-protobuf-{name}", message, INVALID, _UNREADABLE)
        for name, message in {
            "text": b"hello",
            "ones": b"\xff" * 64,
            "cut": _infer()[:-3],
            "invalid-utf-8": b"\x0a\x02\xff\xfe",
            "group": b"\x0b" * 200,
            "wrong-wire-type": b"\x08\x01" + _infer() + b"\x0d\x01",
        }.items()
    ),
)


def _ready(answer: GrpcAnswer) -> bool:
    return bool(pb.ModelReadyResponse.FromString(answer.message).ready)


def _is_server(answer: GrpcAnswer) -> bool:
    message = pb.ServerMetadataResponse.FromString(answer.message)
    return bool(
        message.name == "pleura" and message.version and list(message.extensions) == ["binary_tensor_data"]
    )


def _is_model(answer: GrpcAnswer) -> bool:
    message = pb.ModelMetadataResponse.FromString(answer.message)
    return bool(message.name == MODEL and list(message.versions) == ["0.0.1"] and message.platform)


def _named(**fields: str) -> bytes:
    return bytes(pb.ModelReadyRequest(**fields).SerializeToString())


_READING = (
    GrpcCase("live", b"", method="ServerLive", hops=EVERYWHERE, check=lambda a: a.message == b"\x08\x01"),
    GrpcCase("ready", b"", method="ServerReady", hops=EVERYWHERE, check=lambda a: a.message == b"\x08\x01"),
    GrpcCase("server", b"", method="ServerMetadata", hops=EVERYWHERE, check=_is_server),
    *(
        GrpcCase(f"{name}-{kind}", message, code, details, method=method, hops=EVERYWHERE, check=check)
        for name, method, right in (
            ("model-ready", "ModelReady", _ready),
            ("model", "ModelMetadata", _is_model),
        )
        for kind, message, code, details, check in (
            ("right", _named(name=MODEL), OK, "", right),
            ("of-version", _named(name=MODEL, version="0.0.1"), OK, "", right),
            ("of-wrong-version", _named(name=MODEL, version="9"), NOT_FOUND, _NO_VERSION, bool),
            ("unknown", _named(name="other"), NOT_FOUND, _NO_MODEL, bool),
            ("nameless", b"", NOT_FOUND, _NO_MODEL, bool),
            ("no-protobuf", b"\xff\xff", INVALID, _UNREADABLE, bool),
        )
    ),
    *(
        GrpcCase(f"{method}-no-protobuf", b"\xff\xff", INVALID, _UNREADABLE, method=method, hops=EVERYWHERE)
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
    GrpcCase(f"no-method-{method}", _infer(), UNIMPLEMENTED, _NO_METHOD, method=method, hops=hops)
    for method, hops in _METHODS.items()
)
CASES = (*_INFER, *_READING, *_ABSENT)
