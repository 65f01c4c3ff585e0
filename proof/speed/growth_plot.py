"""Draw latency against size, with one panel per kind of size, a line at p50 and a band up to p99."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure


@dataclass(frozen=True)
class Point:
    """Latency in milliseconds at one size."""

    size: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Line:
    """The latencies of one operation at several sizes."""

    name: str
    points: Sequence[Point]


def draw_growth(panels: Mapping[str, Sequence[Line]], path: Path) -> None:
    """Write the plot. The same figures give the same file."""
    # matplotlib writes random ids into an SVG otherwise.
    mpl.rcParams["svg.hashsalt"] = "pleura"
    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True)
    colours = count()
    for axis, (title, lines) in zip(axes, panels.items(), strict=True):
        for line in lines:
            sizes = [point.size for point in line.points]
            middle = [point.p50_ms for point in line.points]
            slowest = [point.p99_ms for point in line.points]
            colour = f"C{next(colours)}"
            axis.plot(sizes, middle, marker="o", color=colour, label=f"{line.name}, p50 (band to p99)")
            axis.fill_between(sizes, middle, slowest, color=colour, alpha=0.15, linewidth=0)
        # A cost that grows with the size is a slope here, whatever its unit.
        axis.set(xscale="log", yscale="log", xlabel=title)
        axis.grid(visible=True, which="major", alpha=0.3)
        axis.legend(loc="upper left", fontsize="small")
    low, high = axes[0].get_ylim()
    # Room for the legend above the lines.
    axes[0].set(ylabel="milliseconds a request", ylim=(low, 4 * high))
    is_svg = path.suffix == ".svg"
    figure.savefig(path, metadata={"Date": None} if is_svg else {})
