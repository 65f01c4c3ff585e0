"""The call of the predictor: V2 over gRPC, raw uint8 in, checked answers out."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final

import grpc
import numpy as np
import structlog
from grpc import aio
from numpy.typing import NDArray

from pleura.contract import MODEL_NAME, PREDICTOR_INPUT, PREDICTOR_OUTPUTS
from pleura.deadline import Deadline
from pleura.errors import (
    ERROR_CODE_HEADER,
    DeadlineExceeded,
    InvalidAnswer,
    Overloaded,
    PleuraError,
    PredictorUnavailable,
)
from pleura.serving.grpc_server import DESCRIBE_METHOD
from pleura.serving.kserve_import import GRPCInferenceServiceStub
from pleura.serving.kserve_import import grpc_messages as pb
from pleura.serving.model import DescribedModel
from transformer.answer import Prediction
from transformer.metrics import INVALID
from transformer.predictor_response import read_prediction, version_label

_HOP_SHARE: Final = 0.9
_RETRY_PAUSE_S: Final = 0.05
_RETRY_SHARE: Final = 0.1
_NEVER_SENT: Final = ("failed to connect", "connection refused", "connection failure", "name resolution")
_OPTIONS: Final = (
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
    ("grpc.max_send_message_length", 8 * 2**20),
    ("grpc.max_receive_message_length", 8 * 2**20),
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.http2.ping_timeout_ms", 3_000),  # a minute otherwise, whatever the keepalive's timeout is (tried)
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.dns_min_time_between_resolutions_ms", 2_000),
    ("grpc.use_local_subchannel_pool", 1),
)
log = structlog.get_logger()


class RetryBudget:
    """Allows one extra call for every ten calls made, never more; what is not used adds up to a few."""

    def __init__(self, share: float = _RETRY_SHARE, most: float = 3.0) -> None:
        self._share, self._most, self._left = share, most, 0.0

    def called(self) -> None:
        """Note a first call."""
        self._left = min(self._most, self._left + self._share)

    def allows(self) -> bool:
        """Take one extra call out of the budget, where it holds one."""
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class PredictorClient:
    """One gRPC channel to the predictor's route, whichever revisions stand behind it."""

    def __init__(self, address: str, max_in_flight: int) -> None:
        self._address, self._max_in_flight = address, max_in_flight
        self._in_flight, self._budget = 0, RetryBudget()
        self._channel: aio.Channel | None = None

    async def close(self) -> None:
        """Close the channel; calls under way are cancelled."""
        if self._channel:
            await self._channel.close()
            self._channel = None

    async def describe(self, timeout_s: float = 2.0) -> DescribedModel:
        """Ask which model answers now.

        Raises:
            PredictorUnavailable: No predictor answers in time.
            InvalidAnswer: The answer is no description that fits this software.
        """
        call = self._connected().unary_unary(DESCRIBE_METHOD)
        try:
            return DescribedModel.from_json(await call(b"", timeout=timeout_s))
        except aio.AioRpcError as error:
            raise PredictorUnavailable("the predictor does not answer") from error
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidAnswer("the predictor does not describe a model that fits") from error

    async def predict(
        self, radiographs: NDArray[np.uint8], deadline: Deadline, trace: Mapping[str, str]
    ) -> Prediction:
        """Have radiographs judged, all by the same revision.

        Args:
            radiographs: Shape (N, 224, 224).
            deadline: Nothing is sent when it has passed; it goes with the call.
            trace: Headers that go with the call.

        Raises:
            PredictorUnavailable: Down, or silent within nine tenths of the time that is left.
            Overloaded: Its queue is full, or too many calls are under way here.
            DeadlineExceeded: The deadline passed, here or there.
            InvalidAnswer: What came back cannot be an answer.
        """
        if self._in_flight >= self._max_in_flight:
            raise Overloaded("too many requests wait for the predictor")
        self._in_flight += 1
        try:
            response = await self._called(_request(radiographs), deadline, tuple(trace.items()))
        finally:
            self._in_flight -= 1
        try:
            return read_prediction(response, len(radiographs))
        except InvalidAnswer:
            INVALID[version_label(response.model_version)].inc()
            raise

    async def _called(self, request: Any, deadline: Deadline, metadata: tuple[tuple[str, str], ...]) -> Any:
        self._budget.called()
        try:
            return await self._once(request, deadline, metadata)
        except aio.AioRpcError as error:
            if not (_was_never_sent(error) and self._budget.allows()):
                raise _failure(error) from error
        await asyncio.sleep(min(_RETRY_PAUSE_S, deadline.remaining_s))
        try:
            return await self._once(request, deadline, metadata)
        except aio.AioRpcError as error:
            raise _failure(error) from error

    async def _once(self, request: Any, deadline: Deadline, metadata: tuple[tuple[str, str], ...]) -> Any:
        stub = GRPCInferenceServiceStub(self._connected())
        return await stub.ModelInfer(request, timeout=deadline.remaining_s * _HOP_SHARE, metadata=metadata)

    def _connected(self) -> aio.Channel:
        # made on first use: the channel belongs to the event loop it is made on
        if self._channel is None:
            self._channel = aio.insecure_channel(f"dns:///{self._address}", options=_OPTIONS)
        return self._channel


def _request(radiographs: NDArray[np.uint8]) -> Any:
    tensor = pb.ModelInferRequest.InferInputTensor(
        name=PREDICTOR_INPUT.name, datatype=PREDICTOR_INPUT.datatype, shape=[*radiographs.shape, 1]
    )
    return pb.ModelInferRequest(
        model_name=MODEL_NAME,
        inputs=[tensor],
        outputs=[
            pb.ModelInferRequest.InferRequestedOutputTensor(name=spec.name) for spec in PREDICTOR_OUTPUTS
        ],
        raw_input_contents=[np.ascontiguousarray(radiographs).tobytes()],
    )


def _code_of(error: aio.AioRpcError) -> str | None:
    """The code of our own error family, which our edge sends along; None where it was not our edge."""
    metadata = {str(key): str(value) for key, value in error.trailing_metadata() or ()}
    return metadata.get(ERROR_CODE_HEADER)


def _was_never_sent(error: aio.AioRpcError) -> bool:
    if error.code() != grpc.StatusCode.UNAVAILABLE or _code_of(error):
        return False
    details = (error.details() or "").lower()
    return any(words in details for words in _NEVER_SENT)


def _failure(error: aio.AioRpcError) -> PleuraError:
    code, ours = error.code(), _code_of(error)
    log.info("predictor_failed", grpc_status=code.name, code=ours)
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED or ours == Overloaded.code:
        return Overloaded("the predictor's queue is full")
    if ours == DeadlineExceeded.code:
        return DeadlineExceeded("the time for this request has run out")
    if ours == InvalidAnswer.code:
        return InvalidAnswer("the model's answer cannot be one")
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return PredictorUnavailable("the predictor does not answer in time")
    return PredictorUnavailable("the predictor does not answer")
