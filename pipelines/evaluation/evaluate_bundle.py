"""Evaluate a bundle on a sealed split, and write the files of the report."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.evaluate import evaluate
from pipelines.evaluation.evaluation import EvaluationProtocol
from pipelines.evaluation.evaluation_data import EvaluationData, RadiographsWithBoxes, Tensors
from pipelines.evaluation.localisation import evaluate_localisation
from pipelines.evaluation.refusals import RefusalEvaluation, evaluate_refusals
from pipelines.evaluation.report import Dataset, EvaluationReport, LocalisationReport, Subject
from pipelines.evaluation.scored_radiographs import ScoredRadiographs
from pipelines.evaluation.scoring import run_bundle, score_radiographs
from pipelines.evaluation.subgroup_gaps import evaluate_subgroups
from pipelines.reports.evaluation import CARD_FILE, FIGURES_FILE, REPORT_FILE, html_evaluation_report
from pipelines.reports.model_card import model_card
from pleura.bundle import verify


def evaluate_bundle(
    bundle: Path,
    data: EvaluationData,
    dataset: Dataset,
    code_version: str,
    protocol: EvaluationProtocol | None = None,
) -> EvaluationReport:
    """Evaluate a sealed bundle through the engine that serves it.

    Raises:
        InvalidBundle: The folder is not a sealed bundle.
        UnusableOutputs: An output is NaN, infinite, or not a probability.
        ValueError: There is no radiograph to evaluate on.
    """
    protocol = protocol or EvaluationProtocol()
    description, digest = verify(bundle)
    # Through the serving engine: what is evaluated must be what is served.
    scored, _ = score_radiographs(bundle, data.records, data.tensors)
    return EvaluationReport(
        subject=Subject.of(description, digest, dataset, code_version),
        evaluation=evaluate(scored, description.thresholds, protocol),
        subgroups=evaluate_subgroups(scored, description.thresholds, protocol),
        refusals=_refusals(bundle, data, scored, protocol),
        localisation=tuple(_localise(bundle, boxed, protocol) for boxed in data.boxed),
    )


def _refusals(
    bundle: Path, data: EvaluationData, scored: ScoredRadiographs, protocol: EvaluationProtocol
) -> RefusalEvaluation:
    def typicality(kinds: Mapping[str, Tensors]) -> dict[str, NDArray[np.floating]]:
        return {
            kind: run_bundle(bundle, tensors).typicality for kind, tensors in kinds.items() if len(tensors)
        }

    known = (scored.typicality, scored.patients)
    return evaluate_refusals(known, typicality(data.others), typicality(data.unlike), protocol)


def _localise(bundle: Path, boxed: RadiographsWithBoxes, protocol: EvaluationProtocol) -> LocalisationReport:
    maps = run_bundle(bundle, boxed.tensors).activation_maps
    return LocalisationReport(
        radiographs=boxed.name,
        findings=evaluate_localisation(maps, boxed.patients, boxed.boxes, protocol),
    )


def write_report_files(report: EvaluationReport, bundle: Path, folder: Path) -> None:
    """Write ``report.html``, ``figures.json`` and ``MODEL_CARD.md`` into a folder."""
    description, _ = verify(bundle)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / REPORT_FILE).write_text(html_evaluation_report(report), encoding="utf-8")
    (folder / FIGURES_FILE).write_bytes(report.to_json())
    (folder / CARD_FILE).write_text(model_card(description, report), encoding="utf-8")
