"""Answers from the cache, through the proxy: beside the uncached rate of the same run, and how soon."""

from itertools import cycle
from typing import Final

from proof.lab.client import LoadResult, compute_quantile_ms, send_at_rate, send_one_by_one
from proof.lab.running_stack import RunningStack
from proof.speed import requests
from proof.speed.lab import CLIENTS, PreparedRequests, SpeedLab, median, print_progress
from proof.speed.table import SpeedFigure, SpeedRow, at_most, ratio

_IDS: Final = 32
_AT_LEAST: Final = 30.0
_P99_MS: Final = 10.0
_STEADY_SHARE: Final = 0.2
"""Of what eight clients get: a load that a service should not feel."""


def fill_cache(lab: SpeedLab, stack: RunningStack, asked: PreparedRequests) -> None:
    """Ask about each radiograph once."""
    lab.run(send_one_by_one(stack.record.address, iter(asked.by_id), len(asked.by_id)))


def _many_at_once(stack: RunningStack, ids: list[str]) -> list[bytes]:
    token = stack.make_token()
    return [requests.by_ids(token, ids[start:] + ids[:start]) for start in range(0, len(ids), 4)]


def _not_cached(load: LoadResult) -> int:
    """How many of the answers are not from the cache."""
    return sum(b'"cached":true' not in reply.body.replace(b" ", b"") for reply in load.answered)


def rows(
    lab: SpeedLab,
    cached: RunningStack,
    hits: PreparedRequests,
    uncached: RunningStack,
    misses: PreparedRequests,
) -> list[SpeedRow]:
    """Hits of one and of many radiographs a request, beside questions to a stack without a cache."""
    address = cached.record.address
    many = _many_at_once(cached, list(hits.ids[:_IDS]))
    not_cached = 0
    one_per_s, many_per_s, uncached_per_s = list[float](), list[float](), list[float]()
    for number in range(lab.effort.rounds):
        print_progress(f"cached: round {number + 1}")
        uncached_per_s.append(lab.load(uncached.record.address, misses.by_id).per_s)
        for many_requests, rates in ((hits.by_id, one_per_s), (many, many_per_s)):
            load = lab.load(address, many_requests)
            not_cached += _not_cached(load)
            rates.append(load.per_s)
    steady_per_s = _STEADY_SHARE * median(one_per_s)
    load = lab.run(send_at_rate(address, cycle(hits.by_id), steady_per_s, 2 * lab.effort.seconds))
    lab.failed.extend(load.unanswered)
    not_cached += _not_cached(load)
    floor = SpeedFigure(median(uncached_per_s), "/s", "not cached")
    radiographs = SpeedFigure(_IDS * median(many_per_s), "radiographs/s")
    return [
        ratio(f"cache hits, {CLIENTS} clients", SpeedFigure(median(one_per_s), "/s"), floor, _AT_LEAST),
        ratio(f"cache hits, {_IDS} ids a request (V2), {CLIENTS} clients", radiographs, floor, _AT_LEAST),
        at_most(
            f"cache hits at {steady_per_s:.0f}/s, p99, predictor idle",
            SpeedFigure(compute_quantile_ms(load.answered, 0.99), "ms"),
            _P99_MS,
            f"p50 {compute_quantile_ms(load.answered, 0.5):.1f} ms",
        ),
        at_most("cache hits that were none", SpeedFigure(not_cached, "answers"), 0),
    ]
