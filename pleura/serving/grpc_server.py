"""V2 over gRPC. An error has the gRPC status that stands for its REST status."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final

import grpc
import structlog
from grpc import aio

from pleura.deadline import TIMEOUT_HEADER
from pleura.errors import InvalidRequest, PleuraError, Unavailable
from pleura.observability.metrics import count_and_time, observe_request
from pleura.observability.tracing import Span
from pleura.service_key import SERVICE_KEY_HEADER, ServiceKeys
from pleura.serving.grpc_health import CHECK_METHOD, answer_check
from pleura.serving.grpc_methods import make_v2_handler
from pleura.serving.grpc_status import abort_call
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
from pleura.serving.model import Model, answer_request, model_metadata, require_model, server_metadata
from pleura.serving.service_access import RequireServiceCall
from pleura.serving.shutdown import Shutdown
from pleura.serving.v2_tensors import bytes_of_array, quote_name, require_datatype

DESCRIBE_METHOD: Final = "/pleura.Model/Describe"
_CONTENT_FIELDS: Final[Mapping[str, str]] = {
    "BOOL": "bool_contents",
    "BYTES": "bytes_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "INT64": "int64_contents",
    "UINT64": "uint64_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
}
"""The field that holds the elements of a datatype. FP16 has none: its elements are always raw."""
ALLOWED_PINGS: Final = (
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
)
"""Envoy and our own clients send pings to find dead connections, also on idle ones."""
log = structlog.get_logger()


class V2GrpcService:
    """The V2 gRPC methods of one model."""

    def __init__(self, model: Model, health: HealthChecks, shutdown: Shutdown) -> None:
        self._model, self._health, self._shutdown = model, health, shutdown

    async def ServerMetadata(self, request: Any, context: Any) -> Any:
        with count_and_time("grpc_ServerMetadata"):
            return pb.ServerMetadataResponse(**server_metadata())

    async def ServerLive(self, request: Any, context: Any) -> Any:
        with count_and_time("grpc_ServerLive"):
            return pb.ServerLiveResponse(live=self._health.liveness()[0])

    async def ServerReady(self, request: Any, context: Any) -> Any:
        with count_and_time("grpc_ServerReady"):
            return pb.ServerReadyResponse(ready=await self._is_ready())

    async def check(self, request: bytes, context: Any) -> Any:
        """Answer the standard health check of gRPC."""

        async def answer() -> bytes:
            return answer_check(request, await self._is_ready())

        return await self._answer(answer, context, count_and_time("grpc_Check"))

    async def ModelReady(self, request: Any, context: Any) -> Any:
        async def answer() -> Any:
            await require_model(self._model, request.name, request.version)
            return pb.ModelReadyResponse(ready=await self._is_ready())

        return await self._answer(answer, context, count_and_time("grpc_ModelReady"))

    async def ModelMetadata(self, request: Any, context: Any) -> Any:
        async def answer() -> Any:
            await require_model(self._model, request.name, request.version)
            return pb.ModelMetadataResponse(**await model_metadata(self._model))

        observing = observe_request("grpc_ModelMetadata", _read_headers(context))
        return await self._answer(answer, context, observing)

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        headers = _read_headers(context)
        observing = observe_request("grpc_ModelInfer", headers)
        return await self._answer(lambda: self._infer(request, headers), context, observing)

    async def describe(self, request: bytes, context: Any) -> Any:
        """Describe the model that answers now, in the JSON of ``DescribedModel``."""

        async def answer() -> bytes:
            if not await self._model.healthy():
                raise Unavailable("the model is not ready")
            return (await self._model.describe()).to_json()

        return await self._answer(answer, context, count_and_time("grpc_Describe"))

    async def _is_ready(self) -> bool:
        return not self._shutdown.has_begun and await self._model.healthy()

    async def _infer(self, request: Any, headers: dict[str, str]) -> Any:
        await require_model(self._model, request.model_name, request.model_version)
        infer_request = _read_request(request)
        response = await answer_request(self._model, infer_request, headers)
        return _write_response(response)

    async def _answer(
        self,
        answer: Callable[[], Awaitable[Any]],
        context: Any,
        observing: AbstractContextManager[Span | None],
    ) -> Any:
        request_id = None
        try:
            with observing as span:
                request_id = span.request_id if span else None
                return await answer()
        except PleuraError as error:
            await abort_call(context, error, request_id)
        except (aio.AbortError, asyncio.CancelledError):
            raise
        except Exception as error:
            log.error("internal_error", exc_info=error)
            await abort_call(context, PleuraError("internal error"), request_id)
            raise


def _read_request(request: Any) -> InferRequest:
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise InvalidRequest("there must be as many raw_input_contents as inputs")
    inputs = [_read_input(tensor, bool(raw)) for tensor in request.inputs]
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


def _read_input(tensor: Any, is_raw: bool) -> InferInput:
    require_datatype(tensor.name, tensor.datatype)
    contents = getattr(tensor.contents, _CONTENT_FIELDS.get(tensor.datatype, ""), ())
    if is_raw and tensor.contents.ByteSize():
        raise InvalidRequest(f"{quote_name(tensor.name)} has both contents and raw_input_contents")
    count = math.prod(max(0, size) for size in tensor.shape)
    data = list(contents[: count + 1])  # one too many shows the error; a message may hold millions
    parameters = to_http_parameters(tensor.parameters)
    return InferInput(tensor.name, list(tensor.shape), tensor.datatype, data=data, parameters=parameters)


def _write_response(response: InferResponse) -> Any:
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
        raw_output_contents=[bytes_of_array(o.data) for o in response.outputs],
    )


def _read_headers(context: Any) -> dict[str, str]:
    headers = {k: v for k, v in context.invocation_metadata() or () if isinstance(v, str)}
    headers.pop(SERVICE_KEY_HEADER, None)  # behind this point a header may reach a log or a trace
    remaining_s = context.time_remaining()
    if remaining_s is not None and remaining_s < 1e6:
        headers[TIMEOUT_HEADER] = str(max(1, int(remaining_s * 1000)))
    return headers


class GrpcServer:
    """A gRPC server of one model."""

    def __init__(
        self,
        model: Model,
        health: HealthChecks,
        address: str,
        max_body_bytes: int,
        shutdown: Shutdown,
        keys: ServiceKeys,
    ) -> None:
        self._model, self._health, self._address, self._keys = model, health, address, keys
        self._max_body_bytes, self._shutdown = max_body_bytes, shutdown
        self._server: aio.Server | None = None

    async def start(self) -> None:
        """Listen until ``stop``."""
        servicer = V2GrpcService(self._model, self._health, self._shutdown)
        self._server = aio.server(
            interceptors=(RequireServiceCall(self._keys),),
            options=[
                ("grpc.max_receive_message_length", self._max_body_bytes),
                ("grpc.max_send_message_length", self._max_body_bytes),
                ("grpc.so_reuseport", 0),  # a second process could share the port without an error
                *ALLOWED_PINGS,
            ],
        )
        self._server.add_generic_rpc_handlers((make_v2_handler(servicer),))
        for name, answer in ((DESCRIBE_METHOD, servicer.describe), (CHECK_METHOD, servicer.check)):
            service, method = name.strip("/").split("/")
            handler = grpc.unary_unary_rpc_method_handler(answer)
            self._server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler(service, {method: handler}),)
            )
        self._server.add_insecure_port(self._address)
        await self._server.start()
        await self._server.wait_for_termination()

    async def stop(self, grace: float | None) -> None:
        """Stop listening, and give requests in flight ``grace`` seconds to end."""
        if self._server:
            await self._server.stop(grace)
