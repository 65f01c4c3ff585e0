"""Format registered models as lines of plain text."""

from collections.abc import Sequence
from typing import Final

from pipelines.registry.registration import MEAN_AUROC, AliasMove, ModelVersion
from pleura.findings import FINDINGS

_FIGURES: Final = ("auroc", "sensitivity", "specificity", "threshold")
_DIGEST: Final = 12
NO_DECISION: Final = (
    "These are point figures, without their intervals and not paired: no decision. "
    "The gate compares both models on the same radiographs."
)
NOT_COMPARABLE: Final = (
    "The two versions were evaluated on different data sets: the differences mean nothing."
)


def table_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align the cells of each column; the first row is the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def list_lines(versions: Sequence[ModelVersion]) -> list[str]:
    """Return one line for each version, the newest first."""
    rows = [("version", "digest", "aliases", "mean AUROC", "gate", "data set", "registered")]
    for version in reversed(versions):
        rows.append(
            (
                str(version.number),
                version.digest[:_DIGEST],
                ", ".join(version.aliases) or "-",
                _format_figure(version, MEAN_AUROC),
                gate_word(version),
                version.registration.dataset_digest[:_DIGEST],
                f"{version.registered_at:%Y-%m-%d %H:%M}",
            )
        )
    return table_lines(rows)


def gate_word(version: ModelVersion) -> str:
    """Return the decision of the gate in one word."""
    decision = version.registration.decision
    if decision is None:
        return "-"
    return "passed" if decision.is_passed else "refused"


def detail_lines(version: ModelVersion, moves: Sequence[AliasMove]) -> list[str]:
    """Return everything about a version, and its moves."""
    registration = version.registration
    lines = [
        f"version {version.number}" + (f" ({', '.join(version.aliases)})" if version.aliases else ""),
        f"  registered   {version.registered_at:%Y-%m-%d %H:%M:%S} UTC",
        f"  bundle       {version.bundle_uri}",
        f"  data set     {registration.dataset_digest}",
        f"  code         {registration.code_version}",
        f"  report       {registration.report_uri}",
        f"  judgement    {registration.judgement_uri}",
        f"  gate         {gate_word(version)}"
        + (f", {registration.decision.uri}" if registration.decision else ""),
        "",
        *table_lines(
            [("finding", *_FIGURES), *([finding, *_figure_cells(version, finding)] for finding in FINDINGS)]
        ),
        "",
    ]
    others = {name: value for name, value in registration.figures.items() if "/" not in name}
    lines += [f"{name} = {value:.4g}" for name, value in sorted(others.items())]
    lines += [f"{name}: {value}" for name, value in sorted(registration.parameters.items())]
    moves_of_version = [move_line(move) for move in moves if version.number in (move.before, move.after)]
    return [*lines, *(["", *moves_of_version] if moves_of_version else [])]


def move_line(move: AliasMove) -> str:
    """Return one line of the audit trail."""
    before = "none" if move.before is None else str(move.before)
    override = f" [gate overridden: {move.why.override}]" if move.why.override else ""
    when = f"{move.moved_at:%Y-%m-%d %H:%M:%S} UTC"
    moved = f"{move.kind}: {move.alias} {before} -> {move.after}"
    return f"{when}  {moved}, {move.why.who}: {move.why.reason}{override}"


def comparison_lines(first: ModelVersion, second: ModelVersion) -> list[str]:
    """Return the figures of two versions for each finding, and their differences."""
    a, b = f"v{first.number}", f"v{second.number}"
    head = ["finding"]
    for name in ("AUROC", "sens.", "spec."):
        head += [f"{name} {a}", b, "diff."]
    rows = [[*head, f"threshold {a}", b]]
    for finding in FINDINGS:
        row = [finding]
        for name in _FIGURES[:-1]:
            row += _difference_cells(first, second, f"{name}/{finding}")
        threshold = f"threshold/{finding}"
        rows.append([*row, _format_figure(first, threshold), _format_figure(second, threshold)])
    mean = ["mean", *_difference_cells(first, second, MEAN_AUROC)]
    rows.append([*mean, *[""] * (len(rows[0]) - len(mean))])
    is_same_data = first.registration.dataset_digest == second.registration.dataset_digest
    return [*table_lines(rows), "", *([] if is_same_data else [NOT_COMPARABLE]), NO_DECISION]


def _figure_cells(version: ModelVersion, finding: str) -> list[str]:
    return [_format_figure(version, f"{name}/{finding}") for name in _FIGURES]


def _format_figure(version: ModelVersion, name: str) -> str:
    value = version.registration.figures.get(name)
    return "-" if value is None else f"{value:.3f}"


def _difference_cells(first: ModelVersion, second: ModelVersion, name: str) -> list[str]:
    before, after = (version.registration.figures.get(name) for version in (first, second))
    difference = "-" if before is None or after is None else f"{after - before:+.3f}"
    return [_format_figure(first, name), _format_figure(second, name), difference]
