"""How reports write findings and figures."""

from pipelines.evaluation.refusals import RefusalRate
from pipelines.statistics.bootstrap import IntervalEstimate
from pleura.bundle import Interval


def finding_text(finding: str) -> str:
    """Write a finding's name as people do."""
    return finding.replace("_", " ")


def format_interval(estimate: IntervalEstimate | Interval, decimals: int = 2) -> str:
    """Write the interval of an estimate, such as ``0.71 to 0.78``."""
    return f"{estimate.low:.{decimals}f} to {estimate.high:.{decimals}f}"


def format_estimate(estimate: IntervalEstimate | Interval | None, decimals: int = 2) -> str:
    """Write an estimate with its interval, such as ``0.74 (0.71 to 0.78)``."""
    if estimate is None:
        return "unmeasured"
    return f"{estimate.value:.{decimals}f} ({format_interval(estimate, decimals)})"


def format_rate(rate: RefusalRate) -> str:
    """Write a share in percent with its interval."""
    return f"{rate.value:.0%} ({rate.low:.0%} to {rate.high:.0%})"


def format_small(value: float | None) -> str:
    """Write a figure that may be very small, such as a p-value; an unknown one is empty."""
    if value is None:
        return ""
    if 0 <= value < 0.0001:
        return "< 0.0001"
    return f"{value:.3g}" if value < 0.01 else f"{value:.3f}"
