"""Claims about a deadline of 500 ms, over REST and gRPC, while a part is slow or hangs."""

import asyncio
import struct
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import islice
from typing import Final

from grpc import StatusCode, aio
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from proof.faults.lab import PARTS, FaultLab
from proof.faults.proxy import Fault, ProxyTraffic
from proof.lab.load import LATE, CallResult
from proof.lab.report import ClaimRow

_DEADLINE_S, _GRACE_S = 0.5, 0.1
_PER_S, _REQUESTS, _AT_ONCE = 12.0, 12, 50
# A part that has failed is left alone for some seconds before it is tried again.
_RECOVERY_S: Final = 20.0
_FAULTS: Final[Mapping[str, Fault]] = {"slow by 200 ms": Fault("slow", ms=200), "hanging": Fault("hanging")}
_METHOD: Final = "/inference.GRPCInferenceService/ModelInfer"
_STATUS: Final[Mapping[StatusCode, int]] = {
    StatusCode.DEADLINE_EXCEEDED: 504,
    StatusCode.UNAVAILABLE: 503,
}
Send = Callable[[str], Awaitable[CallResult]]


async def check_deadlines(lab: FaultLab) -> list[ClaimRow]:
    """Check that a short deadline holds while each part is slow, and while it hangs."""
    lab.empty_cache()
    ids, rows = iter(lab.fresh_ids), []
    async with aio.insecure_channel(lab.stack.record.grpc_address) as channel, lab.make_caller() as caller:
        protocols: dict[str, Send] = {
            "REST": lambda image_id: caller.send_id(image_id, timeout_ms=int(1000 * _DEADLINE_S)),
            "gRPC": lambda image_id: _send_by_grpc(channel, lab.stack.make_token(), image_id),
        }
        for part in PARTS:
            for name, fault in _FAULTS.items():
                answers_by_id: dict[str, CallResult] = {}
                with lab.proxies[part].apply(fault):
                    for send in protocols.values():
                        answers_by_id |= await _send_in_turn(send, list(islice(ids, _REQUESTS)))
                claim, traffic = f"{_DEADLINE_S:.1f} s, {part}: {name}", lab.proxies["s3"].read_traffic()
                # Where no call of the store was recognised, it is not shown that none was late.
                rows.append(_build_row(claim, answers_by_id, traffic, must_call=part == "predictor"))
                await _wait_until_healthy(lab)
    return rows


async def check_expired_before_store(lab: FaultLab) -> ClaimRow:
    """Check that the object store gets no call for callers that gave up while it was hanging."""
    lab.empty_cache()
    ids = lab.fresh_ids[-_AT_ONCE:]
    async with lab.make_caller() as caller:
        with lab.proxies["s3"].apply(Fault("hanging")):
            sent = (caller.send_id(image_id, timeout_ms=int(1000 * _DEADLINE_S)) for image_id in ids)
            answers = await asyncio.gather(*sent)
            await asyncio.sleep(0.5)
    # The bytes that were held up pass now, and so would a late call.
    await asyncio.sleep(2.0)
    answers_by_id = dict(zip(ids, answers, strict=True))
    row = _build_row(f"{_AT_ONCE} at once, s3: hanging", answers_by_id, lab.proxies["s3"].read_traffic())
    await _wait_until_healthy(lab)
    return row


async def check_cached_answers(lab: FaultLab) -> list[ClaimRow]:
    """Check which status a cached answer has while the object store is down, and while the predictor is."""
    rows, image_id = [], lab.known_ids[0]
    for part, status, reason in (
        # docs/decisions/0025: without the store nobody knows whether the object is still the same.
        ("s3", 503, "the object may have changed"),
        ("predictor", 200, "the model answered a moment ago"),
    ):
        await _wait_until_healthy(lab)
        async with lab.make_caller() as caller:
            before = await caller.send_id(image_id)
            with lab.proxies[part].apply(Fault("down")):
                answer = await caller.send_id(image_id)
        is_allowed = answer.status == 200 or answer.retry_after is not None
        holds = before.is_ok and before.document["cached"] and answer.status == status and is_allowed
        rows.append(
            ClaimRow(f"a cached answer, {part}: down", f"{status}: {reason}", str(answer.status), holds)
        )
    await _wait_until_healthy(lab)
    return rows


async def _send_in_turn(send: Send, ids: Sequence[str]) -> Mapping[str, CallResult]:
    calls = []
    for image_id in ids:
        calls.append(asyncio.ensure_future(send(image_id)))
        await asyncio.sleep(1 / _PER_S)
    return dict(zip(ids, await asyncio.gather(*calls), strict=True))


def _count_store_calls(
    traffic: Sequence[ProxyTraffic], answers_by_id: Mapping[str, CallResult]
) -> tuple[int, int]:
    """Count calls of the object store.

    Returns:
        How many calls arrived, and how many arrived after the caller's deadline and answer.
    """
    # An answer may come before the deadline; its caller has not given up until then.
    expired_s = {i: a.sent_s + max(_DEADLINE_S, a.seconds) + _GRACE_S for i, a in answers_by_id.items()}
    called = [
        (request.at_s, image_id)
        for request in traffic
        for image_id in answers_by_id
        if f"/{image_id} " in request.line
    ]
    return len(called), sum(at_s > expired_s[image_id] for at_s, image_id in called)


def _build_row(
    claim: str,
    answers_by_id: Mapping[str, CallResult],
    traffic: Sequence[ProxyTraffic],
    must_call: bool = False,
) -> ClaimRow:
    answers, (calls, late) = answers_by_id.values(), _count_store_calls(traffic, answers_by_id)
    slowest_s = max(answer.seconds for answer in answers)
    statuses = {status: sum(a.status == status for a in answers) for status in {a.status for a in answers}}
    are_allowed = all(a.is_ok or a.status == 504 or (a.status == 503 and a.retry_after) for a in answers)
    measured = f"{statuses}; slowest {slowest_s:.2f} s; {late} of {calls} calls to S3 expired"
    bound_s = _DEADLINE_S + _GRACE_S
    holds = are_allowed and slowest_s <= bound_s and late == 0 and (calls > 0 or not must_call)
    return ClaimRow(claim, f"{bound_s:.1f} s, 0 expired", measured, holds)


async def _wait_until_healthy(lab: FaultLab) -> None:
    """Wait until the stack answers known radiographs within the deadline.

    Raises:
        TimeoutError: The stack has not recovered in time.
    """
    end_s = time.monotonic() + _RECOVERY_S
    async with lab.make_caller() as caller:
        while time.monotonic() < end_s:
            answers = await asyncio.gather(*(caller.send_id(image_id) for image_id in lab.known_ids[:4]))
            if all(answer.is_ok and answer.seconds < _DEADLINE_S for answer in answers):
                return
            await asyncio.sleep(0.25)
    raise TimeoutError(f"no recovery {_RECOVERY_S:.0f} s after a fault")


async def _send_by_grpc(channel: aio.Channel, token: str, image_id: str) -> CallResult:
    """Request one radiograph with a gRPC deadline, which the client sends to the server."""
    element = image_id.encode()
    request = pb.ModelInferRequest(
        model_name="chest-xray",
        inputs=[pb.ModelInferRequest.InferInputTensor(name="image_id", datatype="BYTES", shape=[1])],
        raw_input_contents=[struct.pack("<I", len(element)) + element],
    )
    call, began_s = channel.unary_unary(_METHOD), time.monotonic()
    status, retry_after = 200, None
    try:
        metadata = (("authorization", f"Bearer {token}"),)
        await call(request.SerializeToString(), timeout=_DEADLINE_S, metadata=metadata)
    except aio.AioRpcError as error:
        # Any other code is not allowed here, and no claim allows the status LATE.
        status = _STATUS.get(error.code(), LATE)
        trailing = dict(error.trailing_metadata() or ())
        retry_after = str(trailing["retry-after"]) if "retry-after" in trailing else None
    return CallResult(image_id, status, began_s, time.monotonic() - began_s, retry_after)
