"""The report that a clinician reads, the card, and the files of an evaluation."""

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines.data.manifest import Box, Record
from pipelines.evaluation.evaluate_bundle import evaluate_bundle, write_report_files
from pipelines.evaluation.evaluation import EvaluationProtocol
from pipelines.evaluation.evaluation_data import EvaluationData, select_with_boxes
from pipelines.evaluation.report import EvaluationReport
from pipelines.reports.evaluation import html_evaluation_report
from pipelines.reports.model_card import model_card
from pleura.bundle import ModelDescription, verify
from pleura.findings import FINDINGS
from proof.lab.bundles import build_description
from tests.support.pipelines.evaluations import DATASET, calibrated, make_report

_DEFAULT = Path(__file__).parents[3] / "predictor" / "default" / "source.json"
_VOID = {"meta", "img", "br"}


class _Page(HTMLParser):
    """Every element with its attributes, and whether elements close in the order they opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def _read(html: str) -> _Page:
    page = _Page()
    page.feed(html)
    page.close()
    return page


@pytest.fixture(scope="module")
def report() -> EvaluationReport:
    scored = calibrated()
    labels = scored.labels.copy()
    labels[:, -1] = np.nan
    return make_report(scored=replace(scored, labels=labels))


@pytest.fixture(scope="module")
def html(report: EvaluationReport) -> str:
    return html_evaluation_report(report)


def test_the_page_stands_alone(html: str, report: EvaluationReport) -> None:
    """There is no script, and nothing is fetched from anywhere: every picture lies inside."""
    page = _read(html)
    assert not page.open
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.seen}
    addresses = [value for _, attrs in page.seen for name, value in attrs.items() if name in ("src", "href")]
    assert len(addresses) == 1 + len(report.evaluation.measured)
    assert all(str(address).startswith("data:image/png;base64,") for address in addresses)
    assert "url(" not in html


def test_every_plot_is_a_picture(html: str) -> None:
    """Each embedded picture decodes, and shows something."""
    for encoded in re.findall(r"base64,([A-Za-z0-9+/=]+)", html):
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(encoded), np.uint8), cv2.IMREAD_GRAYSCALE)
        assert picture is not None
        assert picture.shape[1] > 1000
        assert len(np.unique(picture)) > 10


def test_the_page_says_what_it_must(html: str, report: EvaluationReport) -> None:
    """Every finding, both digests, the code, the limits, and what is unmeasured can be read."""
    text = _read(html).text
    subject = report.subject
    for said in (subject.model_digest, DATASET.digest, subject.code_version, *subject.limitations):
        assert said in text
    for finding in FINDINGS:
        assert finding.replace("_", " ") in text
    assert "Hernia (0 positives)" in " ".join(text.split())
    assert "What this report does not say" in text
    area = report.evaluation.findings[0].figures
    assert area is not None
    assert f"{area.auroc.value:.2f}{area.auroc.low:.2f} to {area.auroc.high:.2f}" in text


def test_words_from_outside_stay_words(html: str) -> None:
    """A data set whose description holds markup does not change the page."""
    assert "drawn &lt;at&gt; random" in html


def test_the_same_report_gives_the_same_page(html: str, report: EvaluationReport) -> None:
    """From its JSON the report is written again, to the bit."""
    assert html_evaluation_report(EvaluationReport.from_json(report.to_json())) == html


def test_a_page_of_nothing_measured_says_so() -> None:
    """With too few positives everywhere the page holds no plot, no figure and no mean."""
    scored = calibrated(60)
    few = make_report(scored=replace(scored, labels=np.zeros_like(scored.labels)))
    bare = few.model_copy(update={"refusals": None, "localisation": (), "subgroups": ()})
    page = _read(html_evaluation_report(bare))
    assert "no finding could be" in page.text
    assert page.text.count("Not examined.") == 3
    assert not [tag for tag, _ in page.seen if tag == "img"]


def test_the_card_contains_the_report(report: EvaluationReport) -> None:
    """Calibration, subgroups, refusals and localisation stand below the card as it was."""
    plain = build_description().model_copy(
        update={"metrics": ModelDescription.model_validate_json(_DEFAULT.read_text()).metrics}
    )
    card = model_card(plain, report)
    assert card.startswith(model_card(plain))
    added = card.removeprefix(model_card(plain))
    for heading in ("Evaluation", "Subgroups", "Refusal by typicality", "Activation maps"):
        assert f"## {heading}\n" in added
    assert report.refusals is not None
    first = report.refusals.unlike[0].rates[0].rate
    expected = f"{first.value:.0%} ({first.low:.0%} to {first.high:.0%}) at 0.01"
    assert f"- upside down (40), wrongly answered: {expected}" in added
    assert added.count(" unmeasured |") == 5
    assert "| **test split** | 300 (150) | 1.0% (" in added
    assert "| upside down | 40 (20) | 100.0% (" in added


def test_a_bundle_is_evaluated_from_end_to_end(tmp_path: Path, bundle: Path) -> None:
    """A sealed bundle and radiographs give the three files, and a second run gives the same bytes."""
    rng = np.random.default_rng(0)
    tensors = rng.integers(0, 256, (50, 224, 224), np.uint8)
    box = Box(finding="Mass", x=0.2, y=0.2, width=0.3, height=0.3)
    records = tuple(
        Record(
            key=str(n),
            sha256=f"{n:064x}",
            patient=f"p{n}",
            source="here",
            licence="none",
            split="test",
            labels=dict(zip(FINDINGS, (rng.random(14) < 0.5).tolist(), strict=True)),
            boxes=(box,) if n < 12 else (),
        )
        for n in range(50)
    )
    material = EvaluationData(
        records,
        tensors,
        select_with_boxes("test split", records, tensors),
        {"elsewhere": tensors[:5]},
        {"inverted": 255 - tensors},
    )
    made = evaluate_bundle(
        bundle, material, DATASET, "0" * 40, EvaluationProtocol(draws=100, minimum_positives=10)
    )
    assert made.subject.model_digest == verify(bundle)[1]
    assert made.evaluation.radiographs == 50
    assert made.localisation[0].findings[0].boxes == 12
    again = evaluate_bundle(
        bundle, material, DATASET, "0" * 40, EvaluationProtocol(draws=100, minimum_positives=10)
    )
    assert again.to_json() == made.to_json()
    write_report_files(made, bundle, tmp_path / "evaluated")
    assert EvaluationReport.from_json((tmp_path / "evaluated" / "figures.json").read_bytes()) == made
    assert "No mean was measured." in (tmp_path / "evaluated" / "MODEL_CARD.md").read_text()
    assert _read((tmp_path / "evaluated" / "report.html").read_text()).seen
