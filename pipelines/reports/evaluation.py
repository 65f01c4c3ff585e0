"""The evaluation report as one page of HTML for a clinician.

The page and its plots are made from the report alone: the stored JSON gives the same page again.
"""

import base64
from typing import Final

from pipelines.evaluation.report import EvaluationReport
from pipelines.reports.evaluation_plots import plot_finding, plot_overview
from pipelines.reports.page import render_page
from pleura.contract import INPUT_FLAGS

REPORT_FILE: Final = "report.html"
FIGURES_FILE: Final = "figures.json"
CARD_FILE: Final = "MODEL_CARD.md"


def html_evaluation_report(report: EvaluationReport) -> str:
    """Write an evaluation report as a page of HTML, with the plots inside."""
    evaluation = report.evaluation
    return render_page(
        "evaluation",
        report=report,
        subject=report.subject,
        evaluation=evaluation,
        unmeasured=[each for each in evaluation.findings if each.figures is None],
        overview=_data_url(plot_overview(evaluation)),
        flags=INPUT_FLAGS,
        plots={each.finding: _data_url(plot_finding(each)) for each in evaluation.measured},
    )


def _data_url(png: bytes | None) -> str:
    return "" if png is None else f"data:image/png;base64,{base64.b64encode(png).decode()}"
