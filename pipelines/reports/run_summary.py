"""How a run went, for people: what each step found, and what came of it."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pipelines.run.records import StepFailure, StepResult

_ENDS: Final = {
    "promoted": "promoted: the challenger is the champion",
    "rolled_back": "rolled back: the champion serves all traffic",
    "refused": "refused: nothing was changed",
    "stuck": "stuck: what serves the models does not follow; somebody must look",
    "failed": "stopped by the replay: nothing was changed",
    "cannot be shown": "stopped by the replay: it could not show enough; nothing was changed",
}


@dataclass(frozen=True)
class RunSummary:
    """A run so far: the steps that are done, in their order, and what stopped it if something did."""

    run: str
    done: Sequence[StepResult]
    failure: StepFailure | None = None

    @property
    def outcome(self) -> str:
        """What came of it, in one line."""
        if self.failure:
            return f"failed at {self.failure.step}: {self.failure.reason}"
        if not self.done:
            return "nothing was done"
        by_step, last = {each.step: each for each in self.done}, self.done[-1]
        is_refused = (last.step, last.verdict) == ("register", "refused")
        is_stopped = last.step == "replay" and last.verdict != "passed"
        if last.step == "conclude" or is_refused or is_stopped:
            return _ENDS[last.verdict]
        if "roll_out" in by_step and by_step["roll_out"].verdict != "promoted":
            return _ENDS[by_step["roll_out"].verdict]
        return f"interrupted after {last.step}: the same command goes on there"


def markdown_summary(story: RunSummary) -> str:
    """The report as Markdown."""
    run, done = story.run, story.done
    rows = [f"| {each.step} | {each.verdict} | {each.seconds:.0f} s | {each.words} |" for each in done]
    links = [f"- {name}: `{uri}`" for each in done for name, uri in each.links.items()]
    head = [
        f"# Run {run}",
        "",
        f"**{story.outcome}**",
        "",
        "| step | verdict | took | |",
        "|---|---|---:|---|",
    ]
    return "\n".join([*head, *rows, "", *links, ""])


def html_summary(story: RunSummary) -> str:
    """The report as one page without anything from elsewhere."""
    run, done = story.run, story.done

    def row(each: StepResult) -> str:
        cells = (each.step, each.verdict, f"{each.seconds:.0f} s", each.words)
        return "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"

    links = "".join(
        f"<li>{html.escape(name)}: <code>{html.escape(uri)}</code></li>"
        for each in done
        for name, uri in each.links.items()
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f"<title>Run {html.escape(run)}</title>"
        "<style>body{font-family:sans-serif;max-width:60em;margin:2em auto}"
        "td,th{border-bottom:1px solid #ccc;padding:.3em .6em;text-align:left;vertical-align:top}</style>"
        f"<h1>Run {html.escape(run)}</h1><p><strong>{html.escape(story.outcome)}</strong></p>"
        "<table><tr><th>step</th><th>verdict</th><th>took</th><th></th></tr>"
        + "".join(row(each) for each in done)
        + f"</table><ul>{links}</ul></html>\n"
    )
