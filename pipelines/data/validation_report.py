"""What was found out about a data set before its use, as JSON and for people to read; it names no patient."""

from typing import Literal

from pipelines.value import Value
from pleura.findings import FINDINGS

Severity = Literal["serious", "notable"]
ProblemKind = Literal[
    "damaged",
    "unreadable",
    "duplicate_across_splits",
    "duplicate_within_split",
    "contradictory_duplicates",
    "patient_in_two_splits",
    "licence_missing",
    "empty_split",
    "nothing_known",
    "one_sided",
    "prevalence",
    "too_few_to_compare",
    "shift",
]


class Problem(Value):
    """One kind of problem: how many of it, and a few by the first twelve digits of their SHA-256."""

    kind: ProblemKind
    severity: Severity
    words: str
    count: int
    examples: tuple[str, ...] = ()


class ShiftFigure(Value):
    """How far one quantity has moved from the reference; ``ks`` where it is a number."""

    quantity: str
    psi: float
    ks: float | None
    p: float
    severity: Severity | None


class SplitCounts(Value):
    """One split: radiographs, patients, and per finding how many have it, have it not, and are unknown."""

    split: str
    radiographs: int
    patients: int
    findings: dict[str, tuple[int, int, int]]


class ValidationReport(Value):
    """A judgement of a data set; ``dataset`` and ``reference`` are ``name@digest``."""

    dataset: str
    reference: str | None
    splits: tuple[SplitCounts, ...]
    problems: tuple[Problem, ...]
    shifts: tuple[ShiftFigure, ...]

    @property
    def serious(self) -> tuple[Problem, ...]:
        """The problems that stop a pipeline."""
        return tuple(problem for problem in self.problems if problem.severity == "serious")

    def to_json(self) -> str:
        """The report as a JSON document."""
        return self.model_dump_json(indent=1) + "\n"

    def to_markdown(self) -> str:
        """The report as a page."""
        verdict = f"**{len(self.serious)} serious problems.**" if self.serious else "**No serious problem.**"
        parts = [
            f"# Validation of {self.dataset}",
            f"{verdict} Reference: {self.reference or 'none; nothing was compared'}.",
            _problems(self.problems),
            _shifts(self.shifts),
            _counts(self.splits),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"


def _table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _problems(problems: tuple[Problem, ...]) -> str:
    if not problems:
        return ""
    rows: list[tuple[object, ...]] = [
        (each.severity, each.words, each.count, ", ".join(each.examples)) for each in problems
    ]
    return "## Problems\n\n" + _table(("severity", "what", "how many", "for instance"), rows)


def _shifts(shifts: tuple[ShiftFigure, ...]) -> str:
    if not shifts:
        return ""
    rows: list[tuple[object, ...]] = [
        (
            each.quantity,
            f"{each.psi:.3f}",
            "" if each.ks is None else f"{each.ks:.3f}",
            f"{each.p:.2g}",
            each.severity or "",
        )
        for each in shifts
    ]
    explained = "A shift is notable from a PSI of 0.1 on if p < 0.01, serious from 0.25 on if p < 0.001."
    return f"## Against the reference\n\n{explained}\n\n" + _table(("quantity", "PSI", "KS", "p", ""), rows)


def _counts(splits: tuple[SplitCounts, ...]) -> str:
    head = ("present / absent / unknown", *(each.split for each in splits))
    rows: list[tuple[object, ...]] = [
        ("radiographs", *(each.radiographs for each in splits)),
        ("patients", *(each.patients for each in splits)),
    ]
    for finding in FINDINGS:
        cells = (" / ".join(map(str, each.findings[finding])) for each in splits)
        rows.append((finding.replace("_", " "), *cells))
    return "## What it holds\n\n" + _table(head, rows)
