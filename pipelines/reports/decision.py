"""The gate's decision as Markdown, for a reader."""

from collections.abc import Iterator

from pipelines.gate.decision import Criterion, Decision
from pipelines.gate.signature import SignedDecision

_HEAD = (
    "| criterion | finding | positives / negatives | champion | challenger | advantage | one-sided bounds "
    "| verdict | reason |\n|---|---|---|---|---|---|---|---|---|"
)


def markdown_decision(signed: SignedDecision) -> str:
    """Write a decision as Markdown."""
    return "\n".join(_lines(signed)) + "\n"


def _lines(signed: SignedDecision) -> Iterator[str]:
    decision, inputs = signed.decision, signed.decision.inputs
    yield f"# {decision.verdict.capitalize()}: {inputs.challenger.version} for {inputs.champion.version}"
    yield ""
    if not inputs.is_clinical:
        yield "**Not a clinical decision:** its protocol is for tests and demonstrations."
        yield ""
    yield f"{decision.radiographs} radiographs of {decision.patients} patients, read by both models."
    yield from _list("Reasons for the refusal", decision.reasons)
    yield from _list("Notes", decision.notes)
    yield "\n## All comparisons\n"
    yield (
        "A positive advantage means that the challenger is better. The bounds of a calibration slope "
        "are those of the challenger's slope.\n"
    )
    yield _HEAD
    yield from map(_row, decision.criteria)
    yield from _list("Provenance", _provenance(decision))
    yield f"\nSigned at {signed.signed_at.isoformat()} with key `{signed.key_id}`."


def _list(title: str, entries: tuple[str, ...]) -> Iterator[str]:
    if entries:
        yield f"\n## {title}\n"
        yield from (f"- {entry}" for entry in entries)


def _provenance(decision: Decision) -> tuple[str, ...]:
    inputs = decision.inputs
    return (
        f"protocol {inputs.protocol_name} {inputs.protocol_version}, `{inputs.protocol_digest}`",
        f"data set `{inputs.data_set}`",
        f"champion {inputs.champion.version}, `{inputs.champion.digest}`",
        f"challenger {inputs.challenger.version}, `{inputs.challenger.digest}`",
        f"radiographs `{inputs.radiographs}`",
        f"scores `{inputs.scores}`",
        f"code {inputs.code_version}",
    )


def _figure(value: float | None, sign: str = "") -> str:
    return "" if value is None else f"{value:{sign}.4f}"


def _row(criterion: Criterion) -> str:
    bounds = " to ".join(filter(None, (_figure(criterion.low, "+"), _figure(criterion.high, "+"))))
    cells = (
        criterion.name,
        " of ".join(filter(None, (criterion.finding, criterion.subgroup))),
        f"{criterion.positives} / {criterion.negatives}",
        _figure(criterion.champion),
        _figure(criterion.challenger),
        _figure(criterion.advantage, "+"),
        bounds,
        criterion.verdict + (" (excused)" if criterion.is_excused and criterion.verdict != "passed" else ""),
        criterion.reason,
    )
    return "| " + " | ".join(cells) + " |"
