"""gRPC methods about server and model, and methods that do not exist, with unusual messages."""

from collections.abc import Mapping

from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from tests.conformance.grpc_case import (
    BOTH,
    INVALID,
    NO_MODEL,
    NO_VERSION,
    NOT_FOUND,
    OK,
    UNIMPLEMENTED,
    UNREADABLE,
    GrpcCase,
    build_infer,
)
from tests.conformance.grpc_infer_cases import INFER_CASES
from tests.conformance.servers import SERVICE, GrpcAnswer
from tests.conformance.v2_request import MODEL

EVERYWHERE = (*BOTH, "predictor")
_NO_METHOD = "Method not found!"
_CHECK = "/grpc.health.v1.Health/Check"


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


def _build_check(service: str) -> bytes:
    # ModelReadyRequest has the same field 1
    return bytes(pb.ModelReadyRequest(name=service).SerializeToString())


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
            ("of-wrong-version", _build_model_request(name=MODEL, version="9"), NOT_FOUND, NO_VERSION, bool),
            ("unknown", _build_model_request(name="other"), NOT_FOUND, NO_MODEL, bool),
            ("nameless", b"", NOT_FOUND, NO_MODEL, bool),
            ("no-protobuf", b"\xff\xff", INVALID, UNREADABLE, bool),
        )
    ),
    *(
        GrpcCase(f"{method}-no-protobuf", b"\xff\xff", INVALID, UNREADABLE, method=method, servers=servers)
        for method, servers in (
            # the proxy answers both itself, and their requests are empty
            ("ServerLive", ("transformer", "predictor")),
            ("ServerReady", ("transformer", "predictor")),
            ("ServerMetadata", EVERYWHERE),
        )
    ),
    *(
        GrpcCase(
            f"health-check-of-{service or 'everything'}",
            _build_check(service),
            method=_CHECK,
            servers=EVERYWHERE,
            check=lambda a: a.message == b"\x08\x01",
        )
        for service in ("", SERVICE.strip("/"), "grpc.health.v1.Health")
    ),
    *(
        GrpcCase(name, message, NOT_FOUND, "no such service", method=_CHECK, servers=EVERYWHERE)
        for name, message in (
            ("health-check-of-another-service", _build_check("other")),
            ("health-check-no-protobuf", b"\xff\xff"),
        )
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
    "/grpc.health.v1.Health/Watch": EVERYWHERE,
    "/grpc.health.v1.Health/List": EVERYWHERE,
    "/pleura.Model/Describe": ("proxy",),
    "/": EVERYWHERE,
}
_ABSENT = tuple(
    GrpcCase(f"no-method-{method}", build_infer(), UNIMPLEMENTED, _NO_METHOD, method=method, servers=servers)
    for method, servers in _METHODS.items()
)
CASES = (*INFER_CASES, *_READING, *_ABSENT)
