"""The drift report as one page: what was seen, what it could mean, and what could not be shown.

It names no radiograph, no request and no person: it may lie where reports are read.
"""

from collections.abc import Iterable
from typing import Final

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from pipelines.drift.drift import DriftReport, ModelDrift, QuantityComparison
from pipelines.drift.reference import Kind, Share
from pipelines.reports.drift_page import TEMPLATE
from pipelines.reports.drift_plots import plot_call_rates, plot_shapes, plot_stability, svg_of

_VERDICTS: Final = {
    "drift": "Drift: something differs from the reference, surely and by a notable amount.",
    "no drift seen": "No drift seen: what was compared differs by less than could have been seen.",
    "cannot be shown": "Cannot be shown: too little to compare. This does not mean that nothing has changed.",
}
_OF_KIND: Final[dict[Kind, str]] = {
    "input": "The radiographs look different (brightness, contrast, shape): another device, export or "
    "protocol, or other patients, such as children.",
    "features": "More radiographs, or fewer, are unlike those that the model was trained on. Where they are "
    "more, its figures do not hold for them.",
    "score": "The model scores differently.",
    "call rate": "Findings are called more or less often.",
    "refusal": "Radiographs are refused more or less often: another kind of file, or of film, is being sent.",
    "operation": "Answers take longer or shorter. This says nothing of patients and asks for no audit.",
}


def explain_drift(kinds: Iterable[Kind]) -> tuple[str, ...]:
    """What the kinds of drift that were found could mean, together; never what they do mean."""
    found = set(kinds)
    words = [_OF_KIND[kind] for kind in _OF_KIND if kind in found]
    looks, says = bool(found & {"input", "features"}), bool(found & {"score", "call rate"})
    if says and not looks:
        words.append(
            "Scores or calls moved and the radiographs did not, as far as could be compared. That is what a "
            "season, an epidemic, a new ward or another referral practice looks like: the patients may "
            "really have changed, and the model be right. Without radiologists' verdicts the two cannot "
            "be told apart."
        )
    if says and looks:
        words.append(
            "Radiographs and scores moved together: look at what changed in acquisition or in who is "
            "examined, before believing the calls. A season may add to it."
        )
    if looks and not says:
        words.append(
            "The radiographs moved and the scores did not, as far as could be seen. The model may cope; that "
            "it reads as well as before is not shown."
        )
    return tuple(words)


def html_drift_report(report: DriftReport) -> str:
    """Write the report as HTML that needs nothing beside itself."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["figure"] = _figure
    template = environment.from_string(TEMPLATE)
    return template.render(
        report=report,
        verdict=_VERDICTS[report.word],
        meanings=explain_drift(report.kinds),
        models=[(model, _plots(model), [_row(each) for each in model.compared]) for model in report.models],
    )


def _plots(model: ModelDrift) -> list[tuple[str, Markup]]:
    figures = (
        ("How far each distribution lies from its reference", plot_stability(model)),
        ("How often each finding is called", plot_call_rates(model)),
        ("What drifted: bars, this window; line, the reference", plot_shapes(model)),
    )
    # matplotlib escapes what it writes, and every word in it is ours
    return [(title, Markup(svg_of(figure))) for title, figure in figures if figure is not None]  # noqa: S704


def _row(each: QuantityComparison) -> tuple[QuantityComparison, str, str]:
    return each, _amount(each.expected), _amount(each.actual)


def _amount(counted: object) -> str:
    if isinstance(counted, Share):
        return f"{100 * counted.hits / counted.n:.1f} % of {counted.n}" if counted.n else "of none"
    return f"{getattr(counted, 'n', 0)} values"


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    return "< 0.0001" if 0 <= value < 0.0001 else f"{value:.3g}" if value < 0.01 else f"{value:.3f}"
