"""What ``make bench`` says at its end: each figure beside its peer, their ratio, the bound it must keep."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["x", "%"]


@dataclass(frozen=True)
class SpeedFigure:
    """A measured value as it is told: ``of`` says whose it is."""

    value: float
    unit: str
    of: str = ""

    def __str__(self) -> str:
        """Three digits, and as many more as stand before the point."""
        digits = 0 if abs(self.value) >= 100 else 1 if abs(self.value) >= 10 else 2
        return f"{self.value:,.{digits}f} {self.unit}" + (f" ({self.of})" if self.of else "")


@dataclass(frozen=True)
class SpeedRow:
    """One line of the table; ``holds`` is None where nothing is claimed."""

    what: str
    figure: str
    peer: str
    ratio: str
    bound: str = ""
    holds: bool | None = None


def ratio(
    what: str, figure: SpeedFigure, peer: SpeedFigure, at_least: float | None = None, kind: Kind = "x"
) -> SpeedRow:
    """A figure over its peer's, where more is better; ``at_least`` is the bound of the ratio."""
    share = figure.value / peer.value if peer.value else math.nan

    def told(number: float) -> str:
        return f"{number:.0%}" if kind == "%" else f"{number:.2f}x"

    if at_least is None:
        return SpeedRow(what, str(figure), str(peer), told(share))
    return SpeedRow(what, str(figure), str(peer), told(share), f">= {told(at_least)}", share >= at_least)


def overhead(what: str, figure: SpeedFigure, floor: SpeedFigure, at_most: float) -> SpeedRow:
    """A figure less its floor, where less is better."""
    extra = figure.value - floor.value
    bound = f"<= {at_most:g} {figure.unit} more"
    return SpeedRow(what, str(figure), str(floor), f"{extra:+.1f} {figure.unit}", bound, extra <= at_most)


def at_most(what: str, figure: SpeedFigure, bound: float | None, peer: str = "") -> SpeedRow:
    """A figure that has a bound of its own, from above."""
    if bound is None:
        return SpeedRow(what, str(figure), peer, "")
    return SpeedRow(what, str(figure), peer, "", f"<= {bound:g} {figure.unit}", figure.value <= bound)


def at_least(what: str, figure: SpeedFigure, bound: float, peer: str = "") -> SpeedRow:
    """A figure that has a bound of its own, from below."""
    return SpeedRow(what, str(figure), peer, "", f">= {bound:,g} {figure.unit}", figure.value >= bound)


def print_table(title: str, rows: Sequence[SpeedRow]) -> int:
    """Print the rows.

    Returns:
        The exit status: 0 where every bound is kept.
    """
    lines = [f"## {title}", "", "| what | figure | peer or floor | ratio | bound | holds |"]
    lines.append("|---|---:|---:|---:|---:|---|")
    said = {True: "yes", False: "NO", None: ""}
    lines += [f"| {r.what} | {r.figure} | {r.peer} | {r.ratio} | {r.bound} | {said[r.holds]} |" for r in rows]
    sys.stdout.write("\n".join([*lines, "", ""]))
    sys.stdout.flush()
    return 1 if any(row.holds is False for row in rows) else 0
