"""A caller of V2 over gRPC. It returns its answers in the form of ``/classify``."""

import time
import uuid
from collections.abc import Mapping
from typing import Any, Final

import grpc
from grpc import aio
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from numpy import frombuffer

from pleura.findings import FINDINGS
from pleura.serving.grpc_status import GRPC_STATUS
from proof.lab.load import BROKEN, LATE, CallResult

_STATUS: Final[Mapping[grpc.StatusCode, int]] = {code: status for status, code in GRPC_STATUS.items()}


class GrpcCaller:
    """Sends requests to the proxy's gRPC port over one channel."""

    def __init__(self, address: str, token: str, timeout_s: float = 30.0) -> None:
        # By default gRPC shares connections between all channels of a process.
        self._channel = aio.insecure_channel(address, options=(("grpc.use_local_subchannel_pool", 1),))
        self._stub, self._token, self._timeout_s = (
            GRPCInferenceServiceStub(self._channel),
            token,
            timeout_s,
        )

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()

    async def send_id(self, image_id: str, request_id: str | None = None) -> CallResult:
        """Request the findings of one stored radiograph. Never raises."""
        request_id = request_id or str(uuid.uuid4())
        metadata = (("authorization", f"Bearer {self._token}"), ("x-request-id", request_id))
        began_s = time.monotonic()
        try:
            response = await self._stub.ModelInfer(
                _build_request(image_id, request_id), timeout=self._timeout_s, metadata=metadata
            )
        except aio.AioRpcError as error:
            retry_after = dict(error.trailing_metadata() or ()).get("retry-after")
            seconds = time.monotonic() - began_s
            return CallResult(
                request_id, _read_status(error), began_s, seconds, retry_after, image_id=image_id
            )
        seconds = time.monotonic() - began_s
        return CallResult(request_id, 200, began_s, seconds, None, _build_document(response), image_id)


def _build_request(image_id: str, request_id: str) -> Any:
    tensor = pb.ModelInferRequest.InferInputTensor(name="image_id", datatype="BYTES", shape=[1])
    tensor.contents.bytes_contents.append(image_id.encode())
    return pb.ModelInferRequest(model_name="chest-xray", id=request_id, inputs=[tensor])


def _read_status(error: aio.AioRpcError) -> int:
    """Return the status that REST would have. An error from outside our services is a broken call."""
    # Envoy and gRPC itself use the same codes; only our services add this.
    if "pleura-error" in dict(error.trailing_metadata() or ()):
        return _STATUS[error.code()]
    return LATE if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED else BROKEN


def _build_document(response: Any) -> dict[str, Any]:
    (raw,) = [
        raw
        for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)
        if output.name == "probability"
    ]
    findings = zip(FINDINGS, frombuffer(raw, "<f4").tolist(), strict=True)
    return {
        "cached": response.parameters["cached"].bool_param,
        "findings": [{"name": name, "probability": probability} for name, probability in findings],
    }
