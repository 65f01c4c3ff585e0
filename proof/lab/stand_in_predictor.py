"""A gRPC server in the predictor's place. It waits, fails or answers wrongly on demand."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from grpc import aio
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from pleura.contract import INPUT_FLAGS, INPUT_FLAGS_OUTPUT, PREPROCESSING_VERSION
from pleura.errors import ERROR_CODE_HEADER, InvalidRequest
from pleura.serving.grpc_server import ALLOWED_PINGS
from pleura.serving.model import DescribedModel
from proof.lab.bundles import build_description
from transformer.answer import Revision

INFER = "/inference.GRPCInferenceService/ModelInfer"
DESCRIBE = "/pleura.Model/Describe"


def build_response(request: Any, revision: Revision, flags: Sequence[str] | None = ()) -> Any:
    """Build a valid answer. The probabilities depend on the mean of each radiograph.

    Args:
        request: The request.
        revision: The model that answers.
        flags: What the input check says of every radiograph; None as from a predictor without one.
    """
    count = request.inputs[0].shape[0]
    tensors = np.frombuffer(request.raw_input_contents[0], np.uint8).reshape(count, -1)
    arrays = {
        "probability": np.repeat(tensors.mean(axis=1, dtype=np.float32)[:, None] / 255, 14, axis=1),
        "threshold": np.full(14, 0.5, np.float32),
        "typicality": np.full(count, 0.5, np.float32),
        "activation_map": np.zeros((count, 14, 7, 7), np.float32),
    }
    response = pb.ModelInferResponse(model_name="chest-xray", model_version=revision.version)
    response.parameters["model_digest"].string_param = revision.digest
    response.parameters["preprocessing_version"].string_param = PREPROCESSING_VERSION
    for name, array in arrays.items():
        output = response.outputs.add(name=name, datatype="FP32")
        output.shape.extend(array.shape)
        response.raw_output_contents.append(array.astype("<f4").tobytes())
    if flags is not None:
        response.outputs.add(name=INPUT_FLAGS_OUTPUT, datatype="BOOL", shape=[count, len(INPUT_FLAGS)])
        response.raw_output_contents.append(bytes(name in flags for name in INPUT_FLAGS) * count)
    return response


@dataclass
class StandInPredictor:
    """The calls that arrived, and how to answer them. ``change`` spoils an answer before it is sent.

    ``flags`` are what the input check says of every radiograph; None is a predictor of an earlier version.
    """

    revision: Revision = field(default_factory=lambda: Revision("0.0.1", "c" * 64))
    seconds: float = 0.0
    change: Callable[[Any], None] | None = None
    failure: tuple[grpc.StatusCode, tuple[tuple[str, str], ...]] | None = None
    fails_every: int = 1
    reason: str = "some reason"
    flags: Sequence[str] | None = ()
    calls: int = 0
    arrivals: list[tuple[str, float]] = field(default_factory=list)
    radiographs: int = 0
    timeouts_s: list[float] = field(default_factory=list)
    address: str = ""

    async def infer(self, request: Any, context: Any) -> Any:
        """Answer one call."""
        self.calls += 1
        self.radiographs += request.inputs[0].shape[0]
        self.timeouts_s.append(context.time_remaining())
        self.arrivals.append((dict(context.invocation_metadata()).get("x-request-id", ""), time.monotonic()))
        # Decided before the wait, because other calls are counted during it.
        fails = self.failure and self.calls % self.fails_every == 0
        await asyncio.sleep(self.seconds)
        if self.failure and fails:
            context.set_trailing_metadata(self.failure[1])
            await context.abort(self.failure[0], self.reason)
        if self.flags is None and INPUT_FLAGS_OUTPUT in {output.name for output in request.outputs}:
            context.set_trailing_metadata(((ERROR_CODE_HEADER, InvalidRequest.code),))
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the model has no output of that name")
        response = build_response(request, self.revision, self.flags)
        if self.change:
            self.change(response)
        return response

    async def describe(self, request: bytes, context: Any) -> bytes:
        """Describe the model."""
        return DescribedModel(build_description(self.revision.version), self.revision.digest).to_json()

    def service(self, details: Any) -> Any:
        """Return the handler of a method."""
        if details.method == INFER:
            return grpc.unary_unary_rpc_method_handler(
                self.infer, pb.ModelInferRequest.FromString, pb.ModelInferResponse.SerializeToString
            )
        if details.method == DESCRIBE:
            return grpc.unary_unary_rpc_method_handler(self.describe)
        return None


@asynccontextmanager
async def stand_in_predictor(port: int = 0) -> AsyncIterator[StandInPredictor]:
    """Serve a stand-in predictor at its ``address``."""
    predictor = StandInPredictor()
    # gRPC lets several servers listen on one port by default: calls would go to any of them.
    server = aio.server(options=[("grpc.so_reuseport", 0), *ALLOWED_PINGS])
    server.add_generic_rpc_handlers((predictor,))
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    predictor.address = f"127.0.0.1:{port}"
    await server.start()
    try:
        yield predictor
    finally:
        await server.stop(0)
