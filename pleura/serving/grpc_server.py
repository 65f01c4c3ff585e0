"""V2 over gRPC; errors carry the status that REST would, as gRPC has it."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final

import grpc
import structlog
from grpc import aio

from pleura.deadline import TIMEOUT_HEADER
from pleura.errors import ERROR_CODE_HEADER, InvalidRequest, PleuraError, Unavailable
from pleura.observability.metrics import count_and_time, observe_request
from pleura.serving.grpc_methods import v2_handlers
from pleura.serving.grpc_status import GRPC_STATUS
from pleura.serving.health import HealthChecks
from pleura.serving.kserve_import import (
    InferInput,
    InferRequest,
    InferResponse,
    RequestedOutput,
    to_grpc_parameters,
    to_http_parameters,
)
from pleura.serving.kserve_import import grpc_messages as pb
from pleura.serving.model import Model, model_metadata, require_model, server_metadata
from pleura.serving.model import answer as answer_request
from pleura.serving.shutdown import Shutdown
from pleura.serving.v2_tensors import quote_name, raw_of, require_datatype

DESCRIBE_METHOD: Final = "/pleura.Model/Describe"
_CONTENTS: Final[Mapping[str, str]] = {
    "BOOL": "bool_contents",
    "BYTES": "bytes_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "INT64": "int64_contents",
    "UINT64": "uint64_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
}
"""The field that holds a datatype's elements; FP16 has none, it is always raw."""
ALLOWED_PINGS: Final = (
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
)
"""Envoy and our own clients ask whether a connection still lives, also an idle one."""
log = structlog.get_logger()


class V2GrpcService:
    """The V2 gRPC methods of one model; errors carry the status that REST would, as gRPC has it."""

    def __init__(self, model: Model, vitals: HealthChecks, ending: Shutdown) -> None:
        self._model, self._vitals, self._ending = model, vitals, ending

    async def ServerMetadata(self, request: Any, context: Any) -> Any:
        with count_and_time("grpc_ServerMetadata"):
            return pb.ServerMetadataResponse(**server_metadata())

    async def ServerLive(self, request: Any, context: Any) -> Any:
        with count_and_time("grpc_ServerLive"):
            return pb.ServerLiveResponse(live=self._vitals.liveness()[0])

    async def ServerReady(self, request: Any, context: Any) -> Any:
        with count_and_time("grpc_ServerReady"):
            return pb.ServerReadyResponse(ready=await self._is_ready())

    async def ModelReady(self, request: Any, context: Any) -> Any:
        async def answer() -> Any:
            await require_model(self._model, request.name, request.version)
            return pb.ModelReadyResponse(ready=await self._is_ready())

        return await self._answered(answer, context, count_and_time("grpc_ModelReady"))

    async def ModelMetadata(self, request: Any, context: Any) -> Any:
        async def answer() -> Any:
            await require_model(self._model, request.name, request.version)
            return pb.ModelMetadataResponse(**await model_metadata(self._model))

        observing = observe_request("grpc_ModelMetadata", _headers_of(context))
        return await self._answered(answer, context, observing)

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        headers = _headers_of(context)
        observing = observe_request("grpc_ModelInfer", headers)
        return await self._answered(lambda: self._infer(request, headers), context, observing)

    async def describe(self, request: bytes, context: Any) -> Any:
        """The description of the model that answers now, as ``Described`` writes it."""

        async def answer() -> bytes:
            if not await self._model.healthy():
                raise Unavailable("the model is not ready")
            return (await self._model.describe()).to_json()

        return await self._answered(answer, context, count_and_time("grpc_Describe"))

    async def _is_ready(self) -> bool:
        return not self._ending.has_begun and await self._model.healthy()

    async def _infer(self, request: Any, headers: dict[str, str]) -> Any:
        await require_model(self._model, request.model_name, request.model_version)
        infer_request = _from_grpc(request)
        response = await answer_request(self._model, infer_request, headers)
        return _to_grpc(response)

    async def _answered(
        self, answer: Callable[[], Awaitable[Any]], context: Any, observing: AbstractContextManager[object]
    ) -> Any:
        try:
            with observing:
                return await answer()
        except PleuraError as error:
            context.set_trailing_metadata(((ERROR_CODE_HEADER, error.code), *error.headers.items()))
            await context.abort(GRPC_STATUS[error.status], str(error))
        except (aio.AbortError, asyncio.CancelledError):
            raise
        except Exception as error:
            log.error("internal_error", exc_info=error)
            await context.abort(grpc.StatusCode.INTERNAL, "internal error")
            raise


def _from_grpc(request: Any) -> InferRequest:
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise InvalidRequest("there must be as many raw_input_contents as inputs")
    inputs = [_input_from_grpc(tensor, bool(raw)) for tensor in request.inputs]
    for infer_input, content in zip(inputs, raw, strict=False):
        infer_input._raw_data = content
    outputs = [RequestedOutput(o.name, to_http_parameters(o.parameters)) for o in request.outputs]
    return InferRequest(
        request.model_name,
        inputs,
        request_id=request.id,
        parameters=to_http_parameters(request.parameters),
        request_outputs=outputs or None,
        model_version=request.model_version,
    )


def _input_from_grpc(tensor: Any, is_raw: bool) -> InferInput:
    require_datatype(tensor.name, tensor.datatype)
    contents = getattr(tensor.contents, _CONTENTS.get(tensor.datatype, ""), ())
    if is_raw and tensor.contents.ByteSize():
        raise InvalidRequest(f"{quote_name(tensor.name)} has both contents and raw_input_contents")
    most = math.prod(max(0, size) for size in tensor.shape)
    data = list(contents[: most + 1])  # one too many tells it: a message holds millions
    parameters = to_http_parameters(tensor.parameters)
    return InferInput(tensor.name, list(tensor.shape), tensor.datatype, data=data, parameters=parameters)


def _to_grpc(response: InferResponse) -> Any:
    outputs = [
        pb.ModelInferResponse.InferOutputTensor(name=o.name, datatype=o.datatype, shape=o.shape)
        for o in response.outputs
    ]
    return pb.ModelInferResponse(
        model_name=response.model_name,
        model_version=response.model_version or "",
        id=response.id,
        parameters=to_grpc_parameters(response.parameters or {}),
        outputs=outputs,
        raw_output_contents=[raw_of(o.data) for o in response.outputs],
    )


def _headers_of(context: Any) -> dict[str, str]:
    headers = {k: v for k, v in context.invocation_metadata() or () if isinstance(v, str)}
    left_s = context.time_remaining()
    if left_s is not None and left_s < 1e6:
        headers[TIMEOUT_HEADER] = str(max(1, int(left_s * 1000)))
    return headers


class GrpcServer:
    """A gRPC server of one model."""

    def __init__(
        self, model: Model, vitals: HealthChecks, address: str, max_body_bytes: int, ending: Shutdown
    ) -> None:
        self._model, self._vitals, self._address = model, vitals, address
        self._max_body_bytes, self._ending = max_body_bytes, ending
        self._server: aio.Server | None = None

    async def start(self) -> None:
        """Listen until stopped."""
        servicer = V2GrpcService(self._model, self._vitals, self._ending)
        self._server = aio.server(
            options=[
                ("grpc.max_receive_message_length", self._max_body_bytes),
                ("grpc.max_send_message_length", self._max_body_bytes),
                ("grpc.so_reuseport", 0),
                *ALLOWED_PINGS,
            ]
        )
        self._server.add_generic_rpc_handlers((v2_handlers(servicer),))
        service, method = DESCRIBE_METHOD.strip("/").split("/")
        handler = grpc.unary_unary_rpc_method_handler(servicer.describe)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {method: handler}),)
        )
        self._server.add_insecure_port(self._address)
        await self._server.start()
        await self._server.wait_for_termination()

    async def stop(self, grace: float | None) -> None:
        """Stop listening, and let what is in flight end within so many seconds."""
        if self._server:
            await self._server.stop(grace)
