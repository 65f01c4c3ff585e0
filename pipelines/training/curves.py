"""Draw the progress of a training."""

import csv
import io
from pathlib import Path

from matplotlib.figure import Figure


def draw_curves(history: Path) -> str:
    """Draw the loss and the mean AUROC over the epochs of all stages.

    Args:
        history: ``history.csv`` of a training run.

    Returns:
        An SVG document.
    """
    with history.open(newline="") as file:
        rows = list(csv.DictReader(file))
    epochs = range(1, len(rows) + 1)
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(epochs, [float(row["loss"]) for row in rows], marker=".")
    left.set(xlabel="epoch", ylabel="loss, training split")
    right.plot(epochs, [float(row["auroc"]) for row in rows], marker=".", color="tab:orange")
    right.set(xlabel="epoch", ylabel="mean AUROC, validation split")
    starts = [i for i, row in enumerate(rows, 1) if i > 1 and row["stage"] != rows[i - 2]["stage"]]
    for axes in (left, right):
        axes.grid(alpha=0.3)
        for start in starts:
            axes.axvline(start - 0.5, color="grey", linewidth=0.8, linestyle=":")
    document = io.StringIO()
    figure.savefig(document, format="svg", metadata={"Date": None})
    return document.getvalue()
