"""From a bundle and the radiographs of a sealed split to the dossier, and to the files that people read."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

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
_NIH_SIDE_PX: Final = 1024


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


def read_nih_boxes(path: Path, stems: Sequence[str]) -> tuple[Box, ...]:
    """Read the boxes of NIH radiographs from a CSV file.

    Args:
        path: Columns ``path``, ``finding`` and ``x1024``, ``y1024``, ``w1024``, ``h1024``, in pixels of the
            original frame of 1024 by 1024.
        stems: File name without its ending of each radiograph, in the order of rows; others are passed over.
    """
    rows = {stem: row for row, stem in enumerate(stems)}
    with path.open(newline="") as file:
        lines = [line for line in csv.DictReader(file) if Path(line["path"]).stem in rows]
    sides = ("x1024", "y1024", "w1024", "h1024")
    return tuple(
        Box(
            rows[Path(line["path"]).stem],
            line["finding"],
            *(float(line[side]) / _NIH_SIDE_PX for side in sides),
        )
        for line in lines
    )


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
