"""The plots of an evaluation report as PNG, drawn from the stored figures alone."""

import io
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture

from pipelines.evaluation.evaluation import Curves, Evaluation, Figures, FindingEvaluation
from pipelines.statistics.bootstrap import IntervalEstimate

_DPI: Final = 120
_LINE: Final = "#1f4e79"
_POINT: Final = "#c0392b"
_GREY: Final = "#8a8f98"
_BAND: Final = "#d9dee5"
_TICKS: Final = (0, 0.25, 0.5, 0.75, 1)


def encode_png(picture: Picture) -> bytes:
    """Encode a picture as PNG; the same picture gives the same bytes."""
    buffer = io.BytesIO()
    # Without matplotlib's version, which would change the bytes with each upgrade.
    picture.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()


def _square(axes: Axes, title: str, across: str, up: str) -> None:
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=across, ylabel=up, xticks=_TICKS, yticks=_TICKS)
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_aspect("equal")
    axes.grid(color="#eceff3")
    axes.set_axisbelow(True)


def _draw_roc(axes: Axes, curves: Curves, figures: Figures) -> None:
    across, up = np.array(curves.roc).T
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle=":", label="guessing")
    axes.plot(across, up, color=_LINE, drawstyle="default", label=f"AUROC {figures.auroc.value:.2f}")
    x, y = 1 - figures.specificity.value, figures.sensitivity.value
    sideways = [[figures.specificity.high - (1 - x)], [(1 - x) - figures.specificity.low]]
    upwards = [[y - figures.sensitivity.low], [figures.sensitivity.high - y]]
    axes.errorbar(
        x, y, xerr=_lengths(sideways), yerr=_lengths(upwards), fmt="o", color=_POINT, label="operating point"
    )
    _square(axes, "ROC", "1 - specificity", "sensitivity")
    axes.legend(fontsize=8, loc="lower right")


def _lengths(sides: list[list[float]]) -> list[list[float]]:
    """Make error bars that rounding has not made negative; matplotlib refuses negative ones."""
    return [[max(0.0, length) for length in side] for side in sides]


def _draw_precision(axes: Axes, curves: Curves, finding: FindingEvaluation, figures: Figures) -> None:
    across, up = np.array(curves.precision_recall).T
    axes.axhline(finding.prevalence, color=_GREY, linestyle=":", label=f"guessing {finding.prevalence:.2f}")
    axes.step(across, up, where="pre", color=_LINE, label=f"AUPRC {figures.auprc.value:.2f}")
    if figures.ppv is not None:
        axes.plot(figures.sensitivity.value, figures.ppv.value, "o", color=_POINT, label="operating point")
    _square(axes, "Precision and recall", "recall (sensitivity)", "precision (PPV)")
    axes.legend(fontsize=8, loc="lower left")


def _draw_reliability(axes: Axes, curves: Curves) -> None:
    bins = curves.reliability
    predicted = [each.predicted for each in bins]
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle=":")
    axes.fill_between(
        predicted,
        [each.noise_low for each in bins],
        [each.noise_high for each in bins],
        color=_BAND,
        label="noise under perfect calibration",
    )
    seen = np.array([each.seen for each in bins])
    below = seen - np.array([each.seen_low for each in bins])
    above = np.array([each.seen_high for each in bins]) - seen
    sides = _lengths([below.tolist(), above.tolist()])
    axes.errorbar(predicted, seen, yerr=sides, fmt="o-", color=_LINE, markersize=4, label="observed")
    highest = max(max(each.predicted, each.seen_high, each.noise_high) for each in bins)
    end = min(1.0, float(np.ceil(highest * 10)) / 10)
    ticks = np.linspace(0, end, 6)
    _square(axes, "Reliability", "predicted probability", "share of positives")
    axes.set(xlim=(-0.02 * end, 1.02 * end), ylim=(-0.02 * end, 1.02 * end), xticks=ticks, yticks=ticks)
    axes.legend(fontsize=8, loc="upper left")


def plot_finding(finding: FindingEvaluation) -> bytes | None:
    """Plot ROC, precision and recall, and reliability of a finding; None if it is unmeasured."""
    if finding.figures is None or finding.curves is None:
        return None
    picture = Picture(figsize=(11, 3.9))
    picture.subplots_adjust(left=0.06, right=0.985, bottom=0.13, top=0.93, wspace=0.24)
    roc, precision, trusted = picture.subplots(1, 3)
    _draw_roc(roc, finding.curves, finding.figures)
    _draw_precision(precision, finding.curves, finding, finding.figures)
    _draw_reliability(trusted, finding.curves)
    return encode_png(picture)


def _draw_forest(axes: Axes, rows: list[tuple[str, IntervalEstimate]], title: str, right: float) -> None:
    places = np.arange(len(rows))[::-1]
    values = np.array([each.value for _, each in rows])
    sides = [values - [each.low for _, each in rows], [each.high for _, each in rows] - values]
    lengths = _lengths([list(side) for side in sides])
    axes.axvline(right, color=_GREY, linestyle=":")
    axes.errorbar(values, places, xerr=lengths, fmt="o", color=_LINE, capsize=3, markersize=5)
    axes.set_yticks(places, [name for name, _ in rows])
    axes.set_title(title, fontsize=10, loc="left")
    axes.grid(axis="x", color="#eceff3")


def plot_overview(evaluation: Evaluation) -> bytes | None:
    """Plot AUROC and calibration slope of every measured finding with intervals; None if none is measured."""
    measured = [
        (each.finding.replace("_", " "), each.figures) for each in evaluation.measured if each.figures
    ]
    if not measured:
        return None
    picture = Picture(figsize=(11, 1.4 + 0.32 * len(measured)), layout="constrained")
    area, slope = picture.subplots(1, 2)
    _draw_forest(area, [(name, each.auroc) for name, each in measured], "AUROC (0.5: guessing)", 0.5)
    slopes = [(name, each.calibration_slope) for name, each in measured if each.calibration_slope]
    _draw_forest(slope, slopes, "Calibration slope (1: right; below: too extreme)", 1.0)
    return encode_png(picture)
