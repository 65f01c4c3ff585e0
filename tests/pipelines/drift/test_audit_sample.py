"""An audit asks for enough, blind, once a window, and the drifted first."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.drift.audit_progress import measure_progress
from pipelines.drift.audit_request import AuditRequest, AuditRules
from pipelines.drift.audit_sample import build_audit_request, required_sample_size, sample_half_width
from pipelines.drift.report import DriftReport
from pipelines.drift.window import group_by_model, sample_of_answers
from pipelines.journal_reader import JournaledAnswer, Verdict
from pipelines.value import InvalidDocument
from tests.support.pipelines.drift_values import MODEL, UNTIL, answers, report_of

RULES = AuditRules(most=300)


def _drifted(seed: int = 3, shift: float = 1.0) -> tuple[DriftReport, list[JournaledAnswer]]:
    week = answers(seed, 300, shift)
    return report_of(sample_of_answers(MODEL, week)), week


def _request() -> AuditRequest:
    request = build_audit_request(*_drifted(), RULES, UNTIL)
    assert request is not None
    return request


@pytest.mark.parametrize(("population", "wanted"), [(10**9, 97), (100, 50), (20, 17), (1, 1), (0, 0)])
def test_as_many_are_asked_for_as_precision_wants(population: int, wanted: int) -> None:
    """Cochran's numbers for a share to within 0.1 at 95 %, of large and small populations."""
    assert required_sample_size(population, 0.1, 0.95) == wanted


@given(st.integers(1, 5000), st.floats(0.01, 0.3))
def test_what_is_needed_gives_the_precision(population: int, half_width: float) -> None:
    """Reading that many gives the half width that was asked for, and one less does not give more than it."""
    asked = required_sample_size(population, half_width, 0.95)
    reached = sample_half_width(asked, population, 0.95)
    assert reached is not None
    assert reached <= half_width * 1.001


def test_no_drift_asks_nobody_to_read() -> None:
    """Radiologists' time is asked for on drift only."""
    week = answers(1, 300)
    report = report_of(sample_of_answers(MODEL, week))
    assert report.word == "no drift seen"
    assert build_audit_request(report, week, RULES, UNTIL) is None


def test_a_window_asks_for_one_audit() -> None:
    """The same window asks under the same id for the same radiographs, in whatever order it was read."""
    report, week = _drifted()
    again = build_audit_request(report, week[::-1], RULES, UNTIL + timedelta(hours=1))
    assert again == _request().model_copy(update={"made_at": UNTIL + timedelta(hours=1)})


def test_another_window_asks_for_another() -> None:
    """A week later the id is another."""
    report, week = _drifted()
    later = report.model_copy(update={"until": UNTIL + timedelta(days=7)})
    request = build_audit_request(later, week, RULES, UNTIL)
    assert request is not None
    assert request.id != _request().id


def test_controls_come_with_the_most_certain_drift() -> None:
    """Random controls are in it, then the findings in the order of how sure their drift is."""
    request = _request()
    surest = request.why[0].rpartition(" of ")[2].replace(" ", "_")
    assert [stratum.name for stratum in request.strata[:3]] == [
        "control",
        f"{MODEL.version}: {surest} called present",
        f"{MODEL.version}: {surest} called absent",
    ]
    assert 0 < request.strata[0].asked <= RULES.most // 3


@given(st.integers(3, 500))
def test_no_more_is_asked_for_than_can_be_read(most: int) -> None:
    """The cap holds, no radiograph is asked for twice, and the request states the lost precision."""
    report, week = _drifted()
    request = build_audit_request(report, week, AuditRules(most=most), UNTIL)
    assert request is not None
    assert len(request.items) <= most
    assert len({item.image_digest for item in request.items}) == len(request.items)
    for stratum in request.strata:
        assert stratum.asked <= stratum.wanted <= stratum.population
        assert (stratum.half_width is None) == (stratum.asked == 0)


def test_a_request_is_blind() -> None:
    """An item says where a radiograph lies, not what was answered on it nor why it was drawn."""
    fields = set(type(_request().items[0]).model_fields)
    assert fields == {"principal", "request_id", "position", "image_id", "image_digest"}
    digests = [item.image_digest for item in _request().items]
    assert digests == sorted(digests)


def test_what_lies_in_no_store_is_not_asked_for() -> None:
    """A radiograph that was sent with its request cannot be read again."""
    report, week = _drifted()
    sent = [replace(each, image_id=None) if i % 2 else each for i, each in enumerate(week)]
    request = build_audit_request(report, sent, RULES, UNTIL)
    assert request is not None
    assert all(item.image_id for item in request.items)
    assert request.strata[0].population == 150


def test_a_request_travels_as_json() -> None:
    """A stored request reads as it was written; other bytes are refused."""
    assert AuditRequest.from_json(_request().to_json()) == _request()
    with pytest.raises(InvalidDocument):
        AuditRequest.from_json(b"{}")


def test_only_blind_verdicts_are_progress() -> None:
    """Who had seen the answer first has read nothing, as far as an audit goes."""
    _, week = _drifted()
    keys = [item.request_id for item in _request().items]
    blind = Verdict("Effusion", True, "reader-1", False, UNTIL)
    seen = replace(blind, had_seen_answer=True)
    by_id = {each.request_id: each for each in week}
    by_id[keys[0]] = replace(by_id[keys[0]], verdicts=(blind,), findings=("Effusion",))
    by_id[keys[1]] = replace(by_id[keys[1]], verdicts=(seen,))
    by_id[keys[2]] = replace(by_id[keys[2]], verdicts=(replace(blind, present=None),), findings=())
    progress = measure_progress(_request(), list(by_id.values()))
    assert (progress.read, progress.unblinded, progress.outstanding) == (2, 1, len(keys) - 2)
    assert progress.is_open
    (agreement,) = progress.agreement
    assert (agreement.finding, agreement.cannot_tell) == ("Effusion", 1)
    assert (agreement.called_present.hits, agreement.called_present.n) == (1, 1)


def test_repeated_answers_count_once() -> None:
    """A radiograph asked about ten times is one of the sample, in scores and latency alike."""
    week = answers(1, 120)
    again = [replace(each, request_id=f"again-{i}", cached=True) for i, each in enumerate(week)]
    ((model, theirs),) = group_by_model(week + again).items()
    gathered = sample_of_answers(model, theirs)
    assert (gathered.answers, gathered.radiographs) == (240, 120)
    assert {len(values) for values in gathered.values.values()} == {120}
