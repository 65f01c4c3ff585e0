"""The plots of a drift report, as SVG inside the page."""

import io
from collections.abc import Sequence
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from pipelines.drift.distance import share_interval, tenths
from pipelines.drift.reference import Histogram, Share
from pipelines.drift.report import ModelDrift, QuantityComparison
from pipelines.statistics.shift import NOTABLE_PSI, SERIOUS_PSI

_COLOURS: Final = {"drift": "#b3261e", "no drift seen": "#33691e", "cannot be shown": "#8a8a8a"}
_REFERENCE, _WINDOW = "#6b7f99", "#d17a00"
_MOST_SHAPES: Final = 12
_ACROSS: Final = 4
_LEAST_PSI: Final = 0.01


def encode_svg(figure: Figure) -> str:
    """Write a figure as an SVG element; the same figure gives the same bytes."""
    file = io.StringIO()
    # matplotlib writes random ids and the date into an SVG, unless it is told not to.
    with mpl.rc_context({"svg.hashsalt": "pleura", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(file, format="svg", metadata={"Date": None}, bbox_inches="tight")
    text = file.getvalue()
    return text[text.index("<svg") :]


def plot_stability(model: ModelDrift) -> Figure | None:
    """Plot the population stability index of each distribution, with the notable and the serious limit."""
    shown = [each for each in model.compared if isinstance(each.actual, Histogram) and each.psi is not None]
    if not shown:
        return None
    figure = Figure(figsize=(8, 0.6 + 0.26 * len(shown)))
    axes = figure.subplots()
    places = np.arange(len(shown))[::-1]
    # A logarithmic axis has no 0.
    indices = [max(each.psi or 0.0, _LEAST_PSI) for each in shown]
    axes.hlines(places, _LEAST_PSI, indices, color="#cccccc")
    axes.scatter(indices, places, color=[_COLOURS[each.word] for each in shown], zorder=3)
    for limit, word in ((NOTABLE_PSI, "notable"), (SERIOUS_PSI, "serious")):
        axes.axvline(limit, color="#555555", linestyle="--", linewidth=0.8)
        axes.annotate(word, (limit, len(shown) - 0.3), ha="center", fontsize=8, annotation_clip=False)
    axes.set_yticks(places, [_name(each) for each in shown], fontsize=8)
    axes.set_xscale("log")
    axes.set_xlim(_LEAST_PSI, max(1.0, *indices) * 1.1)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("population stability index (red: drift; green: no drift seen)")
    return _tidy(figure)


def plot_call_rates(model: ModelDrift) -> Figure | None:
    """Plot the call rate of each finding in the reference and in the window."""
    shown = [each for each in model.compared if each.measure.kind == "call rate"]
    if not shown:
        return None
    figure = Figure(figsize=(8, 0.6 + 0.34 * len(shown)))
    axes = figure.subplots()
    places = np.arange(len(shown))[::-1]
    _errors(axes, places + 0.15, [each.expected for each in shown], _REFERENCE, "reference")
    _errors(axes, places - 0.15, [each.actual for each in shown], _WINDOW, "this window")
    axes.set_yticks(places, [each.measure.finding.replace("_", " ") for each in shown], fontsize=8)
    for tick, each in zip(axes.get_yticklabels(), shown, strict=True):
        tick.set_color(_COLOURS["drift"] if each.word == "drift" else "black")
    axes.set_xlabel("share of radiographs called present, with 95 % interval (red name: drift)")
    axes.set_xlim(left=0)
    # Above the plot: inside, the legend covered call rates.
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, fontsize=8, frameon=False)
    return _tidy(figure)


def plot_shapes(model: ModelDrift) -> Figure | None:
    """Plot the distributions that drifted: the window's share in each tenth of the reference."""
    drifted = [each for each in model.of_word("drift") if isinstance(each.actual, Histogram)]
    shown = sorted(drifted, key=lambda each: -(each.psi or 0.0))[:_MOST_SHAPES]
    if not shown:
        return None
    down = -(-len(shown) // _ACROSS)
    figure = Figure(figsize=(11, 2.2 * down), layout="constrained")
    grid = figure.subplots(down, _ACROSS, squeeze=False).reshape(-1)
    for axes in grid[len(shown) :]:
        axes.set_axis_off()
    for axes, each in zip(grid, shown, strict=False):
        _bars(axes, each)
    figure.supxlabel("tenths of the reference, lowest values left", fontsize=9)
    figure.supylabel("share of radiographs", fontsize=9)
    return _tidy(figure)


def _bars(axes: Any, each: QuantityComparison) -> None:
    if isinstance(each.expected, Histogram) and isinstance(each.actual, Histogram):
        before, now = tenths(each.expected, each.actual)
        places = np.arange(1, len(now) + 1)
        axes.bar(places, now / now.sum(), color=_WINDOW, alpha=0.75)
        axes.stairs(
            before / before.sum(), np.arange(len(now) + 1) + 0.5, baseline=None, color=_REFERENCE, lw=1.5
        )
    axes.set_title(_name(each), fontsize=8)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.tick_params(labelsize=7)


def _errors(axes: Any, places: Any, shares: Sequence[object], colour: str, words: str) -> None:
    intervals = [share_interval(each) if isinstance(each, Share) else None for each in shares]
    known = [(place, each) for place, each in zip(places, intervals, strict=True) if each is not None]
    values = np.array([each.value for _, each in known])
    below = values - [each.low for _, each in known]
    above = np.array([each.high for _, each in known]) - values
    bars = np.clip([below, above], 0, None)
    axes.errorbar(
        values, [p for p, _ in known], xerr=bars, fmt="o", ms=4, color=colour, capsize=2, label=words
    )


def _name(each: QuantityComparison) -> str:
    return str(each.measure)


def _tidy(figure: Figure) -> Figure:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    return figure
