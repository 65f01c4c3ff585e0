"""From a bundle and the radiographs of a sealed split to the dossier, and to the files that people read."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.dossier import Dataset, Dossier, LocalisedOn, Subject
from pipelines.evaluation.evaluate import Protocol, judge
from pipelines.evaluation.localisation import judge_localisation
from pipelines.evaluation.material import Boxed, Material, Tensors
from pipelines.evaluation.refusals import RefusalFigures, judge_refusals
from pipelines.evaluation.scored import Scored
from pipelines.evaluation.scoring import ask, score
from pipelines.evaluation.subgroups import judge_subgroups
from pipelines.reports.evaluation import CARD_FILE, FIGURES_FILE, REPORT_FILE, html_report
from pipelines.reports.model_card import model_card
from pleura.bundle import verify


def judge_bundle(
    bundle: Path, material: Material, dataset: Dataset, code_version: str, protocol: Protocol | None = None
) -> Dossier:
    """Judge a sealed bundle through the engine that serves it.

    Raises:
        InvalidBundle: The folder is no sealed bundle.
        UnusableAnswers: An answer is NaN, infinite, or no probability.
        ValueError: There is nothing to judge on.
    """
    protocol = protocol or Protocol()
    description, digest = verify(bundle)
    scored, _ = score(bundle, material.records, material.tensors)
    return Dossier(
        subject=Subject.of(description, digest, dataset, code_version),
        judgement=judge(scored, description.thresholds, protocol),
        subgroups=judge_subgroups(scored, description.thresholds, protocol),
        refusals=_refusals(bundle, material, scored, protocol),
        localisation=tuple(_localised(bundle, boxed, protocol) for boxed in material.boxed),
    )


def _refusals(bundle: Path, material: Material, scored: Scored, protocol: Protocol) -> RefusalFigures:
    def typicality(kinds: Mapping[str, Tensors]) -> dict[str, NDArray[np.floating]]:
        return {kind: ask(bundle, tensors).typicality for kind, tensors in kinds.items() if len(tensors)}

    known = (scored.typicality, scored.patients)
    return judge_refusals(known, typicality(material.others), typicality(material.unlike), protocol)


def _localised(bundle: Path, boxed: Boxed, protocol: Protocol) -> LocalisedOn:
    maps = ask(bundle, boxed.tensors).activation_maps
    return LocalisedOn(
        radiographs=boxed.words,
        findings=judge_localisation(maps, boxed.patients, boxed.boxes, protocol),
    )


def write_files(dossier: Dossier, bundle: Path, folder: Path) -> None:
    """Write ``report.html``, ``figures.json`` and ``MODEL_CARD.md`` into a folder."""
    description, _ = verify(bundle)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / REPORT_FILE).write_text(html_report(dossier), encoding="utf-8")
    (folder / FIGURES_FILE).write_bytes(dossier.to_json())
    (folder / CARD_FILE).write_text(model_card(description, dossier), encoding="utf-8")
