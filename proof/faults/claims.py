"""What a transformer holds against a predictor that fails, lies, or is asked a thousand times."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import redis

from pleura.http_client import HttpClient
from pleura.local.dependencies import Server
from pleura.local.pleura_services import Service
from proof.faults.lab import read_row_ids
from proof.lab.report import ClaimRow
from proof.lab.stand_in_predictor import StandInPredictor, stand_in_predictor
from proof.lab.transformer import TransformerParts, V2Answer, send_by_id, start_transformer

Change = Callable[[Any], None]
_CALLS_PER_REQUEST: Final = 1.1
_AT_ONCE: Final = 8
_INFER: Final = "/v2/models/chest-xray/infer"
_GRACE_S: Final = 0.1
_GIVES_UP_S: Final = 60.0
_EXPIRING_S: Final = 0.5


def _numbers(name: str, position: int, value: float) -> Change:
    """Put a number into an output."""

    def change(response: Any) -> None:
        index = [output.name for output in response.outputs].index(name)
        raw = bytearray(response.raw_output_contents[index])
        struct.pack_into("<f", raw, 4 * position, value)
        response.raw_output_contents[index] = bytes(raw)

    return change


def _shape(name: str, shape: Sequence[int]) -> Change:
    """Give an output another shape, with as many numbers as that has."""

    def change(response: Any) -> None:
        (index,) = [i for i, output in enumerate(response.outputs) if output.name == name]
        del response.outputs[index].shape[:]
        response.outputs[index].shape.extend(shape)
        size = 4
        for side in shape:
            size *= side
        response.raw_output_contents[index] = response.raw_output_contents[index][:size].ljust(size, b"\0")

    return change


def _datatype(response: Any) -> None:
    response.outputs[0].datatype = "FP64"


def _digest(text: str) -> Change:
    def change(response: Any) -> None:
        response.parameters["model_digest"].string_param = text

    return change


def _without_an_output(response: Any) -> None:
    del response.outputs[0]
    del response.raw_output_contents[0]


def _cut(response: Any) -> None:
    response.raw_output_contents[0] = response.raw_output_contents[0][:-1]


def _other_preprocessing(response: Any) -> None:
    response.parameters["preprocessing_version"].string_param = "0"


def _other_version(response: Any) -> None:
    response.model_version = "../1"


LIES: Final[Mapping[str, Change]] = {
    "NaN": _numbers("probability", 3, float("nan")),
    "infinity": _numbers("probability", 0, float("inf")),
    "infinity in a map": _numbers("activation_map", 100, float("-inf")),
    "NaN as typicality": _numbers("typicality", 0, float("nan")),
    "probability 1.5": _numbers("probability", 13, 1.5),
    "probability -0.1": _numbers("probability", 0, -0.1),
    "threshold 2": _numbers("threshold", 5, 2.0),
    "13 outputs": _shape("probability", (1, 13)),
    "15 outputs": _shape("probability", (1, 15)),
    "13 thresholds": _shape("threshold", (13,)),
    "two answers": _shape("probability", (2, 14)),
    "no batch": _shape("probability", (14,)),
    "small maps": _shape("activation_map", (1, 14, 7, 6)),
    "no probability at all": _without_an_output,
    "cut short": _cut,
    "FP64": _datatype,
    "a digest that is none": _digest("d" * 63),
    "no digest": _digest(""),
    "a version that is none": _other_version,
    "another preprocessing": _other_preprocessing,
}


@dataclass(frozen=True)
class ClaimBench:
    """A transformer on a stand-in for the predictor, and on real parts otherwise."""

    service: Service
    predictor: StandInPredictor
    parts: TransformerParts

    def empty_cache(self) -> None:
        """Empty the cache."""
        with redis.Redis.from_url(self.parts.redis_url) as client:
            client.flushall()

    def cached(self) -> int:
        """How many answers the cache holds."""
        with redis.Redis.from_url(self.parts.redis_url) as client:
            return sum(1 for _ in client.scan_iter("pleura:answer:*"))


@asynccontextmanager
async def run_bench(
    folder: Path, servers: Mapping[str, Server], **settings: str
) -> AsyncIterator[ClaimBench]:
    """Start it; ``servers`` are named as in ``fault_lab.PARTS``."""
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
    """A predictor that fails every other call, in words that would allow a retry or that would not."""
    bench.empty_cache()
    predictor = bench.predictor
    predictor.failure, predictor.reason, predictor.fails_every = (grpc.StatusCode.UNAVAILABLE, ()), reason, 2
    before, turn = predictor.calls, asyncio.Semaphore(_AT_ONCE)

    async def asked(image_id: str) -> V2Answer:
        async with turn:
            return await send_by_id(bench.service, [image_id])

    try:
        answers = await asyncio.gather(*(asked(image_id) for image_id in ids))
    finally:
        predictor.failure, predictor.fails_every = None, 1
    share = (predictor.calls - before) / len(ids)
    good = sum(answer.status == 200 for answer in answers)
    told = sum(answer.status == 503 and "retry-after" in answer.headers for answer in answers)
    measured = f"{share:.3f} calls; {len(ids)} requests, {good} answered, {told} told when to ask again"
    claim = f"predictor fails every other call ({reason!r})"
    holds = 1 <= share <= _CALLS_PER_REQUEST and good + told == len(ids)
    return ClaimRow(claim, f"1 to {_CALLS_PER_REQUEST} calls", measured, holds)


async def check_lying_predictor(bench: ClaimBench, image_id: str) -> ClaimRow:
    """Whatever the predictor says that cannot be an answer is 502, and nothing is kept of it."""
    bench.empty_cache()
    wrong = []
    for name, change in LIES.items():
        bench.predictor.change = change
        answer = await send_by_id(bench.service, [image_id], id=f"lie {name}")
        if answer.status != 502 or set(answer.body) != {"error"}:
            wrong.append(f"{name}: {answer.status}")
    bench.predictor.change = None
    stored = await asyncio.to_thread(read_row_ids, bench.parts.journal_dsn, [f"lie {name}" for name in LIES])
    cached = bench.cached()
    honest = await send_by_id(bench.service, [image_id], id="no lie")
    is_kept = bench.cached() == 1 and read_row_ids(bench.parts.journal_dsn, ["no lie"]) == ["no lie"]
    measured = f"{len(LIES)} lies, {', '.join(wrong) or 'all 502'}; {len(stored)} stored, {cached} cached"
    holds = not wrong and not stored and not cached and honest.status == 200 and is_kept
    return ClaimRow("predictor answers what cannot be an answer", "502, 0 stored, 0 cached", measured, holds)


async def check_one_inference_for_many(bench: ClaimBench, image_id: str, count: int = 1000) -> ClaimRow:
    """Many requests at one time for one radiograph are one inference, and each has its row."""
    bench.empty_cache()
    before = bench.predictor.calls
    bench.predictor.seconds = 4.0
    ids = [f"at once {number}" for number in range(count)]
    try:
        statuses = await asyncio.gather(*(_status_of(bench.service, image_id, each) for each in ids))
    finally:
        bench.predictor.seconds = 0.0
    calls, rows = bench.predictor.calls - before, read_row_ids(bench.parts.journal_dsn, ids)
    good = statuses.count(200)
    measured = f"{good} answered, {calls} inferences, {len(rows)} rows of {len(set(rows))} requests"
    holds = (good, calls, len(rows), len(set(rows))) == (count, 1, count, count)
    return ClaimRow(
        f"{count} requests at once for one radiograph", f"1 inference, {count} rows", measured, holds
    )


async def _status_of(service: Service, image_id: str, request_id: str, timeout_s: float | None = None) -> int:
    """Ask over a connection that costs little: the predictor's stand-in lives on this event loop too."""
    tensor = {"name": "image_id", "datatype": "BYTES", "shape": [1], "data": [image_id]}
    body = json.dumps({"id": request_id, "inputs": [tensor]}).encode()
    headers = {"content-type": "application/json"}
    if timeout_s:
        headers["x-request-timeout-ms"] = str(int(1000 * timeout_s))
    async with (
        asyncio.timeout(_GIVES_UP_S),
        HttpClient(service.url) as client,
        client.request("POST", _INFER, headers, body) as response,
    ):
        async for _ in response.chunks():
            pass
        return response.status_code


async def check_expired_before_predictor(
    bench: ClaimBench, ids: Sequence[str], grace_s: float = _GRACE_S
) -> ClaimRow:
    """While the predictor is slow, no call arrives there when a request's time is over and that was told."""
    bench.empty_cache()
    loop = asyncio.get_running_loop()
    bench.predictor.seconds, bench.predictor.arrivals = 0.8 * _EXPIRING_S, []
    over: dict[str, float] = {}
    seconds: list[float] = []

    async def asked(image_id: str) -> int:
        request_id, began_s = f"expiring {image_id}", loop.time()
        status = await _status_of(bench.service, image_id, request_id, _EXPIRING_S)
        over[request_id] = max(began_s + _EXPIRING_S, loop.time())
        seconds.append(loop.time() - began_s)
        return status

    statuses = await asyncio.gather(*(asked(image_id) for image_id in ids))
    await asyncio.sleep(2.0)
    bench.predictor.seconds = 0.0
    late = sum(at_s > over[request_id] + grace_s for request_id, at_s in bench.predictor.arrivals)
    expired = sum(status != 200 for status in statuses)
    arrived = len(bench.predictor.arrivals)
    measured = (
        f"{late} late of {arrived} calls; {len(ids)} requests, {expired} not answered in time; "
        f"slowest {max(seconds):.2f} s"
    )
    bound_s = _EXPIRING_S + grace_s
    holds = late == 0 and expired > 0 and arrived > 0 and max(seconds) <= bound_s
    return ClaimRow("expired work never reaches the predictor", f"0 late; {bound_s:.1f} s", measured, holds)
