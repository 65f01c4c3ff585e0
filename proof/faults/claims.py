"""Claims about a transformer whose predictor fails, answers wrongly, or meets a thousand requests."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
import redis

from pleura.http_client import HttpClient
from pleura.local.dependencies import Server
from pleura.local.pleura_services import Service
from proof.faults.invalid_answers import INVALID_ANSWERS
from proof.faults.lab import read_row_ids
from proof.lab.report import ClaimRow
from proof.lab.stand_in_predictor import StandInPredictor, stand_in_predictor
from proof.lab.transformer import TransformerParts, V2Answer, send_by_id, start_transformer

# Retries that follow every failure would double the load on a part that fails for want of capacity.
_MAX_CALLS_PER_REQUEST: Final = 1.1
_AT_ONCE: Final = 8
_INFER: Final = "/v2/models/chest-xray/infer"
# The delay of a busy machine.
_GRACE_S: Final = 0.1
_TIMEOUT_S: Final = 60.0
_SHORT_DEADLINE_S: Final = 0.5


@dataclass(frozen=True)
class ClaimBench:
    """A transformer with a stand-in predictor. All other parts are real."""

    service: Service
    predictor: StandInPredictor
    parts: TransformerParts

    def empty_cache(self) -> None:
        """Empty the cache."""
        with redis.Redis.from_url(self.parts.redis_url) as client:
            client.flushall()

    def count_cached(self) -> int:
        """Count the answers in the cache."""
        with redis.Redis.from_url(self.parts.redis_url) as client:
            return sum(1 for _ in client.scan_iter("pleura:answer:*"))


@asynccontextmanager
async def run_bench(
    folder: Path, servers: Mapping[str, Server], **settings: str
) -> AsyncIterator[ClaimBench]:
    """Start a bench. ``servers`` are named as in ``proof.faults.lab.PARTS``."""
    async with stand_in_predictor() as predictor:
        parts = TransformerParts(
            predictor.address,
            servers["s3"].url,
            servers["redis"].url,
            servers["postgres"].url,
            folder / "spool",
        )
        service = await asyncio.to_thread(start_transformer, folder, parts.build_environment(**settings))
        try:
            yield ClaimBench(service, predictor, parts)
        finally:
            await asyncio.to_thread(service.stop)


async def check_half_failing_predictor(bench: ClaimBench, ids: Sequence[str], reason: str) -> ClaimRow:
    """Check that the transformer hardly retries when every other call fails with ``reason``."""
    bench.empty_cache()
    predictor = bench.predictor
    predictor.failure, predictor.reason, predictor.fails_every = (grpc.StatusCode.UNAVAILABLE, ()), reason, 2
    calls_before, slots = predictor.calls, asyncio.Semaphore(_AT_ONCE)

    async def send(image_id: str) -> V2Answer:
        async with slots:
            return await send_by_id(bench.service, [image_id])

    try:
        answers = await asyncio.gather(*(send(image_id) for image_id in ids))
    finally:
        predictor.failure, predictor.fails_every = None, 1
    calls_per_request = (predictor.calls - calls_before) / len(ids)
    answered = sum(answer.status == 200 for answer in answers)
    refused = sum(answer.status == 503 and "retry-after" in answer.headers for answer in answers)
    measured = (
        f"{calls_per_request:.3f} calls; {len(ids)} requests, {answered} answered, "
        f"{refused} refused with Retry-After"
    )
    claim = f"predictor fails every other call ({reason!r})"
    holds = 1 <= calls_per_request <= _MAX_CALLS_PER_REQUEST and answered + refused == len(ids)
    return ClaimRow(claim, f"1 to {_MAX_CALLS_PER_REQUEST} calls", measured, holds)


async def check_invalid_answers(bench: ClaimBench, image_id: str) -> ClaimRow:
    """Check that an invalid answer of the predictor gives 502, and that nothing of it is stored."""
    bench.empty_cache()
    wrong = []
    for name, change in INVALID_ANSWERS.items():
        bench.predictor.change = change
        answer = await send_by_id(bench.service, [image_id], id=f"invalid {name}")
        if answer.status != 502 or answer.body.get("code") != "invalid_answer":
            wrong.append(f"{name}: {answer.status}")
    bench.predictor.change = None
    stored = await asyncio.to_thread(
        read_row_ids, bench.parts.journal_dsn, [f"invalid {name}" for name in INVALID_ANSWERS]
    )
    cached = bench.count_cached()
    # Shows that the counting works: the same bench stores an answer that is valid.
    valid = await send_by_id(bench.service, [image_id], id="valid answer")
    is_stored = bench.count_cached() == 1 and read_row_ids(bench.parts.journal_dsn, ["valid answer"]) == [
        "valid answer"
    ]
    measured = (
        f"{len(INVALID_ANSWERS)} answers, {', '.join(wrong) or 'all 502'}; {len(stored)} stored, "
        f"{cached} cached"
    )
    holds = not wrong and not stored and not cached and valid.status == 200 and is_stored
    return ClaimRow("predictor returns an invalid answer", "502, 0 stored, 0 cached", measured, holds)


async def check_one_inference_for_many(bench: ClaimBench, image_id: str, count: int = 1000) -> ClaimRow:
    """Check that many simultaneous requests for one radiograph share an inference, each with its row."""
    bench.empty_cache()
    calls_before = bench.predictor.calls
    # Longer than 1,000 requests need to arrive, so that all of them find the first one at work.
    bench.predictor.seconds = 4.0
    ids = [f"at once {number}" for number in range(count)]
    try:
        statuses = await asyncio.gather(*(_send(bench.service, image_id, request_id) for request_id in ids))
    finally:
        bench.predictor.seconds = 0.0
    calls, rows = bench.predictor.calls - calls_before, read_row_ids(bench.parts.journal_dsn, ids)
    answered = statuses.count(200)
    measured = f"{answered} answered, {calls} inferences, {len(rows)} rows of {len(set(rows))} requests"
    holds = (answered, calls, len(rows), len(set(rows))) == (count, 1, count, count)
    return ClaimRow(
        f"{count} requests at once for one radiograph", f"1 inference, {count} rows", measured, holds
    )


async def _send(service: Service, image_id: str, request_id: str, timeout_s: float | None = None) -> int:
    """Send a request with a cheap client, since the stand-in predictor shares the event loop."""
    tensor = {"name": "image_id", "datatype": "BYTES", "shape": [1], "data": [image_id]}
    body = json.dumps({"id": request_id, "inputs": [tensor]}).encode()
    headers = {"content-type": "application/json"}
    if timeout_s:
        headers["x-request-timeout-ms"] = str(int(1000 * timeout_s))
    async with (
        asyncio.timeout(_TIMEOUT_S),
        HttpClient(service.url) as client,
        client.request("POST", _INFER, headers, body) as response,
    ):
        async for _ in response.chunks():
            pass
        return response.status_code


async def check_expired_before_predictor(
    bench: ClaimBench, ids: Sequence[str], grace_s: float = _GRACE_S
) -> ClaimRow:
    """Check that a slow predictor gets no call after the deadline of its request."""
    bench.empty_cache()
    loop = asyncio.get_running_loop()
    bench.predictor.seconds, bench.predictor.arrivals = 0.8 * _SHORT_DEADLINE_S, []
    ended_s: dict[str, float] = {}
    seconds: list[float] = []

    async def send(image_id: str) -> int:
        request_id, began_s = f"expiring {image_id}", loop.time()
        status = await _send(bench.service, image_id, request_id, _SHORT_DEADLINE_S)
        ended_s[request_id] = max(began_s + _SHORT_DEADLINE_S, loop.time())
        seconds.append(loop.time() - began_s)
        return status

    statuses = await asyncio.gather(*(send(image_id) for image_id in ids))
    # A call that was queued would arrive now.
    await asyncio.sleep(2.0)
    bench.predictor.seconds = 0.0
    late = sum(at_s > ended_s[request_id] + grace_s for request_id, at_s in bench.predictor.arrivals)
    expired = sum(status != 200 for status in statuses)
    arrived = len(bench.predictor.arrivals)
    measured = (
        f"{late} late of {arrived} calls; {len(ids)} requests, {expired} not answered in time; "
        f"slowest {max(seconds):.2f} s"
    )
    bound_s = _SHORT_DEADLINE_S + grace_s
    holds = late == 0 and expired > 0 and arrived > 0 and max(seconds) <= bound_s
    return ClaimRow("expired work never reaches the predictor", f"0 late; {bound_s:.1f} s", measured, holds)
