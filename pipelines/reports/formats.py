"""How reports write findings and figures."""

from collections.abc import Iterator, Sequence

from pipelines.evaluation.refusals import RefusalRate
from pipelines.statistics.bootstrap import IntervalEstimate
from pleura.bundle import CheckedKind, Interval
from pleura.contract import INPUT_FLAGS


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


def format_share(share: Interval) -> str:
    """Write a share that may be small in percent with one decimal, with its interval."""
    return f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%})"


def checked_row(kind: CheckedKind) -> str:
    """Write a row of the table of what the input check refuses, in Markdown."""
    name = f"**{kind.kind}**" if kind.is_chest_film else kind.kind
    flags = (str(kind.flagged.get(flag, 0)) for flag in INPUT_FLAGS)
    return (
        f"| {name} | {kind.images} ({kind.patients}) | {format_share(kind.refused)} | {' | '.join(flags)} |"
    )


def checked_lines(kinds: Sequence[CheckedKind]) -> Iterator[str]:
    """Write the table of what the input check refuses, in Markdown; nothing where it was not examined."""
    if kinds:
        yield f"| | images (patients) | refused | {' | '.join(INPUT_FLAGS)} |"
        yield "|---|---:|---|---:|---:|---:|---:|"
        yield from map(checked_row, kinds)


def format_small(value: float | None) -> str:
    """Write a figure that may be very small, such as a p-value; an unknown one is empty."""
    if value is None:
        return ""
    if 0 <= value < 0.0001:
        return "< 0.0001"
    return f"{value:.3g}" if value < 0.01 else f"{value:.3f}"
