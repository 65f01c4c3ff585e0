"""Client of the predictor: V2 over gRPC, with raw uint8 tensors in and checked predictions out."""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import grpc
import numpy as np
import structlog
from grpc import aio
from numpy.typing import NDArray

from pleura.contract import (
    ACTIVATION_MAP,
    INPUT_FLAGS_OUTPUT,
    MODEL_NAME,
    PREDICTOR_INPUT,
    PROBABILITY,
    THRESHOLD,
    TYPICALITY,
)
from pleura.deadline import Deadline
from pleura.errors import (
    ERROR_CODE_HEADER,
    DeadlineExceeded,
    InvalidAnswer,
    InvalidRequest,
    Overloaded,
    PleuraError,
    PredictorUnavailable,
)
from pleura.serving.grpc_server import DESCRIBE_METHOD
from pleura.serving.kserve_import import GRPCInferenceServiceStub, grpc_messages
from pleura.serving.model import DescribedModel
from transformer.answer import Prediction
from transformer.metrics import INVALID
from transformer.predictor_response import read_prediction, version_label

_SHARE_OF_TIME: Final = 0.9
_RETRY_PAUSE_S: Final = 0.05
_RETRY_SHARE: Final = 0.1
_OUTPUTS: Final = (PROBABILITY, THRESHOLD, TYPICALITY, ACTIVATION_MAP)
_NO_FLAGS_S: Final = 30.0
_NEVER_SENT: Final = ("failed to connect", "connection refused", "connection failure", "name resolution")
_OPTIONS: Final = (
    # gRPC's default, pick_first, would send all calls to one of the predictor's pods
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
    ("grpc.max_send_message_length", 8 * 2**20),
    ("grpc.max_receive_message_length", 8 * 2**20),
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.http2.ping_timeout_ms", 3_000),  # the default is a minute, whatever the keepalive's time-out is
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    # gRPC's own pause grows to two minutes: a predictor that is back would get no call
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.dns_min_time_between_resolutions_ms", 2_000),
    ("grpc.use_local_subchannel_pool", 1),
)
log = structlog.get_logger()


class _UnknownOutput(PredictorUnavailable):
    """The predictor does not have an output that it was asked for."""


class RetryBudget:
    """Allows one retry for every ten calls. Unused retries add up to at most three."""

    def __init__(self, share: float = _RETRY_SHARE, most: float = 3.0) -> None:
        self._share, self._most, self._left = share, most, 0.0

    def count_call(self) -> None:
        """Count a first call."""
        self._left = min(self._most, self._left + self._share)

    def allows(self) -> bool:
        """Take one retry out of the budget, and tell whether there was one."""
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class PredictorClient:
    """One gRPC channel to the predictor, whose route may lead to several revisions.

    Args:
        address: Host and port.
        max_in_flight: Most calls at one time.
        headers: Metadata that each call carries.
    """

    def __init__(
        self, address: str, max_in_flight: int, headers: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._address, self._max_in_flight = address, max_in_flight
        self._metadata = tuple(headers.items())
        # empty at first: with one retry in hand, the first failure would exceed 1.1 calls a request
        self._in_flight, self._budget = 0, RetryBudget()
        self._channel: aio.Channel | None = None
        self._asks_flags_at_s = 0.0

    @property
    def asks_for_flags(self) -> bool:
        """Whether the next call asks what the input check says: the predictor did not refuse it lately."""
        return time.monotonic() >= self._asks_flags_at_s

    async def close(self) -> None:
        """Close the channel, and cancel the calls on it."""
        if self._channel:
            await self._channel.close()
            self._channel = None

    async def describe(self, timeout_s: float = 2.0) -> DescribedModel:
        """Ask which model answers now.

        Raises:
            PredictorUnavailable: The predictor does not answer in time.
            InvalidAnswer: This version cannot read the answer.
        """
        call = self._open_channel().unary_unary(DESCRIBE_METHOD)
        try:
            return DescribedModel.from_json(await call(b"", timeout=timeout_s, metadata=self._metadata))
        except aio.AioRpcError as error:
            log.info("predictor_call_failed", grpc_status=error.code().name, code=_pleura_code(error))
            raise PredictorUnavailable("the predictor does not answer") from error
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidAnswer("the predictor's description of its model cannot be read") from error

    async def predict(
        self, radiographs: NDArray[np.uint8], deadline: Deadline, trace: Mapping[str, str]
    ) -> Prediction:
        """Let one revision of the predictor judge radiographs.

        Args:
            radiographs: Shape (N, 224, 224).
            deadline: The time left is sent with the call. After the deadline no call is sent.
            trace: Headers to send with the call.

        Raises:
            PredictorUnavailable: The predictor is down, or does not answer within 90 % of the time left.
            Overloaded: The predictor's queue is full, or this client has too many calls in flight.
            DeadlineExceeded: The deadline passed, here or in the predictor.
            InvalidAnswer: The response is not a valid answer.
        """
        if self._in_flight >= self._max_in_flight:
            raise Overloaded("too many requests wait for the predictor")
        self._in_flight += 1
        try:
            response = await self._ask(radiographs, deadline, (*trace.items(), *self._metadata))
        finally:
            self._in_flight -= 1
        try:
            return read_prediction(response, len(radiographs))
        except InvalidAnswer:
            INVALID[version_label(response.model_version)].inc()
            raise

    async def _ask(
        self, radiographs: NDArray[np.uint8], deadline: Deadline, metadata: tuple[tuple[str, str], ...]
    ) -> Any:
        """Ask for the flags of the input check too, unless the predictor did not know them lately."""
        try:
            if self.asks_for_flags:
                request = _make_request(radiographs, (*_OUTPUTS, INPUT_FLAGS_OUTPUT))
                return await self._call(request, deadline, metadata)
        except _UnknownOutput:
            # during a rolling update a predictor of the version before has no such output
            self._asks_flags_at_s = time.monotonic() + _NO_FLAGS_S
        try:
            return await self._call(_make_request(radiographs, _OUTPUTS), deadline, metadata)
        except _UnknownOutput as error:
            raise PredictorUnavailable("the predictor does not answer") from error

    async def _call(self, request: Any, deadline: Deadline, metadata: tuple[tuple[str, str], ...]) -> Any:
        self._budget.count_call()
        try:
            return await self._call_once(request, deadline, metadata)
        except aio.AioRpcError as error:
            if not (_was_never_sent(error) and self._budget.allows()):
                raise _to_pleura_error(error) from error
        await asyncio.sleep(min(_RETRY_PAUSE_S, deadline.remaining_s))
        try:
            return await self._call_once(request, deadline, metadata)
        except aio.AioRpcError as error:
            raise _to_pleura_error(error) from error

    async def _call_once(
        self, request: Any, deadline: Deadline, metadata: tuple[tuple[str, str], ...]
    ) -> Any:
        # gRPC costs more than HTTP, and brings keep-alive, balancing and deadlines (docs/decisions/0012)
        stub = GRPCInferenceServiceStub(self._open_channel())
        return await stub.ModelInfer(
            request, timeout=deadline.remaining_s * _SHARE_OF_TIME, metadata=metadata
        )

    def _open_channel(self) -> aio.Channel:
        # opened on first use, since a channel belongs to the event loop on which it is opened
        if self._channel is None:
            self._channel = aio.insecure_channel(f"dns:///{self._address}", options=_OPTIONS)
        return self._channel


def _make_request(radiographs: NDArray[np.uint8], outputs: Sequence[str]) -> Any:
    tensor = grpc_messages.ModelInferRequest.InferInputTensor(
        name=PREDICTOR_INPUT.name, datatype=PREDICTOR_INPUT.datatype, shape=[*radiographs.shape, 1]
    )
    return grpc_messages.ModelInferRequest(
        model_name=MODEL_NAME,
        inputs=[tensor],
        outputs=[grpc_messages.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in outputs],
        raw_input_contents=[np.ascontiguousarray(radiographs).tobytes()],
    )


def _pleura_code(error: aio.AioRpcError) -> str | None:
    """Give the code of our error family, or None for an error that our own server did not send."""
    metadata = {str(key): str(value) for key, value in error.trailing_metadata() or ()}
    return metadata.get(ERROR_CODE_HEADER)


def _was_never_sent(error: aio.AioRpcError) -> bool:
    if error.code() != grpc.StatusCode.UNAVAILABLE or _pleura_code(error):
        return False
    # gRPC has no status for it: UNAVAILABLE also stands for a connection that broke during the call
    details = (error.details() or "").lower()
    return any(words in details for words in _NEVER_SENT)


def _to_pleura_error(error: aio.AioRpcError) -> PleuraError:
    status, code = error.code(), _pleura_code(error)
    log.info("predictor_call_failed", grpc_status=status.name, code=code)
    if status == grpc.StatusCode.RESOURCE_EXHAUSTED or code == Overloaded.code:
        return Overloaded("the predictor's queue is full")
    if code == DeadlineExceeded.code:
        return DeadlineExceeded("the time for this request has run out")
    if code == InvalidAnswer.code:
        return InvalidAnswer("the model's answer is not valid")
    if code == InvalidRequest.code:
        return _UnknownOutput("the predictor does not know what it is asked for")
    if status == grpc.StatusCode.DEADLINE_EXCEEDED:
        return PredictorUnavailable("the predictor does not answer in time")
    return PredictorUnavailable("the predictor does not answer")
