"""The whole way, proxy to journal and back without a cache, against the engine alone, in turn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Final

from proof.lab.client import LoadResult, compute_quantile_ms, send_one_by_one
from proof.lab.running_stack import RunningStack
from proof.speed.costs import Spending, spent
from proof.speed.lab import CLIENTS, PreparedRequests, SpeedLab, median, print_progress
from proof.speed.table import SpeedFigure, SpeedRow, at_most, overhead, ratio

_MANY: Final = 32
_TOO_MANY: Final = 128
_SHARE: Final = 0.80
_OVERHEAD_MS: Final = 20.0
_SHARE_OF_MANY: Final = 0.95
_REFUSED_WITHIN_MS: Final = 50.0
ALONE: Final = 20
"""Questions of one client in a round."""


@dataclass(frozen=True)
class RequestWay:
    """One way to ask: what the radiographs are, and the requests about them."""

    name: str
    requests: Sequence[bytes]


@dataclass(frozen=True)
class Round:
    """What one round of one way gave."""

    per_s: float
    median_ms: float


@dataclass(frozen=True)
class _Floor:
    """What one round of the engine gave: a second of one engine, of one on each core; milliseconds."""

    wide_per_s: float
    narrow_per_s: float
    median_ms: float


def _floor(lab: SpeedLab) -> _Floor:
    wide, narrow = lab.engine.per_s(lab.effort.seconds)
    return _Floor(wide, narrow, lab.engine.median_ms(ALONE))


def best_of(floors: Sequence[_Floor]) -> SpeedFigure:
    """The engine at its best: the way to run it that reads more, in the middle of the rounds."""
    wide, narrow = median([f.wide_per_s for f in floors]), median([f.narrow_per_s for f in floors])
    if wide >= narrow:
        return SpeedFigure(wide, "/s", "engine, one on all cores")
    return SpeedFigure(narrow, "/s", "engine, one on each core")


def ways_of(asked: Mapping[str, PreparedRequests]) -> list[RequestWay]:
    """By id and as file, in every form."""
    ways = []
    for form, of_form in asked.items():
        ways += [RequestWay(f"{form} by id", of_form.by_id), RequestWay(f"{form} as file", of_form.with_file)]
    return ways


def round_of(lab: SpeedLab, address: str, way: RequestWay) -> Round:
    """Ask one way, with one client and with eight."""
    alone = lab.run(send_one_by_one(address, cycle(way.requests), ALONE))
    return Round(lab.load(address, way.requests).per_s, compute_quantile_ms(alone, 0.5))


def rows(lab: SpeedLab, stack: RunningStack, asked: Mapping[str, PreparedRequests]) -> list[SpeedRow]:
    """Each way to ask: radiographs a second at eight clients, and what it costs one client."""
    address, ways = stack.record.address, ways_of(asked)
    floors, rounds = list[_Floor](), {way.name: list[Round]() for way in ways}
    for number in range(lab.effort.rounds):
        for position, way in enumerate(ways):
            print_progress(f"whole way: round {number + 1}, {way.name}")
            if position % 4 == 0:  # so that the engine is measured near to each of them
                floors.append(_floor(lab))
            rounds[way.name].append(round_of(lab, address, way))
    best, alone = best_of(floors), SpeedFigure(median([f.median_ms for f in floors]), "ms", "engine alone")
    return [*rate_rows(rounds, best), *overhead_rows(rounds, alone)]


def rate_rows(rounds: Mapping[str, Sequence[Round]], best: SpeedFigure, where: str = "") -> list[SpeedRow]:
    """Radiographs a second at eight clients, beside the engine's."""
    return [
        ratio(
            f"whole way, {name}, {CLIENTS} clients{where}",
            SpeedFigure(median([each.per_s for each in of_way]), "/s"),
            best,
            _SHARE,
            "%",
        )
        for name, of_way in rounds.items()
    ]


def overhead_rows(
    rounds: Mapping[str, Sequence[Round]], alone: SpeedFigure, where: str = ""
) -> list[SpeedRow]:
    """What one client waits beyond the engine."""
    return [
        overhead(
            f"whole way, {name}, 1 client{where}, p50",
            SpeedFigure(median([each.median_ms for each in of_way]), "ms"),
            alone,
            _OVERHEAD_MS,
        )
        for name, of_way in rounds.items()
    ]


def crowd_rows(lab: SpeedLab, stack: RunningStack, asked: PreparedRequests) -> list[SpeedRow]:
    """More clients than the engine can serve: what they get, and how fast the rest is turned away."""
    loads: dict[int, list[LoadResult]] = {CLIENTS: [], _MANY: [], _TOO_MANY: []}
    for number in range(lab.effort.rounds):
        for clients, of_clients in loads.items():
            print_progress(f"crowd: round {number + 1}, {clients} clients")
            of_clients.append(lab.load(stack.record.address, asked.by_id, clients, may_refuse=True))
    few = SpeedFigure(median([load.per_s for load in loads[CLIENTS]]), "/s", f"{CLIENTS} clients")
    found = []
    for clients in (_MANY, _TOO_MANY):
        figure = SpeedFigure(median([load.per_s for load in loads[clients]]), "/s")
        found.append(ratio(f"whole way, {clients} clients", figure, few, _SHARE_OF_MANY, "%"))
        refused = [reply for load in loads[clients] for reply in load.refused]
        number = sum(len(load.replies) for load in loads[clients])
        if refused:
            slowest = SpeedFigure(compute_quantile_ms(refused, 0.99), "ms")
            told = f"{len(refused)} of {number}"
            found.append(at_most(f"refusals at {clients} clients, p99", slowest, _REFUSED_WITHIN_MS, told))
        else:
            found.append(SpeedRow(f"refusals at {clients} clients", f"0 of {number}", "", ""))
    return found


def spending(lab: SpeedLab, stack: RunningStack, requests: Sequence[bytes]) -> Spending:
    """Where the processor time of a request goes, at eight clients."""
    before = spent(stack)
    load = lab.load(stack.record.address, requests)
    return Spending.between(before, spent(stack), len(load.replies))
