"""What a model is judged on: the sealed split, what else should be answered, and what should be refused."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import structlog
from numpy.typing import NDArray

from pipelines.data.labelled_radiographs import load_records
from pipelines.data.manifest import Manifest, NonChestImage, Record
from pipelines.data.radiograph_cache import ReadFile
from pipelines.evaluation.localisation import LocalisationBox
from pipelines.evaluation.refusals import alter_radiographs
from pipelines.evaluation.scoring import tensor_of
from pleura.errors import PleuraError

Tensors = NDArray[np.uint8]
log = structlog.get_logger()


@dataclass(frozen=True, eq=False)
class RadiographsWithBoxes:
    """Radiographs on which radiologists drew boxes; ``words`` says which radiographs these are."""

    words: str
    tensors: Tensors
    patients: NDArray[np.str_]
    boxes: tuple[LocalisationBox, ...]


@dataclass(frozen=True, eq=False)
class EvaluationData:
    """What a model is judged on; all tensors are uint8 (N, 224, 224).

    ``records`` and ``tensors`` are the sealed split, in one order. ``others`` are chest radiographs from
    elsewhere that should be answered, ``unlike`` what should be refused, both by kind.
    """

    records: tuple[Record, ...]
    tensors: Tensors
    boxed: tuple[RadiographsWithBoxes, ...] = ()
    others: Mapping[str, Tensors] = field(default_factory=dict)
    unlike: Mapping[str, Tensors] = field(default_factory=dict)


def select_with_boxes(
    words: str, records: Sequence[Record], tensors: Tensors
) -> tuple[RadiographsWithBoxes, ...]:
    """Pick the radiographs that have boxes; nothing where none has."""
    rows = [row for row, record in enumerate(records) if record.boxes]
    if not rows:
        return ()
    boxes = tuple(
        LocalisationBox(at, drawn.finding, drawn.x, drawn.y, drawn.width, drawn.height)
        for at, row in enumerate(rows)
        for drawn in records[row].boxes
    )
    patients = np.array([records[row].patient for row in rows], np.str_)
    return (RadiographsWithBoxes(words, tensors[rows], patients, boxes),)


def load_evaluation_data(manifest: Manifest, main_source: str, read: ReadFile) -> EvaluationData:
    """Gather what a data set has to judge a model of its main source on: its test split, and its strangers.

    Raises:
        UnreadableRadiograph: A file of the test split is no radiograph; it is named by its digest.
    """
    tested = manifest.records_of_split("test")
    records = tuple(each for each in tested if each.source == main_source)
    tensors = load_records(records, read).tensors
    elsewhere = defaultdict(list)
    for each in tested:
        if each.source != main_source:
            elsewhere[each.source].append(each)
    return EvaluationData(
        records,
        tensors,
        select_with_boxes(f"test split of {manifest.name}", records, tensors),
        others={source: load_records(found, read).tensors for source, found in sorted(elsewhere.items())},
        unlike=alter_radiographs(tensors) | _unlike(manifest.strangers, read),
    )


def _unlike(strangers: Sequence[NonChestImage], read: ReadFile) -> dict[str, Tensors]:
    """What is no chest, by kind; what cannot even be decoded is refused before a model is asked."""
    found: dict[str, list[Tensors]] = defaultdict(list)
    for stranger in strangers:
        file = read(stranger)
        try:
            tensor = tensor_of(file)
        except PleuraError as error:
            log.info("non_chest_image_undecodable", digest=stranger.sha256[:12], reason=str(error))
        else:
            found[stranger.kind].append(tensor)
    return {kind: np.stack(tensors) for kind, tensors in sorted(found.items())}
