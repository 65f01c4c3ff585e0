"""Measure rate and latency of cached answers through the proxy, against the uncached rate of the same run."""

from itertools import cycle
from typing import Final

from proof.lab.client import LoadResult, compute_quantile_ms, send_at_rate, send_one_by_one
from proof.lab.running_stack import RunningStack
from proof.speed import requests
from proof.speed.lab import CLIENTS, PreparedRequests, SpeedLab, median, print_progress
from proof.speed.table import SpeedFigure, SpeedRow, compare_ratio, require_at_most

_IDS: Final = 32
_AT_LEAST: Final = 30.0
_P99_MS: Final = 10.0
_STEADY_SHARE: Final = 0.2
"""The share of the rate of eight clients that counts as a light load."""


def fill_cache(lab: SpeedLab, stack: RunningStack, prepared: PreparedRequests) -> None:
    """Send one request for each radiograph, so that the cache holds its answer."""
    lab.run(send_one_by_one(stack.record.address, iter(prepared.by_id), len(prepared.by_id)))


def _build_batch_requests(stack: RunningStack, ids: list[str]) -> list[bytes]:
    token = stack.make_token()
    # Turned lists of the same ids: hits all, but no two requests are the same.
    return [requests.build_ids_request(token, ids[start:] + ids[:start]) for start in range(0, len(ids), 4)]


def _count_uncached(load: LoadResult) -> int:
    """Count the answers that do not come from the cache."""
    # Every answer is looked at: a rate with inferences in it is not that of hits.
    return sum(b'"cached":true' not in reply.body.replace(b" ", b"") for reply in load.answered)


def measure_cache_hits(
    lab: SpeedLab,
    cached: RunningStack,
    hits: PreparedRequests,
    uncached: RunningStack,
    misses: PreparedRequests,
) -> list[SpeedRow]:
    """Compare cache hits of one and of many radiographs a request with requests to an uncached stack."""
    address = cached.record.address
    batches = _build_batch_requests(cached, list(hits.ids[:_IDS]))
    not_cached = 0
    one_per_s, batch_per_s, uncached_per_s = list[float](), list[float](), list[float]()
    for number in range(lab.effort.rounds):
        print_progress(f"cached: round {number + 1}")
        uncached_per_s.append(lab.send_load(uncached.record.address, misses.by_id).per_s)
        for load_requests, rates in ((hits.by_id, one_per_s), (batches, batch_per_s)):
            load = lab.send_load(address, load_requests)
            not_cached += _count_uncached(load)
            rates.append(load.per_s)
    # At the highest rate a latency would show the queue of the clients, not the service.
    steady_per_s = _STEADY_SHARE * median(one_per_s)
    load = lab.run(send_at_rate(address, cycle(hits.by_id), steady_per_s, 2 * lab.effort.seconds))
    lab.failed.extend(load.unanswered)
    not_cached += _count_uncached(load)
    floor = SpeedFigure(median(uncached_per_s), "/s", "not cached")
    radiographs = SpeedFigure(_IDS * median(batch_per_s), "radiographs/s")
    return [
        compare_ratio(
            f"cache hits, {CLIENTS} clients", SpeedFigure(median(one_per_s), "/s"), floor, _AT_LEAST
        ),
        compare_ratio(
            f"cache hits, {_IDS} ids a request (V2), {CLIENTS} clients", radiographs, floor, _AT_LEAST
        ),
        require_at_most(
            f"cache hits at {steady_per_s:.0f}/s, p99, predictor idle",
            SpeedFigure(compute_quantile_ms(load.answered, 0.99), "ms"),
            _P99_MS,
            f"p50 {compute_quantile_ms(load.answered, 0.5):.1f} ms",
        ),
        require_at_most(
            "answers that should have been cache hits and were not", SpeedFigure(not_cached, "answers"), 0
        ),
    ]
