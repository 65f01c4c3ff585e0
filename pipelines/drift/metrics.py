"""Drift as Prometheus gauges. The job ends before Prometheus could scrape it.

The gauges are written to a file for the node exporter's textfile collector, or pushed to a Pushgateway. Both
keep their last values, so a job that fails leaves old figures behind. An alert must therefore check
``pleura_drift_last_success_timestamp_seconds``. No label holds patient data.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, push_to_gateway, write_to_textfile

from pipelines.drift.reference import Share
from pipelines.drift.report import DriftReport, ModelDrift, QuantityComparison

JOB: Final = "pleura-drift"
_WORDS: Final = ("drift", "no drift seen", "cannot be shown")
_TIMEOUT_S: Final = 10.0
_MEASURE: Final = ("model_version", "measure", "finding")
_COMPARED: Final[dict[str, tuple[str, Callable[[QuantityComparison], float | None]]]] = {
    "pleura_drift_psi": ("Population stability index against the reference.", lambda each: each.psi),
    "pleura_drift_distance": (
        "Kolmogorov-Smirnov distance of a distribution, Cohen's h of a share.",
        lambda each: each.distance,
    ),
    "pleura_drift_found": (
        "1 where a quantity drifted, 0 where no drift was seen; no series where it cannot be shown.",
        # No series instead of 0, because 0 would read as "no drift".
        lambda each: None if each.word == "cannot be shown" else float(each.word == "drift"),
    ),
    "pleura_drift_share_ratio": (
        "A share in the window: call rate, refusals.",
        lambda each: _of(each.actual),
    ),
    "pleura_drift_reference_share_ratio": ("The same in the reference.", lambda each: _of(each.expected)),
}


class DriftMetricsNotWritten(Exception):
    """The gauges could not be written to the textfile collector's folder or to the Pushgateway."""


def drift_registry(report: DriftReport, open_audits: int) -> CollectorRegistry:
    """Make the gauges of a report, in a registry of their own."""
    registry = CollectorRegistry()
    for name, (words, figure_of) in _COMPARED.items():
        gauge = Gauge(name, words, _MEASURE, registry=registry)
        for model in report.models:
            _set_compared(gauge, model, figure_of)
    _set_models(registry, report.models)
    for name, words, value in (
        (
            "pleura_drift_open_audits",
            "Audit requests of the last 90 days that are not yet wholly read.",
            float(open_audits),
        ),
        (
            "pleura_drift_last_success_timestamp_seconds",
            "When drift was last looked for.",
            report.made_at.timestamp(),
        ),
        (
            "pleura_drift_window_end_timestamp_seconds",
            "When the window ended.",
            report.until.timestamp(),
        ),
    ):
        Gauge(name, words, registry=registry).set(value)
    return registry


def _set_compared(
    gauge: Gauge, model: ModelDrift, figure_of: Callable[[QuantityComparison], float | None]
) -> None:
    for each in model.compared:
        if (figure := figure_of(each)) is not None:
            measure = each.measure.name.replace(" ", "_")
            gauge.labels(model.model_version, measure, each.measure.finding).set(figure)


def _set_models(registry: CollectorRegistry, models: tuple[ModelDrift, ...]) -> None:
    radiographs = Gauge(
        "pleura_drift_radiographs",
        "Distinct radiographs of the window.",
        ["model_version"],
        registry=registry,
    )
    comparisons = Gauge(
        "pleura_drift_comparisons", "Comparisons by result.", ["model_version", "result"], registry=registry
    )
    for model in models:
        radiographs.labels(model.model_version).set(model.radiographs)
        for word in _WORDS:
            result = word.replace(" ", "_")
            comparisons.labels(model.model_version, result).set(sum(c.word == word for c in model.compared))


def _of(figure: object) -> float | None:
    return figure.hits / figure.n if isinstance(figure, Share) and figure.n else None


def write_textfile(registry: CollectorRegistry, path: Path) -> None:
    """Write the gauges to a file of the textfile collector, whole or not at all.

    Args:
        registry: The gauges.
        path: A file whose name ends in ``.prom``; the collector ignores other names.

    Raises:
        DriftMetricsNotWritten: The file cannot be written.
    """
    try:
        write_to_textfile(str(path), registry)
        path.chmod(0o644)  # the collector runs as another user
    except OSError as error:
        raise DriftMetricsNotWritten(f"{path.name} cannot be written: {error.strerror}") from error


def push_metrics(registry: CollectorRegistry, url: str) -> None:
    """Push the gauges to a Pushgateway, in place of the last ones.

    Raises:
        DriftMetricsNotWritten: The Pushgateway does not accept the gauges.
    """
    try:
        # PUT instead of POST (pushadd_to_gateway): series of the last job must not stay.
        push_to_gateway(url, JOB, registry, timeout=_TIMEOUT_S)
    except OSError as error:  # urllib's errors are among them
        raise DriftMetricsNotWritten(
            f"the Pushgateway does not accept the gauges: {type(error).__name__}"
        ) from None
