"""Evaluate a bundle on a sealed split, and write the files of the report."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.evaluation.evaluate import evaluate
from pipelines.evaluation.evaluation import EvaluationProtocol
from pipelines.evaluation.evaluation_data import EvaluationData, RadiographsWithBoxes, Tensors
from pipelines.evaluation.localisation import evaluate_localisation
from pipelines.evaluation.refusals import (
    TEST_SPLIT,
    FlaggedImages,
    RefusalEvaluation,
    evaluate_flags,
    evaluate_refusals,
)
from pipelines.evaluation.report import Dataset, EvaluationReport, LocalisationReport, Subject
from pipelines.evaluation.scored_radiographs import ScoredRadiographs
from pipelines.evaluation.scoring import BundleOutputs, join_labels, run_bundle
from pipelines.evaluation.subgroup_gaps import evaluate_subgroups
from pipelines.reports.evaluation import CARD_FILE, FIGURES_FILE, REPORT_FILE, html_evaluation_report
from pipelines.reports.model_card import model_card
from pleura.bundle import CheckedKind, verify


@dataclass(frozen=True, eq=False)
class KindOutputs:
    """The outputs of a bundle for chest films by source, and for other images by kind."""

    films: Mapping[str, BundleOutputs]
    unlike: Mapping[str, BundleOutputs]


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
    outputs = run_bundle(bundle, data.tensors)
    scored = join_labels(data.records, outputs)
    return EvaluationReport(
        subject=Subject.of(description, digest, dataset, code_version),
        evaluation=evaluate(scored, description.thresholds, protocol),
        subgroups=evaluate_subgroups(scored, description.thresholds, protocol),
        refusals=_refusals(data, run_kinds(bundle, data, outputs), scored, protocol),
        localisation=tuple(_localise(bundle, boxed, protocol) for boxed in data.boxed),
    )


def run_kinds(bundle: Path, data: EvaluationData, known: BundleOutputs) -> KindOutputs:
    """Run a bundle on all kinds of images of an evaluation; ``known`` are its outputs for the test split."""

    def run(kinds: Mapping[str, Tensors]) -> dict[str, BundleOutputs]:
        return {kind: run_bundle(bundle, tensors) for kind, tensors in kinds.items() if len(tensors)}

    return KindOutputs({TEST_SPLIT: known, **run(data.others)}, run(data.unlike))


def check_kinds(data: EvaluationData, kinds: KindOutputs) -> tuple[CheckedKind, ...]:
    """Count what the input check refuses of each kind of image."""
    flagged = [*_flag_kinds(data, kinds.films, True), *_flag_kinds(data, kinds.unlike, False)]
    return tuple(evaluate_flags(images) for images in flagged)


def _flag_kinds(
    data: EvaluationData, kinds: Mapping[str, BundleOutputs], is_chest_film: bool
) -> Iterator[FlaggedImages]:
    for kind, outputs in kinds.items():
        each_its_own = np.arange(len(outputs.input_flags)).astype(str)
        patients = data.patients_of.get(kind, each_its_own)
        yield FlaggedImages(kind, is_chest_film, outputs.input_flags, patients)


def _refusals(
    data: EvaluationData, kinds: KindOutputs, scored: ScoredRadiographs, protocol: EvaluationProtocol
) -> RefusalEvaluation:
    evaluation = evaluate_refusals(
        (scored.typicality, scored.patients),
        {kind: each.typicality for kind, each in kinds.films.items() if kind != TEST_SPLIT},
        {kind: each.typicality for kind, each in kinds.unlike.items()},
        protocol,
    )
    if not kinds.films[TEST_SPLIT].has_input_check:
        return evaluation
    return evaluation.model_copy(update={"checked": check_kinds(data, kinds)})


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
