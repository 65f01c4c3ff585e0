"""One table of what is fast, against what: ``python -m proof.speed BUNDLE``, or ``make bench``.

Whatever is compared is measured in turn, round after round, in one run; a figure is the median of its rounds.
The services run with their settings as they are, twice: once without a cache, once with it. The predictor's
engine is that of ``PLEURA_ENGINE``, as everywhere.
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
from proof.speed.costs import Spending
from proof.speed.lab import (
    Effort,
    PreparedRequests,
    SpeedLab,
    prepare,
    prepare_all,
    print_progress,
    speed_lab,
)
from proof.speed.table import SpeedRow, print_table

SECTIONS: Final = ("engine", "proxy", "apart", "whole", "crowd", "tutorial", "cached", "spending", "memory")
_OF_SERVICE: Final = frozenset(SECTIONS[3:])
_CROWD: Final = 160
"""Radiographs that a crowd asks about: more than there are clients, so that no two ask the same."""
_CROWD_CLIENTS: Final = 128


@dataclass(frozen=True)
class _Stage:
    """The two stacks, and the radiographs that they are asked about."""

    uncached: RunningStack
    cached: RunningStack
    misses: Mapping[str, PreparedRequests]
    hits: PreparedRequests


def _memory_rows(speed_lab: SpeedLab, stage: _Stage, before: costs.Footprint) -> list[SpeedRow]:
    """Sizes and growth: of the stack that has read anew in this run, and over many hits of the other."""
    after, of_hits = costs.footprint_of(stage.uncached), costs.footprint_of(stage.cached)
    address, replies = stage.cached.record.address, 0
    while replies < speed_lab.effort.hits:
        print_progress(f"memory: {replies:,} of {speed_lab.effort.hits:,} hits")
        replies += len(speed_lab.load(address, stage.hits.by_id).replies)
    return [
        *costs.size_rows(after, speed_lab.kind),
        *costs.growth_rows(before, after, "the uncached run"),
        *costs.growth_rows(of_hits, costs.footprint_of(stage.cached), f"{replies:,} hits"),
    ]


def _warm(speed_lab: SpeedLab, stage: _Stage) -> None:
    """Ask in every form, and as a crowd: what a service needs for that it keeps, and does not grow beyond."""
    address = stage.uncached.record.address
    for asked in stage.misses.values():
        speed_lab.load(address, asked.with_file)
    speed_lab.load(address, stage.misses["DICOM 16 bit"].by_id, _CROWD_CLIENTS, may_refuse=True)


def _service_rows(speed_lab: SpeedLab, stage: _Stage, sections: Sequence[str]) -> list[SpeedRow]:
    png, rows = stage.misses["PNG"], list[SpeedRow]()
    _warm(speed_lab, stage)
    before = costs.footprint_of(stage.uncached)
    if "whole" in sections:
        rows += whole_way.rows(speed_lab, stage.uncached, stage.misses)
    if "crowd" in sections:
        rows += whole_way.crowd_rows(speed_lab, stage.uncached, prepare(stage.uncached, _CROWD))
    if "tutorial" in sections:
        rows += tutorial.rows(speed_lab, stage.uncached, png)
    if "cached" in sections:
        rows += cached.rows(speed_lab, stage.cached, stage.hits, stage.uncached, png)
    if "memory" in sections:
        rows += _memory_rows(speed_lab, stage, before)
    return rows


def _spendings(speed_lab: SpeedLab, stage: _Stage) -> dict[str, Spending]:
    print_progress("spending")
    columns = {}
    for form, asked in stage.misses.items():
        columns[f"{form} by id"] = whole_way.spending(speed_lab, stage.uncached, asked.by_id)
        columns[f"{form} as file"] = whole_way.spending(speed_lab, stage.uncached, asked.with_file)
    columns["cache hit"] = whole_way.spending(speed_lab, stage.cached, stage.hits.by_id)
    return columns


def measure(bundle: Path, effort: Effort, sections: Sequence[str]) -> tuple[list[SpeedRow], str]:
    """Run the sections that were asked for.

    Returns:
        The rows of the table, and a second table: where the processor time goes.
    """
    rows = engine_process.rows(bundle, 5 * effort.rounds) if "engine" in sections else []
    with speed_lab(bundle, effort) as here:
        if "proxy" in sections:
            rows += proxy_alone.rows(here)
        if "apart" in sections:
            rows += separate_cores.rows(here)
        if _OF_SERVICE.isdisjoint(sections):
            return [*rows, here.failures()], ""
        print_progress("starting two stacks")
        with (
            running_stack(bundle, "--no-cache", environment=here.settings) as uncached,
            running_stack(bundle, environment=here.settings) as hitting,
        ):
            misses, hits = prepare_all(uncached, effort.radiographs), prepare(hitting, effort.radiographs)
            stage = _Stage(uncached, hitting, misses, hits)
            cached.fill_cache(here, hitting, hits)
            rows += _service_rows(here, stage, sections)
            goes = costs.spending_table(_spendings(here, stage)) if "spending" in sections else ""
        return [*rows, here.failures()], goes


def main() -> int:
    """Measure, and print the table.

    Returns:
        The exit status: 0 where every bound is kept.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0, help="of one load in one round")
    parser.add_argument("--radiographs", type=int, default=48, help="of each form")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS, metavar="SECTION")
    parser.add_argument("--hits", type=int, default=20_000, help="over which memory must be flat")
    arguments = parser.parse_args()
    effort = Effort(arguments.rounds, arguments.seconds, arguments.radiographs, arguments.hits)
    rows, goes = measure(arguments.bundle.resolve(), effort, arguments.only)
    status = print_table("Speed", rows)
    sys.stdout.write(goes)
    return status


if __name__ == "__main__":
    sys.exit(main())
