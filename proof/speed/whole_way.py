"""Compare the whole way with the engine alone. The whole way is proxy, transformer, predictor and journal."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Final

from proof.lab.client import LoadResult, compute_quantile_ms, send_one_by_one
from proof.lab.running_stack import RunningStack
from proof.speed.costs import ProcessorCost, read_part_processor_s
from proof.speed.lab import CLIENTS, PreparedRequests, SpeedLab, median, print_progress
from proof.speed.table import SpeedFigure, SpeedRow, compare_overhead, compare_ratio, require_at_most

_MANY: Final = 32
_TOO_MANY: Final = 128
_SHARE: Final = 0.80
_OVERHEAD_MS: Final = 20.0
_SHARE_OF_MANY: Final = 0.95
_REFUSED_WITHIN_MS: Final = 50.0
ALONE: Final = 20
"""Requests of a single client in a round."""


@dataclass(frozen=True)
class RequestWay:
    """One way to send radiographs, with its name and its requests."""

    name: str
    requests: Sequence[bytes]


@dataclass(frozen=True)
class WayRound:
    """The rate at eight clients and the median time at one client, in one round of one way."""

    per_s: float
    median_ms: float


@dataclass(frozen=True)
class _Floor:
    """One round of the engine: the rates on all cores and with one engine on each core, and the median."""

    wide_per_s: float
    narrow_per_s: float
    median_ms: float


def _measure_floor(lab: SpeedLab) -> _Floor:
    wide, narrow = lab.engine.measure_per_s(lab.effort.seconds)
    return _Floor(wide, narrow, lab.engine.measure_median_ms(ALONE))


def find_best_rate(floors: Sequence[_Floor]) -> SpeedFigure:
    """Return the median rate of the faster way to run the engine."""
    # Beside the slower way to run the engine the service would look better than it is.
    wide, narrow = median([f.wide_per_s for f in floors]), median([f.narrow_per_s for f in floors])
    if wide >= narrow:
        return SpeedFigure(wide, "/s", "engine, one on all cores")
    return SpeedFigure(narrow, "/s", "engine, one on each core")


def list_request_ways(prepared: Mapping[str, PreparedRequests]) -> list[RequestWay]:
    """List the requests by id and as file, for every form."""
    ways = []
    for form, form_requests in prepared.items():
        ways += [
            RequestWay(f"{form} by id", form_requests.by_id),
            RequestWay(f"{form} as file", form_requests.with_file),
        ]
    return ways


def measure_round(lab: SpeedLab, address: str, way: RequestWay) -> WayRound:
    """Send the requests of one way, from one client and from eight."""
    alone = lab.run(send_one_by_one(address, cycle(way.requests), ALONE))
    return WayRound(lab.send_load(address, way.requests).per_s, compute_quantile_ms(alone, 0.5))


def measure_whole_way(
    lab: SpeedLab, stack: RunningStack, prepared: Mapping[str, PreparedRequests]
) -> list[SpeedRow]:
    """Measure the rate at eight clients and the added time for one client, for each way."""
    address, ways = stack.record.address, list_request_ways(prepared)
    floors, rounds = list[_Floor](), {way.name: list[WayRound]() for way in ways}
    for number in range(lab.effort.rounds):
        for position, way in enumerate(ways):
            print_progress(f"whole way: round {number + 1}, {way.name}")
            if position % 4 == 0:  # so that the engine is measured close to each way in time
                floors.append(_measure_floor(lab))
            rounds[way.name].append(measure_round(lab, address, way))
    best, alone = (
        find_best_rate(floors),
        SpeedFigure(median([f.median_ms for f in floors]), "ms", "engine alone"),
    )
    return list_way_rows(rounds, best, alone)


def list_way_rows(
    rounds: Mapping[str, Sequence[WayRound]], best: SpeedFigure, alone: SpeedFigure, where: str = ""
) -> list[SpeedRow]:
    """List the rate at eight clients of each way, then the time that one client waits beyond the engine."""

    def take_median(name: str, figure: Callable[[WayRound], float], unit: str) -> SpeedFigure:
        return SpeedFigure(median([figure(measured) for measured in rounds[name]]), unit)

    rates = (
        compare_ratio(
            f"whole way, {name}, {CLIENTS} clients{where}",
            take_median(name, lambda measured: measured.per_s, "/s"),
            best,
            _SHARE,
            "%",
        )
        for name in rounds
    )
    overheads = (
        compare_overhead(
            f"whole way, {name}, 1 client{where}, p50",
            take_median(name, lambda measured: measured.median_ms, "ms"),
            alone,
            _OVERHEAD_MS,
        )
        for name in rounds
    )
    return [*rates, *overheads]


def measure_crowd(lab: SpeedLab, stack: RunningStack, prepared: PreparedRequests) -> list[SpeedRow]:
    """Measure the rate and the time of refusals with more clients than the engine can serve."""
    loads: dict[int, list[LoadResult]] = {CLIENTS: [], _MANY: [], _TOO_MANY: []}
    for number in range(lab.effort.rounds):
        for clients, client_loads in loads.items():
            print_progress(f"crowd: round {number + 1}, {clients} clients")
            client_loads.append(lab.send_load(stack.record.address, prepared.by_id, clients, may_refuse=True))
    few = SpeedFigure(median([load.per_s for load in loads[CLIENTS]]), "/s", f"{CLIENTS} clients")
    rows = []
    for clients in (_MANY, _TOO_MANY):
        figure = SpeedFigure(median([load.per_s for load in loads[clients]]), "/s")
        rows.append(compare_ratio(f"whole way, {clients} clients", figure, few, _SHARE_OF_MANY, "%"))
        refused = [reply for load in loads[clients] for reply in load.refused]
        number = sum(len(load.replies) for load in loads[clients])
        if refused:
            slowest = SpeedFigure(compute_quantile_ms(refused, 0.99), "ms")
            share = f"{len(refused)} of {number}"
            rows.append(
                require_at_most(f"refusals at {clients} clients, p99", slowest, _REFUSED_WITHIN_MS, share)
            )
        else:
            rows.append(SpeedRow(f"refusals at {clients} clients", f"0 of {number}", "", ""))
    return rows


def measure_processor_cost(lab: SpeedLab, stack: RunningStack, requests: Sequence[bytes]) -> ProcessorCost:
    """Measure the processor time of a request by part, at eight clients."""
    before = read_part_processor_s(stack)
    load = lab.send_load(stack.record.address, requests)
    return ProcessorCost.from_readings(before, read_part_processor_s(stack), len(load.replies))
