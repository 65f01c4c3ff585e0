"""Scored radiographs for tests of evaluations, and an evaluation report made of them."""

import numpy as np
from scipy.special import expit

from pipelines.evaluation.evaluate import evaluate
from pipelines.evaluation.evaluation import EvaluationProtocol
from pipelines.evaluation.localisation import LocalisationBox, evaluate_localisation
from pipelines.evaluation.refusals import FlaggedImages, evaluate_flags, evaluate_refusals
from pipelines.evaluation.report import Dataset, EvaluationReport, LocalisationReport, Subject
from pipelines.evaluation.scored_radiographs import ScoredRadiographs
from pipelines.evaluation.subgroup_gaps import evaluate_subgroups
from pleura.bundle import CheckedKind
from pleura.findings import FINDINGS
from proof.lab.bundles import build_description

QUICK = EvaluationProtocol(draws=200)
THRESHOLDS = build_description().thresholds
DATASET = Dataset(name="synthetic", digest="d" * 64, split="test", made_from=("drawn <at> random",))


def calibrated(n: int = 300, seed: int = 0) -> ScoredRadiographs:
    """Radiographs, two a patient, whose labels are drawn from the model's own probabilities."""
    rng = np.random.default_rng(seed)
    probabilities = expit(rng.normal(-0.5, 1.5, (n, len(FINDINGS)))).astype(np.float32)
    return ScoredRadiographs(
        probabilities=probabilities,
        labels=(rng.random(probabilities.shape) < probabilities).astype(float),
        typicality=rng.random(n),
        digests=np.array([f"{number:064x}" for number in rng.permutation(n)]),
        patients=np.array([f"patient-{row // 2}" for row in range(n)]),
        sources=np.full(n, "here"),
        views=np.where(np.arange(n) % 3 == 0, "AP", "PA"),
        sexes=np.where(np.arange(n) % 2 == 0, "F", "M"),
        ages=rng.uniform(20, 90, n),
    )


def _check_flags(scored: ScoredRadiographs) -> tuple[CheckedKind, ...]:
    flags = np.zeros((len(scored), 4), np.bool_)
    flags[:3, 0], flags[:9, 3] = True, True
    turned = np.tile([False, True, False, False], (40, 1))
    return (
        evaluate_flags(FlaggedImages("test split", True, flags, scored.patients)),
        evaluate_flags(FlaggedImages("upside down", False, turned, scored.patients[:40])),
    )


def make_report(
    seed: int = 0, model_digest: str = "a" * 64, scored: ScoredRadiographs | None = None
) -> EvaluationReport:
    """Make a complete evaluation report of synthetic radiographs."""
    scored = calibrated(seed=seed) if scored is None else scored
    maps = np.random.default_rng(seed).normal(size=(len(scored), len(FINDINGS), 7, 7))
    boxes = [LocalisationBox(row, "Mass", 0.1, 0.2, 0.4, 0.3) for row in range(12)]
    known = scored.typicality, scored.patients
    return EvaluationReport(
        subject=Subject.of(build_description(), model_digest, DATASET, "0" * 40),
        evaluation=evaluate(scored, THRESHOLDS, QUICK),
        subgroups=evaluate_subgroups(scored, THRESHOLDS, QUICK),
        refusals=evaluate_refusals(known, {}, {"upside down": scored.typicality[:40] / 50}, QUICK).model_copy(
            update={"checked": _check_flags(scored)}
        ),
        localisation=(
            LocalisationReport(
                radiographs="Test split", findings=evaluate_localisation(maps, scored.patients, boxes, QUICK)
            ),
        ),
    )
