"""From a bundle and the radiographs of a sealed split to the dossier, and to the files that people read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.data.manifest import Record
from pipelines.judgement.dossier import Dataset, Dossier, LocalisedOn, Subject
from pipelines.judgement.judge import Protocol, judge
from pipelines.judgement.localisation import Box, judge_localisation
from pipelines.judgement.refusal_figures import RefusalFigures, judge_refusals
from pipelines.judgement.report import CARD_FILE, FIGURES_FILE, REPORT_FILE, html_report
from pipelines.judgement.scored import Scored
from pipelines.judgement.scoring import ask, score
from pipelines.judgement.subgroups import judge_subgroups
from pipelines.model.card import model_card
from pleura.bundle import verify

Tensors = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Boxed:
    """Radiographs on which radiologists drew boxes; ``words`` says which radiographs these are."""

    words: str
    tensors: Tensors
    patients: NDArray[np.str_]
    boxes: tuple[Box, ...]


@dataclass(frozen=True, eq=False)
class Material:
    """What a model is judged on; all tensors are uint8 (N, 224, 224).

    ``records`` and ``tensors`` are the sealed split, in one order. ``others`` are chest radiographs from
    elsewhere that should be answered, ``unlike`` what should be refused, both by kind.
    """

    records: tuple[Record, ...]
    tensors: Tensors
    boxed: tuple[Boxed, ...] = ()
    others: Mapping[str, Tensors] = field(default_factory=dict)
    unlike: Mapping[str, Tensors] = field(default_factory=dict)


def boxed(words: str, records: Sequence[Record], tensors: Tensors) -> tuple[Boxed, ...]:
    """Pick the radiographs that have boxes; nothing where none has."""
    rows = [row for row, record in enumerate(records) if record.boxes]
    if not rows:
        return ()
    boxes = tuple(
        Box(at, drawn.finding, drawn.x, drawn.y, drawn.width, drawn.height)
        for at, row in enumerate(rows)
        for drawn in records[row].boxes
    )
    patients = np.array([records[row].patient for row in rows], np.str_)
    return (Boxed(words, tensors[rows], patients, boxes),)


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
