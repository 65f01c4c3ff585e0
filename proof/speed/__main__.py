"""Measure speed against peers and bounds: ``python -m proof.speed BUNDLE``, or ``make bench``.

Figures that are compared are measured in turn in each round of one run. A figure is the median of its rounds.
The services run with their default settings in two stacks, one without a cache and one with it.
``PLEURA_ENGINE`` selects the predictor's engine, as it does for a deployed predictor.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proof.lab.running_stack import RunningStack
from proof.lab.stack import running_stack
from proof.speed import cached, costs, engine_process, proxy_alone, separate_cores, tutorial, whole_way
from proof.speed.costs import ProcessorCost
from proof.speed.lab import (
    Effort,
    PreparedRequests,
    SpeedLab,
    prepare_all_forms,
    prepare_requests,
    print_progress,
    start_speed_lab,
)
from proof.speed.table import SpeedRow, print_table

SECTIONS: Final = ("engine", "proxy", "apart", "whole", "crowd", "tutorial", "cached", "spending", "memory")
_SERVICE_SECTIONS: Final = frozenset(SECTIONS[3:])
_CROWD: Final = 160
"""The number of radiographs exceeds the number of clients, so that no two clients ask for the same one."""
_CROWD_CLIENTS: Final = 128


@dataclass(frozen=True)
class _BenchmarkStacks:
    """The two stacks and the requests that the benchmark sends to them."""

    uncached: RunningStack
    cached: RunningStack
    misses: Mapping[str, PreparedRequests]
    hits: PreparedRequests


def _measure_memory(lab: SpeedLab, stacks: _BenchmarkStacks, before: costs.Footprint) -> list[SpeedRow]:
    """Measure memory of the uncached stack after this run, and of the cached stack over many hits."""
    after, before_hits = costs.read_footprint(stacks.uncached), costs.read_footprint(stacks.cached)
    address, replies = stacks.cached.record.address, 0
    while replies < lab.effort.hits:
        print_progress(f"memory: {replies:,} of {lab.effort.hits:,} hits")
        replies += len(lab.send_load(address, stacks.hits.by_id).replies)
    return [
        *costs.list_size_rows(after, lab.kind),
        *costs.list_growth_rows(before, after, "the uncached run"),
        *costs.list_growth_rows(before_hits, costs.read_footprint(stacks.cached), f"{replies:,} hits"),
    ]


def _warm_up(lab: SpeedLab, stacks: _BenchmarkStacks) -> None:
    """Send every form and a crowd of clients, so that memory reaches its plateau before it is measured."""
    address = stacks.uncached.record.address
    for prepared in stacks.misses.values():
        lab.send_load(address, prepared.with_file)
    lab.send_load(address, stacks.misses["DICOM 16 bit"].by_id, _CROWD_CLIENTS, may_refuse=True)


def _measure_service(lab: SpeedLab, stacks: _BenchmarkStacks, sections: Sequence[str]) -> list[SpeedRow]:
    png, rows = stacks.misses["PNG"], list[SpeedRow]()
    _warm_up(lab, stacks)
    # After the warm-up, because what the first files and a crowd take is size, and not growth.
    before = costs.read_footprint(stacks.uncached)
    if "whole" in sections:
        rows += whole_way.measure_whole_way(lab, stacks.uncached, stacks.misses)
    if "crowd" in sections:
        rows += whole_way.measure_crowd(lab, stacks.uncached, prepare_requests(stacks.uncached, _CROWD))
    if "tutorial" in sections:
        rows += tutorial.measure_tutorial(lab, stacks.uncached, png)
    if "cached" in sections:
        rows += cached.measure_cache_hits(lab, stacks.cached, stacks.hits, stacks.uncached, png)
    if "memory" in sections:
        rows += _measure_memory(lab, stacks, before)
    return rows


def _measure_processor_costs(lab: SpeedLab, stacks: _BenchmarkStacks) -> dict[str, ProcessorCost]:
    print_progress("spending")
    columns = {}
    for form, prepared in stacks.misses.items():
        columns[f"{form} by id"] = whole_way.measure_processor_cost(lab, stacks.uncached, prepared.by_id)
        columns[f"{form} as file"] = whole_way.measure_processor_cost(
            lab, stacks.uncached, prepared.with_file
        )
    columns["cache hit"] = whole_way.measure_processor_cost(lab, stacks.cached, stacks.hits.by_id)
    return columns


def measure_sections(bundle: Path, effort: Effort, sections: Sequence[str]) -> tuple[list[SpeedRow], str]:
    """Run the chosen sections.

    Returns:
        The rows of the table, and a second table of processor time by part.
    """
    rows = engine_process.measure_engines(bundle, 5 * effort.rounds) if "engine" in sections else []
    with start_speed_lab(bundle, effort) as lab:
        if "proxy" in sections:
            rows += proxy_alone.measure_proxy(lab)
        if "apart" in sections:
            rows += separate_cores.measure_separate_cores(lab)
        if _SERVICE_SECTIONS.isdisjoint(sections):
            return [*rows, lab.build_failure_row()], ""
        print_progress("starting two stacks")
        with (
            running_stack(bundle, "--no-cache", environment=lab.settings) as uncached,
            running_stack(bundle, environment=lab.settings) as cached_stack,
        ):
            misses, hits = (
                prepare_all_forms(uncached, effort.radiographs),
                prepare_requests(cached_stack, effort.radiographs),
            )
            stacks = _BenchmarkStacks(uncached, cached_stack, misses, hits)
            cached.fill_cache(lab, cached_stack, hits)
            rows += _measure_service(lab, stacks, sections)
            processor_costs = (
                costs.format_processor_costs(_measure_processor_costs(lab, stacks))
                if "spending" in sections
                else ""
            )
        return [*rows, lab.build_failure_row()], processor_costs


def main() -> int:
    """Run the benchmark and print its tables.

    Returns:
        The exit status, 0 if every bound holds.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0, help="duration of one load in one round")
    parser.add_argument("--radiographs", type=int, default=48, help="number of radiographs of each form")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS, metavar="SECTION")
    parser.add_argument(
        "--hits", type=int, default=20_000, help="number of cache hits over which memory must stay flat"
    )
    arguments = parser.parse_args()
    effort = Effort(arguments.rounds, arguments.seconds, arguments.radiographs, arguments.hits)
    rows, processor_costs = measure_sections(arguments.bundle.resolve(), effort, arguments.only)
    status = print_table("Speed", rows)
    sys.stdout.write(processor_costs)
    return status


if __name__ == "__main__":
    sys.exit(main())
