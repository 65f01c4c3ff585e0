"""The gate: what it promotes, what it refuses, and what it will not compare."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.gate.criteria import compare_findings
from pipelines.gate.decision import Criterion, Decision, canonical_json
from pipelines.gate.gate import decide, pair_findings
from pipelines.gate.protocol import GateProtocol
from pleura.findings import FINDINGS
from tests.support.pipelines.contenders import (
    CLINICAL_PROTOCOL,
    COUNT,
    PROVENANCE,
    SMALL_PROTOCOL,
    challenger,
    champion,
    read_protocol,
    shifted,
)


@pytest.fixture(scope="module")
def clinical() -> GateProtocol:
    """The protocol with the agreed margins."""
    return read_protocol(CLINICAL_PROTOCOL)


@pytest.fixture(scope="module")
def small() -> GateProtocol:
    """The protocol for a few hundred radiographs."""
    return read_protocol(SMALL_PROTOCOL)


def _of(decision: Decision, name: str, finding: str = "") -> Criterion:
    (found,) = [c for c in decision.criteria if (c.name, c.finding) == (name, finding) and not c.subgroup]
    return found


def test_a_better_model_is_promoted(clinical: GateProtocol) -> None:
    """On enough radiographs a challenger that is better everywhere passes every criterion."""
    old = champion(films=6000, each=2)
    new = challenger(old, shifted(old, towards=0.15))
    lenient = clinical.model_copy(
        update={"calibration_slope": clinical.calibration_slope.model_copy(update={"high": 1.6})}
    )
    decision = decide(lenient, old, new, PROVENANCE)
    assert decision.reasons == ()
    assert decision.is_promoted
    assert (decision.radiographs, decision.patients) == (6000, 3000)
    assert {c.verdict for c in decision.criteria} == {"passed"}


def test_the_same_model_again_has_bounds_of_zero(clinical: GateProtocol) -> None:
    """Paired with itself, a model is not worse by anything, however few the radiographs are."""
    old = champion(films=300)
    decision = decide(clinical, old, challenger(old), PROVENANCE)
    compared = [c for c in decision.criteria if c.name in ("auroc", "sensitivity", "specificity", "brier")]
    assert {(c.low, c.high, c.verdict) for c in compared} == {(0.0, 0.0, "passed")}
    assert _of(decision, "macro auroc").low == 0
    # What holds of the challenger alone is not shown by three hundred radiographs.
    assert {c.name for c in decision.criteria if c.is_in_the_way} == {"calibration slope"}


def test_better_in_auroc_and_worse_at_the_served_threshold_is_refused(clinical: GateProtocol) -> None:
    """Separation improves in every finding, but the thresholds were not moved with the probabilities."""
    old = champion(films=3000)
    new = challenger(old, shifted(old, towards=0.15))
    stale = replace(new, thresholds=(0.45,) * COUNT)
    decision = decide(clinical, old, stale, PROVENANCE)
    assert not decision.is_promoted
    assert _of(decision, "macro auroc").verdict == "passed"
    for finding in FINDINGS:
        better, worse = _of(decision, "auroc", finding), _of(decision, "sensitivity", finding)
        assert better.verdict == "passed"
        assert better.claims is not None
        assert better.claims.better < 0.05
        assert worse.verdict == "failed"
        assert worse.claims is not None
        assert worse.claims.worse < 0.05
    assert any(reason.startswith("sensitivity, Pneumothorax: failed") for reason in decision.reasons)
    assert not any(reason.startswith(("auroc", "macro auroc")) for reason in decision.reasons)


def test_it_is_the_bound_that_counts_and_not_the_figure(clinical: GateProtocol) -> None:
    """A sensitivity that is two points lower passes on many radiographs, and cannot be shown on few."""
    few, many = (champion(films=films, each=1, seed=3) for films in (300, 12_000))
    verdicts = []
    for old in (few, many):
        new = replace(challenger(old, shifted(old, noise=0.05)), thresholds=(0.282,) * COUNT)
        (found,) = compare_findings("sensitivity", pair_findings(old, new)[2:3], clinical)
        assert found.advantage is not None
        assert -0.05 < found.advantage < 0
        verdicts.append(found.verdict)
    assert verdicts == ["cannot be shown", "passed"]


def test_sensitivity_for_pneumothorax_has_the_narrower_margin(clinical: GateProtocol) -> None:
    """A loss of four points is allowed elsewhere, and not there."""
    old = champion(films=8000, each=1, seed=3)
    new = replace(challenger(old, shifted(old)), thresholds=(0.303,) * COUNT)
    decision = decide(clinical, old, new, PROVENANCE)
    assert _of(decision, "sensitivity", "Pneumothorax").verdict == "failed"
    assert _of(decision, "sensitivity", "Effusion").verdict == "passed"
    # It passed, and is worse: both are said.
    assert any("Effusion: worse, but shown to be within the margin" in note for note in decision.notes)


def test_too_few_positives_are_neither_passed_nor_forgotten(clinical: GateProtocol) -> None:
    """Thirteen positives: cannot be shown, and therefore refused."""
    old = champion(films=1500, rare=13)
    decision = decide(clinical, old, challenger(old), PROVENANCE)
    found = _of(decision, "auroc", FINDINGS[-1])
    assert (found.verdict, found.positives) == ("cannot be shown", 13)
    assert _of(decision, "sensitivity", FINDINGS[-1]).verdict == "cannot be shown"
    # It has many negatives, so specificity is compared.
    assert _of(decision, "specificity", FINDINGS[-1]).verdict == "passed"
    assert any(
        reason.startswith("auroc, Hernia: cannot be shown: 13 positives") for reason in decision.reasons
    )


def test_an_exempt_finding_goes_unshown_with_its_reason_in_the_record(clinical: GateProtocol) -> None:
    """The exemption is a note, and the champion's other findings are still compared."""
    exempting = clinical.model_copy(update={"exempt": {"Hernia": "seen once a month"}})
    old = champion(films=1500, rare=13)
    decision = decide(exempting, old, challenger(old), PROVENANCE)
    assert not any("Hernia" in reason for reason in decision.reasons)
    assert any("Hernia" in note and "seen once a month" in note for note in decision.notes)


def test_an_exemption_ends_where_there_are_enough_positives(clinical: GateProtocol) -> None:
    """A finding that was exempt because positives are rare is compared once there are enough."""
    exempting = clinical.model_copy(update={"exempt": {"Hernia": "seen once a month"}})
    old = champion(films=600)
    new = challenger(old, shifted(old, noise=1.5))
    assert any("Hernia" in reason for reason in decide(exempting, old, new, PROVENANCE).reasons)


def test_an_exempt_finding_must_not_be_shown_to_be_worse(clinical: GateProtocol) -> None:
    """Thirteen positives suffice to show that a finding is read upside down."""
    exempting = clinical.model_copy(update={"exempt": {"Hernia": "seen once a month"}})
    old = champion(films=1500, rare=13)
    skilled = shifted(old, towards=2.0)
    old = replace(old, scored=replace(old.scored, probabilities=skilled))
    upside_down = skilled.copy()
    upside_down[:, -1] = 1 - upside_down[:, -1]
    decision = decide(exempting, old, challenger(old, upside_down), PROVENANCE)
    assert _of(decision, "auroc", "Hernia").verdict == "failed"
    assert any(reason.startswith("auroc, Hernia: failed") for reason in decision.reasons)


def test_overconfidence_is_refused(clinical: GateProtocol) -> None:
    """The same order at twice the logits: AUROC and calls are the same, slope and Brier score are not."""
    old = champion(films=4000)
    new = replace(
        challenger(old, shifted(old, scale=2.0)),
        thresholds=(float(1 / (1 + (0.73 / 0.27) ** 2)),) * COUNT,
    )
    decision = decide(clinical, old, new, PROVENANCE)
    assert {c.name for c in decision.criteria if c.verdict == "failed"} == {"calibration slope", "brier"}
    assert _of(decision, "calibration slope", "Mass").challenger == pytest.approx(0.5, abs=0.05)


def test_a_subgroup_that_falls_behind_is_seen(clinical: GateProtocol) -> None:
    """A challenger that reads women worse and men better keeps its AUROC, and is refused."""
    old = champion(films=4000)
    blurred, sharpened = shifted(old, noise=1.2), shifted(old, towards=0.3)
    women = (old.scored.sexes == "F")[:, None]
    decision = decide(clinical, old, challenger(old, np.where(women, blurred, sharpened)), PROVENANCE)
    gaps = [c for c in decision.criteria if c.subgroup == "sex F"]
    assert {c.verdict for c in gaps} == {"failed"}
    assert len(gaps) == COUNT
    assert {c.verdict for c in decision.criteria if c.subgroup == "sex M"} == {"passed"}
    assert all(c.high is not None and c.high < 0 for c in gaps)


def test_a_subgroup_with_few_positives_is_not_compared(small: GateProtocol) -> None:
    """With a hundred radiographs no subgroup has fifty positives, and the record says so."""
    old = champion(films=100)
    decision = decide(small, old, challenger(old), PROVENANCE)
    assert not any(c.name == "subgroup gap" for c in decision.criteria)
    assert any("no subgroup has 50 positives" in note for note in decision.notes)


def test_a_challenger_that_gives_nan_is_refused(clinical: GateProtocol) -> None:
    """One NaN on one radiograph is enough, and nothing is computed from it."""
    old = champion(films=100)
    spoilt = shifted(old)
    spoilt[3, 7] = np.nan
    decision = decide(clinical, old, challenger(old, spoilt), PROVENANCE)
    assert decision.verdict == "refused"
    assert decision.reasons == ("the challenger gives NaN or infinity on 1 of 100 radiographs",)
    assert decision.criteria == ()


def test_what_cannot_be_compared_is_refused_in_words(clinical: GateProtocol) -> None:
    """Other findings, preprocessing or input size; other, reordered or relabelled radiographs."""
    old = champion(films=100)
    new = challenger(old, shifted(old))
    scored = new.scored
    backwards = np.arange(100)[::-1]
    relabelled = scored.labels.copy()
    relabelled[0, 0] = 1 - relabelled[0, 0]
    cases = {
        "other findings: Hernia": replace(new, findings=FINDINGS[:-1]),
        "another order": replace(new, findings=FINDINGS[::-1]),
        "preprocessing version 99": replace(new, preprocessing_version="99"),
        "512 x 512 x 1": replace(new, input_shape=(512, 512, 1)),
        "same radiographs": replace(new, scored=scored.rows(np.arange(99))),
        "stand in another order": replace(new, scored=scored.rows(backwards)),
        "other labels": replace(new, scored=replace(scored, labels=relabelled)),
        "described differently": replace(new, scored=replace(scored, sexes=scored.sexes[::-1])),
        "the shape 100 x 13": replace(new, scored=replace(scored, probabilities=scored.probabilities[:, 1:])),
        "outside [0, 1]": replace(new, scored=replace(scored, probabilities=scored.probabilities + 1)),
        "no threshold for each": replace(new, thresholds=(0.5,)),
    }
    for words, side in cases.items():
        decision = decide(clinical, old, side, PROVENANCE)
        assert decision.verdict == "refused", words
        assert any(words in reason for reason in decision.reasons), (words, decision.reasons)


def test_a_radiograph_twice_is_no_sealed_set(clinical: GateProtocol) -> None:
    """It would count twice."""
    old = champion(films=100)
    twice = replace(old, scored=old.scored.rows(np.array([0, *range(99)])))
    assert decide(clinical, twice, challenger(twice), PROVENANCE).reasons == ("a radiograph occurs twice",)


def test_no_radiographs_promote_nobody(clinical: GateProtocol) -> None:
    """An empty test set is refused and not passed for want of objections."""
    empty = replace(champion(films=10), scored=champion(films=10).scored.rows(np.arange(0)))
    assert decide(clinical, empty, challenger(empty), PROVENANCE).reasons == ("there are no radiographs",)


def test_an_unknown_patient_is_a_patient_of_its_own(small: GateProtocol) -> None:
    """A set without patients is not taken for one patient with all films."""
    old = champion(films=100)
    unknown = replace(old, scored=replace(old.scored, patients=np.repeat("", 100)))
    assert decide(small, unknown, challenger(unknown), PROVENANCE).patients == 100


@settings(max_examples=8)
@given(seed=st.integers(0, 1000), noise=st.floats(0, 2), films=st.integers(2, 60), unknown=st.floats(0, 1))
def test_any_radiographs_get_a_decision(seed: int, noise: float, films: int, unknown: float) -> None:
    """However few, one-sided or unlabelled they are: no exception, no NaN, and nothing promoted unshown."""
    protocol = read_protocol(CLINICAL_PROTOCOL)
    old = champion(films=films, each=3, seed=seed)
    hidden = np.random.default_rng(seed).random(old.scored.labels.shape) < unknown
    labels = np.where(hidden, np.nan, old.scored.labels)
    old = replace(old, scored=replace(old.scored, labels=labels))
    decision = decide(protocol, old, challenger(old, shifted(old, noise=noise)), PROVENANCE)
    assert decision.verdict == "refused"
    assert Decision.model_validate_json(canonical_json(decision)) == decision


def test_holm_makes_no_accusation_out_of_fourteen_chances(clinical: GateProtocol) -> None:
    """Fourteen findings that differ by chance only: hardly ever is one shown to be worse."""
    accused = 0
    for seed in range(20):
        old = champion(films=400, each=1, seed=seed)
        rng = np.random.default_rng(seed + 1000)
        both = [old.scored.probabilities.clip(1e-6, 1 - 1e-6) for _ in range(2)]
        one, other = (1 / (1 + (1 / p - 1) * np.exp(rng.normal(0, 0.8, p.shape))) for p in both)
        sides = [replace(old, scored=replace(old.scored, probabilities=p)) for p in (one, other)]
        found = compare_findings("auroc", pair_findings(*sides), clinical)
        claims = [criterion.claims for criterion in found if criterion.claims]
        assert len(claims) == COUNT
        accused += any(claim.worse <= 0.05 for claim in claims)
    assert accused <= 3
