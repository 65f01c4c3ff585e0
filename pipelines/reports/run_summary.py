"""The report of a pipeline run: the result of each step and the outcome of the run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pipelines.reports.page import render_page
from pipelines.run.records import StepFailure, StepResult

_OUTCOMES: Final = {
    "promoted": "promoted: the challenger is the champion",
    "rolled_back": "rolled back: the champion serves all traffic",
    "refused": "refused: nothing was changed",
    "stuck": "stuck: the serving system does not follow; an operator must look",
    "failed": "stopped by the replay: nothing was changed",
    "cannot be shown": "stopped by the replay: it could not show enough; nothing was changed",
}


@dataclass(frozen=True)
class RunSummary:
    """A run so far: the results of its finished steps in order, and the failure that stopped it."""

    run: str
    results: Sequence[StepResult]
    failure: StepFailure | None = None

    @property
    def outcome(self) -> str:
        """The outcome in one line."""
        if self.failure:
            return f"failed at {self.failure.step}: {self.failure.reason}"
        if not self.results:
            return "nothing was done"
        verdicts, last = {each.step: each.verdict for each in self.results}, self.results[-1]
        is_refused = (last.step, last.verdict) == ("register", "refused")
        is_stopped = last.step == "replay" and last.verdict != "passed"
        if last.step == "conclude" or is_refused or is_stopped:
            return _OUTCOMES[last.verdict]
        if verdicts.get("roll_out", "promoted") != "promoted":
            return _OUTCOMES[verdicts["roll_out"]]
        return f"interrupted after {last.step}: the same command continues the run there"


def markdown_summary(summary: RunSummary) -> str:
    """Write the summary as Markdown."""
    rows = [
        f"| {each.step} | {each.verdict} | {each.seconds:.0f} s | {each.words} |" for each in summary.results
    ]
    links = [f"- {name}: `{uri}`" for each in summary.results for name, uri in each.links.items()]
    head = [
        f"# Run {summary.run}",
        "",
        f"**{summary.outcome}**",
        "",
        "| step | verdict | time | result |",
        "|---|---|---:|---|",
    ]
    return "\n".join([*head, *rows, "", *links, ""])


def html_summary(summary: RunSummary) -> str:
    """Write the summary as a page of HTML."""
    return render_page("run_summary", summary=summary)
