"""Inference over gRPC with messages and metadata that a client would not send."""

from collections.abc import Callable
from typing import Any

import grpc
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from tests.conformance.grpc_case import (
    INVALID,
    NO_MODEL,
    NO_VERSION,
    NOT_FOUND,
    UNREADABLE,
    GrpcCase,
    build_infer,
)
from tests.conformance.servers import GrpcAnswer
from tests.conformance.v2_request import Tensor


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
INFER_CASES = (
    GrpcCase("raw", build_infer()),
    GrpcCase("typed", build_infer(typed=True)),
    GrpcCase("id-missing", build_infer(), check=_has_new_id),
    GrpcCase("id-of-message", build_infer(id="m-1"), check=_has_id("m-1")),
    GrpcCase("id-of-metadata", build_infer(), metadata=(("x-request-id", "h-1"),), check=_has_id("h-1")),
    GrpcCase(
        "id-of-message-before-metadata",
        build_infer(id="m-1"),
        metadata=(("x-request-id", "h-1"),),
        check=_has_id("m-1"),
    ),
    GrpcCase(
        "odd-id-in-metadata",
        build_infer(),
        INVALID,
        "x-request-id must be 1 to 128 letters, digits and any of . _ : -",
        metadata=(("x-request-id", "a b"),),
        servers=("proxy",),
    ),
    GrpcCase("version-empty", build_infer(version="")),
    GrpcCase("version-right", build_infer(version="0.0.1")),
    GrpcCase("version-wrong", build_infer(version="9"), NOT_FOUND, NO_VERSION),
    GrpcCase("model-wrong", build_infer(model="other"), NOT_FOUND, NO_MODEL),
    GrpcCase("model-empty", build_infer(model=""), NOT_FOUND, NO_MODEL),
    GrpcCase("message-empty", b"", NOT_FOUND, NO_MODEL),
    GrpcCase("unknown-field", build_infer(_add_unknown_field)),
    GrpcCase("parameter-without-value", build_infer(_add_empty_parameters)),
    GrpcCase("output-parameter", build_infer(_add_output_parameter)),
    GrpcCase(
        "raw-contents-too-many",
        build_infer(_replace_raw(b"", b"")),
        INVALID,
        "there must be as many raw_input_contents as inputs",
    ),
    GrpcCase(
        "raw-contents-too-few",
        build_infer(lambda m: m.inputs.add(name="image", datatype="BYTES", shape=[1])),
        INVALID,
        "there must be as many raw_input_contents as inputs",
    ),
    GrpcCase(
        "raw-and-typed",
        build_infer(_add_typed_content),
        INVALID,
        "input 'image_id' has both contents and raw_input_contents",
    ),
    GrpcCase(
        "no-contents",
        build_infer(_clear_raw),
        INVALID,
        "input 'image_id' has 0 elements, its shape [1] says otherwise",
    ),
    GrpcCase(
        "contents-of-another-type",
        build_infer(_replace_contents, typed=True),
        INVALID,
        "input 'image_id' has 0 elements, its shape [1] says otherwise",
    ),
    GrpcCase("contents-of-two-types", build_infer(_add_other_content, typed=True)),
    GrpcCase(
        "typed-too-many",
        build_infer(lambda m: m.inputs[0].contents.bytes_contents.append(b"r1.png"), typed=True),
        INVALID,
        "a tensor has more elements than its shape says",
    ),
    GrpcCase(
        "typed-too-few",
        build_infer(lambda m: m.inputs[0].contents.bytes_contents.pop(), typed=True, inputs=_TWO),
        INVALID,
        "input 'image_id' has 1 elements, its shape [2] says otherwise",
    ),
    GrpcCase(
        "raw-length-cut",
        build_infer(_replace_raw(b"\x06\x00")),
        INVALID,
        "a BYTES tensor ends within a length",
    ),
    GrpcCase(
        "raw-element-cut",
        build_infer(_replace_raw(b"\x06\x00\x00\x00r0")),
        INVALID,
        "a BYTES tensor ends within an element",
    ),
    GrpcCase(
        "raw-too-many",
        build_infer(_replace_raw(b"\x06\x00\x00\x00r0.png" * 2)),
        INVALID,
        "a BYTES tensor has more elements than its shape says",
    ),
    GrpcCase(
        "raw-empty",
        build_infer(_replace_raw(b"")),
        INVALID,
        "input 'image_id' has 0 elements, its shape [1] says otherwise",
    ),
    GrpcCase("gzip", build_infer(), compression=grpc.Compression.Gzip),
    GrpcCase("deflate", build_infer(), compression=grpc.Compression.Deflate),
    *(
        GrpcCase(f"no-protobuf-{name}", message, INVALID, UNREADABLE)
        for name, message in {
            "text": b"hello",
            "ones": b"\xff" * 64,
            "cut": build_infer()[:-3],
            "invalid-utf-8": b"\x0a\x02\xff\xfe",
            "group": b"\x0b" * 200,
            "wrong-wire-type": b"\x08\x01" + build_infer() + b"\x0d\x01",
        }.items()
    ),
)
