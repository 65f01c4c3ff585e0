"""The table that ``make bench`` prints: each figure with its peer, their ratio and its bound."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["x", "%"]


@dataclass(frozen=True)
class SpeedFigure:
    """A measured value with its unit. ``of`` names the thing that was measured."""

    value: float
    unit: str
    of: str = ""

    def __str__(self) -> str:
        """Format the value with three significant digits, or all digits before the point."""
        # More digits would be noise: two runs differ by some percent.
        digits = 0 if abs(self.value) >= 100 else 1 if abs(self.value) >= 10 else 2
        return f"{self.value:,.{digits}f} {self.unit}" + (f" ({self.of})" if self.of else "")


@dataclass(frozen=True)
class SpeedRow:
    """One line of the table. ``holds`` is None if the line has no bound."""

    name: str
    figure: str
    peer: str
    ratio: str
    bound: str = ""
    holds: bool | None = None


def compare_ratio(
    name: str, figure: SpeedFigure, peer: SpeedFigure, at_least: float | None = None, kind: Kind = "x"
) -> SpeedRow:
    """Divide a figure by its peer's, where more is better. ``at_least`` bounds the ratio."""
    # NaN satisfies no bound, so a peer that was not measured cannot pass.
    share = figure.value / peer.value if peer.value else math.nan

    def format_share(number: float) -> str:
        return f"{number:.0%}" if kind == "%" else f"{number:.2f}x"

    if at_least is None:
        return SpeedRow(name, str(figure), str(peer), format_share(share))
    return SpeedRow(
        name, str(figure), str(peer), format_share(share), f">= {format_share(at_least)}", share >= at_least
    )


def compare_overhead(name: str, figure: SpeedFigure, floor: SpeedFigure, at_most: float) -> SpeedRow:
    """Subtract the floor from a figure, where less is better. ``at_most`` bounds the difference."""
    extra = figure.value - floor.value
    bound = f"<= {at_most:g} {figure.unit} more"
    return SpeedRow(name, str(figure), str(floor), f"{extra:+.1f} {figure.unit}", bound, extra <= at_most)


def require_at_most(name: str, figure: SpeedFigure, bound: float | None, peer: str = "") -> SpeedRow:
    """Require that a figure is at most ``bound``."""
    if bound is None:
        return SpeedRow(name, str(figure), peer, "")
    return SpeedRow(name, str(figure), peer, "", f"<= {bound:g} {figure.unit}", figure.value <= bound)


def require_at_least(name: str, figure: SpeedFigure, bound: float, peer: str = "") -> SpeedRow:
    """Require that a figure is at least ``bound``."""
    return SpeedRow(name, str(figure), peer, "", f">= {bound:,g} {figure.unit}", figure.value >= bound)


def print_table(title: str, rows: Sequence[SpeedRow]) -> int:
    """Print the rows as a Markdown table.

    Returns:
        The exit status, 0 if every bound holds.
    """
    lines = [f"## {title}", "", "| what | figure | peer or floor | ratio | bound | holds |"]
    lines.append("|---|---:|---:|---:|---:|---|")
    words = {True: "yes", False: "NO", None: ""}
    lines += [
        f"| {r.name} | {r.figure} | {r.peer} | {r.ratio} | {r.bound} | {words[r.holds]} |" for r in rows
    ]
    sys.stdout.write("\n".join([*lines, "", ""]))
    sys.stdout.flush()
    return 1 if any(row.holds is False for row in rows) else 0
