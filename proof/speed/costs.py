"""Read the processor time and memory of each process of a running stack from the kernel."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from predictor.engines.engine import EngineKind
from proof.lab.running_stack import RunningStack, find_descendants
from proof.speed.table import SpeedFigure, SpeedRow, require_at_most

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_CLIENT: Final = "client"
_DECODERS: Final = "decoders"
_FLAT: Final = 0.05
"""The largest growth of memory that still counts as flat, as a share."""


def find_pids(stack: RunningStack) -> dict[str, list[int]]:
    """Find the process ids of each part. The decoder processes of the transformer are a part of their own."""
    pids = {
        name: [each.pid for each in find_descendants(part.process.pid)]
        for name, part in stack.record.parts.items()
    }
    first, *decoders = pids["transformer"]
    return pids | {"transformer": [first], _DECODERS: decoders}


def _read_processor_s(pid: int) -> float:
    try:
        # The name of a process, in brackets, may itself hold spaces and brackets.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # the process has just ended
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def read_processor_s(pids: Sequence[int]) -> float:
    """Read the seconds of processor time that the processes have used so far."""
    return sum(_read_processor_s(pid) for pid in pids)


def read_part_processor_s(stack: RunningStack) -> dict[str, float]:
    """Read the seconds of processor time that each part has used so far. This process is the client."""
    by_part = {name: read_processor_s(pids) for name, pids in find_pids(stack).items()}
    return by_part | {_CLIENT: time.process_time()}


@dataclass(frozen=True)
class ProcessorCost:
    """Milliseconds of processor time a request, by part."""

    ms: Mapping[str, float]

    @classmethod
    def from_readings(
        cls, before: Mapping[str, float], after: Mapping[str, float], requests: int
    ) -> "ProcessorCost":
        """Divide the difference of two readings by the number of requests between them."""
        # A part may have been started between the two readings.
        return cls({name: 1000 * (after[name] - before.get(name, 0.0)) / requests for name in after})


def format_processor_costs(columns: Mapping[str, ProcessorCost]) -> str:
    """Format a table of the milliseconds that each part spends on one request, the largest first."""
    first = next(iter(columns.values()))
    names = sorted({name for each in columns.values() for name in each.ms}, key=lambda n: -first.ms.get(n, 0))
    lines = [f"| ms of processor time a request | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
    for name in names:
        lines.append(f"| {name} | {' | '.join(f'{c.ms.get(name, 0.0):.2f}' for c in columns.values())} |")
    totals = [sum(column.ms.values()) for column in columns.values()]
    return "\n".join([*lines, f"| **all** | {' | '.join(f'{total:.2f}' for total in totals)} |", ""])


@dataclass(frozen=True)
class Memory:
    """Resident and proportional set size in megabytes."""

    rss_mb: float
    pss_mb: float

    def __add__(self, other: "Memory") -> "Memory":
        return Memory(self.rss_mb + other.rss_mb, self.pss_mb + other.pss_mb)


def read_memory(pid: int) -> Memory:
    """Read the memory of one process."""
    sizes = {
        line.split()[0]: int(line.split()[1]) / 1024
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    }
    return Memory(sizes["Rss:"], sizes["Pss:"])


@dataclass(frozen=True)
class Footprint:
    """The memory of our three services."""

    predictor: Memory
    transformer: Memory
    decoders: Memory
    proxy: Memory


def read_footprint(stack: RunningStack) -> Footprint:
    """Read the memory of the services."""

    def sum_memory(name: str) -> Memory:
        return sum((read_memory(pid) for pid in pids[name]), Memory(0, 0))

    pids = find_pids(stack)
    return Footprint(
        sum_memory("predictor"), sum_memory("transformer"), sum_memory(_DECODERS), sum_memory("auth_proxy")
    )


def _list_parts(footprint: Footprint, kind: EngineKind = "litert") -> list[tuple[str, Memory, float | None]]:
    """List the name of each part in the table, its memory, and its bound in megabytes."""
    return [
        # docs/decisions/0002: OpenVINO needs more than the bound.
        ("predictor", footprint.predictor, 400.0 if kind == "litert" else None),
        ("transformer, decoders apart", footprint.transformer, 350.0),
        ("transformer and its decoders", footprint.transformer + footprint.decoders, None),
        ("proxy", footprint.proxy, 120.0),
    ]


def list_size_rows(footprint: Footprint, kind: EngineKind) -> list[SpeedRow]:
    """List the memory of each part against its bound."""
    return [
        require_at_most(
            f"memory: {name}, RSS", SpeedFigure(memory.rss_mb, "MB"), bound, f"PSS {memory.pss_mb:.0f} MB"
        )
        for name, memory, bound in _list_parts(footprint, kind)
    ]


def list_growth_rows(before: Footprint, after: Footprint, over: str) -> list[SpeedRow]:
    """List the growth of each part between two readings. ``over`` names what happened between them."""
    return [
        require_at_most(
            f"memory: {name}, growth over {over}",
            SpeedFigure(later.rss_mb - earlier.rss_mb, "MB"),
            round(_FLAT * earlier.rss_mb),
            f"{earlier.rss_mb:.0f} MB before",
        )
        for (name, earlier, _), (_, later, _) in zip(_list_parts(before), _list_parts(after), strict=True)
    ]
