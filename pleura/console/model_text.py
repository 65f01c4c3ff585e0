"""How registered models are shown: tables of plain text, made of values."""

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
NOT_COMPARABLE: Final = "The two were judged on different data sets: the differences mean nothing."


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with columns of one width each; the first row is the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def listing(versions: Sequence[ModelVersion]) -> list[str]:
    """A line for each version, the newest first."""
    rows = [("version", "digest", "aliases", "mean AUROC", "gate", "data set", "registered")]
    for version in reversed(versions):
        rows.append(
            (
                str(version.number),
                version.digest[:_DIGEST],
                ", ".join(version.aliases) or "-",
                _shown(version, MEAN_AUROC),
                gate(version),
                version.registration.dataset_digest[:_DIGEST],
                f"{version.registered_at:%Y-%m-%d %H:%M}",
            )
        )
    return table(rows)


def gate(version: ModelVersion) -> str:
    """What the gate said, in a word."""
    decision = version.registration.decision
    if decision is None:
        return "-"
    return "passed" if decision.is_passed else "refused"


def details(version: ModelVersion, moves: Sequence[AliasMove]) -> list[str]:
    """Everything that is known of a version, and what was done with it."""
    facts = version.registration
    lines = [
        f"version {version.number}" + (f" ({', '.join(version.aliases)})" if version.aliases else ""),
        f"  registered   {version.registered_at:%Y-%m-%d %H:%M:%S} UTC",
        f"  bundle       {version.bundle_uri}",
        f"  data set     {facts.dataset_digest}",
        f"  code         {facts.code_version}",
        f"  report       {facts.report_uri}",
        f"  judgement    {facts.judgement_uri}",
        f"  gate         {gate(version)}" + (f", {facts.decision.uri}" if facts.decision else ""),
        "",
        *table([("finding", *_FIGURES), *([finding, *_row(version, finding)] for finding in FINDINGS)]),
        "",
    ]
    others = {name: value for name, value in facts.figures.items() if "/" not in name}
    lines += [f"{name} = {value:.4g}" for name, value in sorted(others.items())]
    lines += [f"{name}: {value}" for name, value in sorted(facts.parameters.items())]
    concerned = [told(move) for move in moves if version.number in (move.before, move.after)]
    return [*lines, *(["", *concerned] if concerned else [])]


def told(move: AliasMove) -> str:
    """A line of the audit trail."""
    before = "none" if move.before is None else str(move.before)
    override = f" [gate overridden: {move.why.override}]" if move.why.override else ""
    when = f"{move.moved_at:%Y-%m-%d %H:%M:%S} UTC"
    moved = f"{move.kind}: {move.alias} {before} -> {move.after}"
    return f"{when}  {moved}, {move.why.who}: {move.why.reason}{override}"


def comparison(first: ModelVersion, second: ModelVersion) -> list[str]:
    """Figures of two versions per finding, with what the second has more."""
    a, b = f"v{first.number}", f"v{second.number}"
    head = ["finding"]
    for name in ("AUROC", "sens.", "spec."):
        head += [f"{name} {a}", b, "diff."]
    rows = [[*head, f"threshold {a}", b]]
    for finding in FINDINGS:
        row = [finding]
        for name in _FIGURES[:-1]:
            row += _difference(first, second, f"{name}/{finding}")
        threshold = f"threshold/{finding}"
        rows.append([*row, _shown(first, threshold), _shown(second, threshold)])
    mean = ["mean", *_difference(first, second, MEAN_AUROC)]
    rows.append([*mean, *[""] * (len(rows[0]) - len(mean))])
    is_same = first.registration.dataset_digest == second.registration.dataset_digest
    return [*table(rows), "", *([] if is_same else [NOT_COMPARABLE]), NO_DECISION]


def _row(version: ModelVersion, finding: str) -> list[str]:
    return [_shown(version, f"{name}/{finding}") for name in _FIGURES]


def _shown(version: ModelVersion, name: str) -> str:
    value = version.registration.figures.get(name)
    return "-" if value is None else f"{value:.3f}"


def _difference(first: ModelVersion, second: ModelVersion, name: str) -> list[str]:
    before, after = (version.registration.figures.get(name) for version in (first, second))
    known = "-" if before is None or after is None else f"{after - before:+.3f}"
    return [_shown(first, name), _shown(second, name), known]
