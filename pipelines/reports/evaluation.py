"""The report of a judgement: one HTML file that stands alone, for a clinician to read.

Everything in it, plots included, is made from the dossier; whoever holds its JSON can write it again.
"""

import base64
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from pipelines.evaluation.refusals import RefusalRate
from pipelines.evaluation.report import EvaluationReport
from pipelines.reports.evaluation_plots import finding_plot, overview_plot
from pipelines.reports.model_card import finding_text
from pipelines.statistics.bootstrap import IntervalEstimate

REPORT_FILE: Final = "report.html"
FIGURES_FILE: Final = "figures.json"
CARD_FILE: Final = "MODEL_CARD.md"
_TEMPLATE: Final = "evaluation.html.jinja"


def _figure(figure: IntervalEstimate | None, decimals: int = 2) -> str:
    if figure is None:
        return "unmeasured"
    low, high = f"{figure.low:.{decimals}f}", f"{figure.high:.{decimals}f}"
    return f"{figure.value:.{decimals}f} ({low} to {high})"


def _gap(figure: IntervalEstimate) -> str:
    return f"{figure.value:+.2f} ({figure.low:+.2f} to {figure.high:+.2f})"


def _rate(rate: RefusalRate) -> str:
    return f"{rate.value:.0%} ({rate.low:.0%} to {rate.high:.0%})"


def _embedded(png: bytes | None) -> str:
    return "" if png is None else f"data:image/png;base64,{base64.b64encode(png).decode()}"


def html_evaluation_report(report: EvaluationReport) -> str:
    """Write the page: no script, no link to anywhere, plots inside."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(figure=_figure, gap=_gap, rate=_rate, words=finding_text)
    evaluation = report.evaluation
    return environment.get_template(_TEMPLATE).render(
        report=report,
        subject=report.subject,
        evaluation=evaluation,
        unmeasured=[each for each in evaluation.findings if each.figures is None],
        overview=_embedded(overview_plot(evaluation)),
        plots={each.finding: _embedded(finding_plot(each)) for each in evaluation.measured},
    )
