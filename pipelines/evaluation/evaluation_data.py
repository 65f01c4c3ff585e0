"""The data of an evaluation: the sealed split, other chest radiographs, and images to be refused."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import structlog
from numpy.typing import NDArray

from pipelines.data.labelled_radiographs import load_records
from pipelines.data.manifest import Manifest, NonChestImage, Record
from pipelines.data.radiograph_cache import ReadFile
from pipelines.evaluation.drawn_images import FITTED_KINDS, UNSEEN_KINDS, draw_images
from pipelines.evaluation.localisation import LocalisationBox
from pipelines.evaluation.refusals import TEST_SPLIT, alter_radiographs
from pipelines.evaluation.scoring import tensor_of
from pleura.errors import PleuraError

Tensors = NDArray[np.uint8]
_DRAWN: Final = 20
_ALTERED: Final = 60
_SEED: Final = 3
log = structlog.get_logger()


@dataclass(frozen=True, eq=False)
class RadiographsWithBoxes:
    """Radiographs on which radiologists drew boxes; ``name`` names them for a reader."""

    name: str
    tensors: Tensors
    patients: NDArray[np.str_]
    boxes: tuple[LocalisationBox, ...]


@dataclass(frozen=True, eq=False)
class EvaluationData:
    """The data that a model is evaluated on; all tensors are uint8 (N, 224, 224).

    ``records`` and ``tensors`` are the sealed split, in the same order. ``others`` are chest radiographs from
    other sources, which should be answered. ``unlike`` are images that should be refused. Both are by kind.
    ``patients_of`` has the patients of kinds that are radiographs. Other images count as a patient each.
    """

    records: tuple[Record, ...]
    tensors: Tensors
    boxed: tuple[RadiographsWithBoxes, ...] = ()
    others: Mapping[str, Tensors] = field(default_factory=dict)
    unlike: Mapping[str, Tensors] = field(default_factory=dict)
    patients_of: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)


def select_with_boxes(
    name: str, records: Sequence[Record], tensors: Tensors
) -> tuple[RadiographsWithBoxes, ...]:
    """Select the radiographs that have boxes; the result is empty if none has."""
    rows = [row for row, record in enumerate(records) if record.boxes]
    if not rows:
        return ()
    boxes = tuple(
        LocalisationBox(at, drawn.finding, drawn.x, drawn.y, drawn.width, drawn.height)
        for at, row in enumerate(rows)
        for drawn in records[row].boxes
    )
    patients = np.array([records[row].patient for row in rows], np.str_)
    return (RadiographsWithBoxes(name, tensors[rows], patients, boxes),)


def load_evaluation_data(
    manifest: Manifest, main_source: str, read: ReadFile, not_chest: Mapping[str, Tensors] | None = None
) -> EvaluationData:
    """Load the test split of a data set's main source, its other sources, and its images of no chest.

    Args:
        manifest: The data set.
        main_source: The source that the model is evaluated on.
        read: Gives a file of the data set.
        not_chest: Further pictures that should be refused, by kind.

    Raises:
        UnreadableRadiograph: A file of the test split cannot be decoded; the error names its digest.
    """
    tested = manifest.records_of_split("test")
    records = tuple(each for each in tested if each.source == main_source)
    tensors = load_records(records, read).tensors
    elsewhere = defaultdict(list)
    for each in tested:
        if each.source != main_source:
            elsewhere[each.source].append(each)
    others = {source: load_records(found, read) for source, found in sorted(elsewhere.items())}
    altered = alter_radiographs(tensors)
    patients = np.array([each.patient for each in records], np.str_)
    films = [radiographs.select(np.arange(len(radiographs)) < _ALTERED) for radiographs in others.values()]
    elsewhere_altered = _alter_elsewhere([each.tensors for each in films])
    return EvaluationData(
        records,
        tensors,
        select_with_boxes(f"test split of {manifest.name}", records, tensors),
        others={source: radiographs.tensors for source, radiographs in others.items()},
        unlike=altered
        | elsewhere_altered
        | _draw_kinds()
        | _non_chest_tensors(manifest.strangers, read)
        | dict(not_chest or {}),
        patients_of={TEST_SPLIT: patients}
        | {source: radiographs.patients for source, radiographs in others.items()}
        | dict.fromkeys(altered, patients)
        | dict.fromkeys(elsewhere_altered, np.concatenate([each.patients for each in films] or [patients])),
    )


def _draw_kinds() -> dict[str, Tensors]:
    kinds = {"noise and drawings": FITTED_KINDS, "noise and drawings, unseen kinds": UNSEEN_KINDS}
    drawn = {name: draw_images(draw, _DRAWN, _SEED) for name, draw in kinds.items()}
    return {name: np.concatenate(list(images.values())) for name, images in drawn.items()}


def _alter_elsewhere(films: Sequence[Tensors]) -> dict[str, Tensors]:
    if not films:
        return {}
    altered = alter_radiographs(np.concatenate(films))
    return {f"{kind}, other sources": tensors for kind, tensors in altered.items()}


def _non_chest_tensors(images: Sequence[NonChestImage], read: ReadFile) -> dict[str, Tensors]:
    """Load the images of no chest, by kind. An undecodable one is left out: the service refuses it anyway."""
    found: dict[str, list[Tensors]] = defaultdict(list)
    for image in images:
        file = read(image)
        try:
            tensor = tensor_of(file)
        except PleuraError as error:
            log.info("non_chest_image_undecodable", digest=image.sha256[:12], reason=str(error))
        else:
            found[image.kind].append(tensor)
    return {kind: np.stack(tensors) for kind, tensors in sorted(found.items())}
