"""What a running stack costs, process by process: processor time and memory, as the kernel counts them."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from predictor.engines.engine import EngineKind
from proof.lab.running_stack import RunningStack, find_descendants
from proof.speed.table import SpeedFigure, SpeedRow, at_most

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_CLIENT: Final = "client"
_DECODERS: Final = "decoders"
_FLAT: Final = 0.05
"""What memory may grow by and still count as flat."""


def pids_of(stack: RunningStack) -> dict[str, list[int]]:
    """The processes of each part; the decoders, which the transformer starts, are a part of their own."""
    pids = {
        name: [each.pid for each in find_descendants(part.process.pid)]
        for name, part in stack.record.parts.items()
    }
    first, *decoders = pids["transformer"]
    return pids | {"transformer": [first], _DECODERS: decoders}


def _processor_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has just ended
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def processor_s(pids: Sequence[int]) -> float:
    """Seconds of processor time that processes have had so far."""
    return sum(_processor_s(pid) for pid in pids)


def spent(stack: RunningStack) -> dict[str, float]:
    """Seconds of processor time that each part has had so far; this process is the client."""
    of_parts = {name: processor_s(pids) for name, pids in pids_of(stack).items()}
    return of_parts | {_CLIENT: time.process_time()}


@dataclass(frozen=True)
class Spending:
    """Milliseconds of processor time a request, by part."""

    ms: Mapping[str, float]

    @classmethod
    def between(cls, before: Mapping[str, float], after: Mapping[str, float], requests: int) -> "Spending":
        """What so many requests have cost."""
        return cls({name: 1000 * (after[name] - before.get(name, 0.0)) / requests for name in after})


def spending_table(columns: Mapping[str, Spending]) -> str:
    """Where the processor time of one request goes, in milliseconds; the dearest part comes first."""
    first = next(iter(columns.values()))
    names = sorted({name for each in columns.values() for name in each.ms}, key=lambda n: -first.ms.get(n, 0))
    lines = [f"| ms of processor time a request | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
    for name in names:
        lines.append(f"| {name} | {' | '.join(f'{c.ms.get(name, 0.0):.2f}' for c in columns.values())} |")
    totals = [sum(column.ms.values()) for column in columns.values()]
    return "\n".join([*lines, f"| **all** | {' | '.join(f'{total:.2f}' for total in totals)} |", ""])


@dataclass(frozen=True)
class Memory:
    """Megabytes resident, and the share of them where pages are shared."""

    rss_mb: float
    pss_mb: float

    def __add__(self, other: "Memory") -> "Memory":
        return Memory(self.rss_mb + other.rss_mb, self.pss_mb + other.pss_mb)


def memory_of(pid: int) -> Memory:
    """The memory of one process."""
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


def footprint_of(stack: RunningStack) -> Footprint:
    """What the services have in memory now."""

    def all_of(name: str) -> Memory:
        return sum((memory_of(pid) for pid in pids[name]), Memory(0, 0))

    pids = pids_of(stack)
    return Footprint(all_of("predictor"), all_of("transformer"), all_of(_DECODERS), all_of("auth_proxy"))


def _named(footprint: Footprint, kind: EngineKind = "litert") -> list[tuple[str, Memory, float | None]]:
    """Each part as the table calls it, its memory, and the bound of it in megabytes."""
    return [
        ("predictor", footprint.predictor, 400.0 if kind == "litert" else None),
        ("transformer, decoders apart", footprint.transformer, 350.0),
        ("transformer and its decoders", footprint.transformer + footprint.decoders, None),
        ("proxy", footprint.proxy, 120.0),
    ]


def size_rows(footprint: Footprint, kind: EngineKind) -> list[SpeedRow]:
    """Memory against its bounds."""
    return [
        at_most(
            f"memory: {name}, RSS", SpeedFigure(memory.rss_mb, "MB"), bound, f"PSS {memory.pss_mb:.0f} MB"
        )
        for name, memory, bound in _named(footprint, kind)
    ]


def growth_rows(before: Footprint, after: Footprint, over: str) -> list[SpeedRow]:
    """Whether memory is flat over something."""
    return [
        at_most(
            f"memory: {name}, growth over {over}",
            SpeedFigure(now.rss_mb - was.rss_mb, "MB"),
            round(_FLAT * was.rss_mb),
            f"{was.rss_mb:.0f} MB before",
        )
        for (name, was, _), (_, now, _) in zip(_named(before), _named(after), strict=True)
    ]
