"""The page gives the verdict, stands alone, and names no person."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from pipelines.drift.reference import Kind
from pipelines.reports.drift import explain_drift, html_drift_report
from tests.support.pipelines.drift_values import MODEL, OTHER, report_of, sample


def test_the_page_stands_alone() -> None:
    """No script, no style sheet, no picture from elsewhere: it opens in a hospital without internet."""
    page = html_drift_report(report_of(sample(1, 300, shift=1.0)))
    assert not re.search(r"<(script|link|img|iframe)|url\(http|@import", page)
    pictures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(pictures) == 3
    assert all(ElementTree.fromstring(each).tag.endswith("svg") for each in pictures)


def test_the_same_report_is_the_same_page() -> None:
    """Nothing in it depends on when or where it is written."""
    report = report_of(sample(1, 300, shift=1.0))
    assert html_drift_report(report) == html_drift_report(report)


@pytest.mark.parametrize(
    ("n", "shift", "words"),
    [(300, 1.0, "Drift: something differs"), (300, 0.0, "No drift seen"), (20, 1.0, "Cannot be shown")],
)
def test_the_verdict_stands_first(n: int, shift: float, words: str) -> None:
    """Drift, none seen, and too little to tell are three different sentences."""
    assert words in html_drift_report(report_of(sample(1, n, shift)))


def test_a_page_of_nothing_says_so() -> None:
    """An empty window gives a page too."""
    assert "There is no answer in this window" in html_drift_report(report_of())


def test_a_model_without_reference_is_named() -> None:
    """Who reads the page learns that a model could not be compared."""
    assert "none for this model" in html_drift_report(report_of(sample(1, 200, model=OTHER)))


def test_what_a_bundle_calls_itself_is_text() -> None:
    """A model's version is escaped."""
    page = html_drift_report(report_of(replace(sample(1, 200), model=replace(MODEL, version="<b>1</b>"))))
    assert "<b>1</b>" not in page


@pytest.mark.parametrize(
    ("kinds", "part"),
    [
        (("call rate",), "epidemic"),
        (("score", "call rate"), "the model may be right"),
        (("input", "score"), "before you believe the calls"),
        (("features",), "is not shown"),
        (("refusal",), "Radiographs are refused"),
    ],
)
def test_each_mixture_of_kinds_has_its_meaning(kinds: tuple[Kind, ...], part: str) -> None:
    """A call rate that moved alone may be the season; one that moved with the radiographs hardly is."""
    words = " ".join(explain_drift(kinds))
    assert part in words
    assert ("an epidemic" in words) == (bool({"score", "call rate"} & {*kinds}) and "input" not in kinds)
