"""A caller's 500 ms, kept through every hop over REST and gRPC while a part is slow or hangs."""

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
_PER_S, _EACH, _AT_ONCE = 12.0, 12, 50
_AGAIN_S: Final = 20.0
_FAULTS: Final[Mapping[str, Fault]] = {"slow by 200 ms": Fault("slow", ms=200), "hanging": Fault("hanging")}
_METHOD: Final = "/inference.GRPCInferenceService/ModelInfer"
_STATUS: Final[Mapping[StatusCode, int]] = {
    StatusCode.DEADLINE_EXCEEDED: 504,
    StatusCode.UNAVAILABLE: 503,
}
Ask = Callable[[str], Awaitable[CallResult]]


async def check_deadlines(lab: FaultLab) -> list[ClaimRow]:
    """Ask with little time while each part is slow, then hanging."""
    lab.empty_cache()
    ids, caller, rows = iter(lab.fresh), lab.caller(), []
    async with aio.insecure_channel(lab.stack.record.grpc_address) as channel:
        ways: dict[str, Ask] = {
            "REST": lambda image_id: caller.ask(image_id, timeout_ms=int(1000 * _DEADLINE_S)),
            "gRPC": lambda image_id: _ask_by_grpc(channel, lab.stack.make_token(), image_id),
        }
        for part in PARTS:
            for name, fault in _FAULTS.items():
                asked: dict[str, CallResult] = {}
                with lab.proxies[part].apply(fault):
                    for ask in ways.values():
                        asked |= await _one_by_one(ask, list(islice(ids, _EACH)))
                claim, seen = f"{_DEADLINE_S:.1f} s, {part}: {name}", lab.proxies["s3"].read_traffic()
                rows.append(_row(claim, asked, seen, must_call=part == "predictor"))
                await _until_good(lab)
    return rows


async def check_expired_before_store(lab: FaultLab) -> ClaimRow:
    """Many wait while the object store hangs; when it goes on, nothing is asked for those who have gone."""
    lab.empty_cache()
    caller, ids = lab.caller(), lab.fresh[-_AT_ONCE:]
    with lab.proxies["s3"].apply(Fault("hanging")):
        answers = await asyncio.gather(*(caller.ask(i, timeout_ms=int(1000 * _DEADLINE_S)) for i in ids))
        await asyncio.sleep(0.5)
    await asyncio.sleep(2.0)
    asked = dict(zip(ids, answers, strict=True))
    row = _row(f"{_AT_ONCE} at once, s3: hanging", asked, lab.proxies["s3"].read_traffic())
    await _until_good(lab)
    return row


async def check_cached_answers(lab: FaultLab) -> list[ClaimRow]:
    """What a cached answer is worth while the part is away that knows the object, or the model."""
    caller, rows, image_id = lab.caller(), [], lab.known[0]
    for part, status, why in (
        ("s3", 503, "nobody can say that it is the same object still"),
        ("predictor", 200, "the model answered a moment ago"),
    ):
        await _until_good(lab)
        before = await caller.ask(image_id)
        with lab.proxies[part].apply(Fault("down")):
            answer = await caller.ask(image_id)
        is_told = answer.status == 200 or answer.retry_after is not None
        holds = before.is_ok and before.document["cached"] and answer.status == status and is_told
        rows.append(ClaimRow(f"a cached answer, {part}: down", f"{status}: {why}", str(answer.status), holds))
    await _until_good(lab)
    return rows


async def _one_by_one(ask: Ask, ids: Sequence[str]) -> Mapping[str, CallResult]:
    calls = []
    for image_id in ids:
        calls.append(asyncio.ensure_future(ask(image_id)))
        await asyncio.sleep(1 / _PER_S)
    return dict(zip(ids, await asyncio.gather(*calls), strict=True))


def _calls(seen: Sequence[ProxyTraffic], asked: Mapping[str, CallResult]) -> tuple[int, int]:
    """Count calls of the object store.

    Returns:
        How many there were, and how many came when their time was over and the caller had been told so.
    """
    over_s = {i: a.sent_s + max(_DEADLINE_S, a.seconds) + _GRACE_S for i, a in asked.items()}
    called = [(each.at_s, image_id) for each in seen for image_id in asked if f"/{image_id} " in each.line]
    return len(called), sum(at_s > over_s[image_id] for at_s, image_id in called)


def _row(
    claim: str, asked: Mapping[str, CallResult], seen: Sequence[ProxyTraffic], must_call: bool = False
) -> ClaimRow:
    answers, (calls, late) = asked.values(), _calls(seen, asked)
    slowest_s = max(answer.seconds for answer in answers)
    statuses = {status: sum(a.status == status for a in answers) for status in {a.status for a in answers}}
    told = all(a.is_ok or a.status == 504 or (a.status == 503 and a.retry_after) for a in answers)
    measured = f"{statuses}; slowest {slowest_s:.2f} s; {late} of {calls} calls to S3 expired"
    bound_s = _DEADLINE_S + _GRACE_S
    holds = told and slowest_s <= bound_s and late == 0 and (calls > 0 or not must_call)
    return ClaimRow(claim, f"{bound_s:.1f} s, 0 expired", measured, holds)


async def _until_good(lab: FaultLab) -> None:
    """Wait until the stack answers as it did.

    Raises:
        TimeoutError: It does not.
    """
    caller, end_s = lab.caller(), time.monotonic() + _AGAIN_S
    while time.monotonic() < end_s:
        answers = await asyncio.gather(*(caller.ask(image_id) for image_id in lab.known[:4]))
        if all(answer.is_ok and answer.seconds < _DEADLINE_S for answer in answers):
            return
        await asyncio.sleep(0.25)
    raise TimeoutError(f"not well {_AGAIN_S:.0f} s after a fault")


async def _ask_by_grpc(channel: aio.Channel, token: str, image_id: str) -> CallResult:
    """Ask about one radiograph with gRPC's own deadline, which the server is told and must keep to."""
    element = image_id.encode()
    request = pb.ModelInferRequest(
        model_name="chest-xray",
        inputs=[pb.ModelInferRequest.InferInputTensor(name="image_id", datatype="BYTES", shape=[1])],
        raw_input_contents=[struct.pack("<I", len(element)) + element],
    )
    ask, began_s = channel.unary_unary(_METHOD), time.monotonic()
    status, retry_after = 200, None
    try:
        metadata = (("authorization", f"Bearer {token}"),)
        await ask(request.SerializeToString(), timeout=_DEADLINE_S, metadata=metadata)
    except aio.AioRpcError as error:
        status = _STATUS.get(error.code(), LATE)
        trailing = dict(error.trailing_metadata() or ())
        retry_after = str(trailing["retry-after"]) if "retry-after" in trailing else None
    return CallResult(image_id, status, began_s, time.monotonic() - began_s, retry_after)
