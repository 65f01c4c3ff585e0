"""The drift report as one page of HTML: what changed, what it could mean, and what cannot be shown.

The page names no radiograph, no request and no person, so every reader of reports may see it.
"""

from collections.abc import Iterable
from typing import Final

from markupsafe import Markup

from pipelines.drift.reference import Histogram, Kind, Share
from pipelines.drift.report import DriftReport, DriftVerdict, ModelDrift, QuantityComparison
from pipelines.reports.drift_plots import encode_svg, plot_call_rates, plot_shapes, plot_stability
from pipelines.reports.page import render_page

_VERDICTS: Final[dict[DriftVerdict, str]] = {
    "drift": "Drift: something differs from the reference. The difference is certain and notable.",
    "no drift seen": "No drift seen: every difference is smaller than what this window could show.",
    "cannot be shown": "Cannot be shown: there is too little to compare. Something may have changed.",
}
_STYLES: Final[dict[DriftVerdict, str]] = {
    "drift": "bad",
    "no drift seen": "good",
    "cannot be shown": "unknown",
}
_MEANINGS: Final[dict[Kind, str]] = {
    "input": "The radiographs look different (brightness, contrast, shape). Possible causes are another "
    "device, export or protocol, or other patients, such as children.",
    "features": "More radiographs, or fewer, are unlike the training radiographs. If there are more, the "
    "model's figures do not hold for them.",
    "score": "The model scores differently.",
    "call rate": "Findings are called more or less often.",
    "refusal": "Radiographs are refused more or less often. Callers send another kind of file or radiograph.",
    "operation": "Answers take longer or shorter. This says nothing about patients and asks for no audit.",
}


def explain_drift(kinds: Iterable[Kind]) -> tuple[str, ...]:
    """List what the kinds of drift that were found could mean, alone and together."""
    found = set(kinds)
    meanings = [meaning for kind, meaning in _MEANINGS.items() if kind in found]
    images_moved, scores_moved = bool(found & {"input", "features"}), bool(found & {"score", "call rate"})
    if scores_moved and not images_moved:
        meanings.append(
            "Scores or calls moved and the radiographs did not, as far as could be compared. A season, an "
            "epidemic, a new ward or another referral practice looks like this: the patients may really "
            "have changed and the model may be right. Only verdicts of radiologists can tell the two apart."
        )
    if scores_moved and images_moved:
        meanings.append(
            "Radiographs and scores moved together. Find out what changed in acquisition or in the group of "
            "patients before you believe the calls. A season may add to it."
        )
    if images_moved and not scores_moved:
        meanings.append(
            "The radiographs moved and the scores did not, as far as could be seen. The model may cope. "
            "That it reads as well as before is not shown."
        )
    return tuple(meanings)


def html_drift_report(report: DriftReport) -> str:
    """Write a drift report as a page of HTML, with the plots inside."""
    return render_page(
        "drift",
        report=report,
        verdict=_VERDICTS[report.word],
        styles=_STYLES,
        meanings=explain_drift(report.kinds),
        models=[(model, _plots(model), [_row(each) for each in model.compared]) for model in report.models],
    )


def _plots(model: ModelDrift) -> list[tuple[str, Markup]]:
    figures = (
        ("Distance of each distribution from its reference", plot_stability(model)),
        ("Call rate of each finding", plot_call_rates(model)),
        ("Distributions that drifted (bars: this window; line: the reference)", plot_shapes(model)),
    )
    # matplotlib escapes every text that it writes into the SVG
    return [(title, Markup(encode_svg(figure))) for title, figure in figures if figure is not None]  # noqa: S704


def _row(comparison: QuantityComparison) -> tuple[QuantityComparison, str, str]:
    return comparison, _amount(comparison.expected), _amount(comparison.actual)


def _amount(quantity: Histogram | Share) -> str:
    if isinstance(quantity, Histogram):
        return f"{quantity.n} values"
    return f"{100 * quantity.hits / quantity.n:.1f} % of {quantity.n}" if quantity.n else "of none"
