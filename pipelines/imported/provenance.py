"""The text and the origin that the bundle of an imported model contains."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.description import ModelText
from pipelines.imported.kinds import CheckpointKind, Release
from pleura.bundle import Origin
from pleura.contract import PREPROCESSING_VERSION

NOT_CALIBRATED: Final = (
    "NOT CALIBRATED: its probabilities are the network's raw scores, every finding of every radiograph is "
    "called (threshold 0) and no radiograph is typical. Use it to start a training, not to read radiographs."
)
_INTENDED_USE: Final = (
    "Research and engineering: to compare a published network with the served one, or to start a training. "
    "It does not replace a reading by a radiologist."
)


@dataclass(frozen=True)
class PublishedCheckpoint:
    """A checkpoint file with its kind and release, as the user says."""

    file: Path
    kind: CheckpointKind
    release: Release
    version: str | None = None


def write_model_text(publication: PublishedCheckpoint, sha256: str, further: tuple[str, ...]) -> ModelText:
    """Write what is known about an imported model before any evaluation, and ``further`` limitations."""
    kind, release = publication.kind, publication.release
    return ModelText(
        name="chest-xray",
        version=publication.version or f"{kind.name}-{sha256[:12]}",
        intended_use=_INTENDED_USE,
        limitations=(
            "Not a medical device; not for clinical use, neither alone nor as a second reader.",
            "Imported, not trained here: only its publishers know how it was trained. Their licence and the "
            "licences of their data apply.",
            f"Trained with another preprocessing: {kind.preprocessing}. Here a radiograph is "
            "squashed to 224x224 and its contrast stretched "
            f"(preprocessing version {PREPROCESSING_VERSION}).",
            *further,
        ),
        training_data=(f"As published: {release.data}.",),
    )


def describe_origin(publication: PublishedCheckpoint, sha256: str) -> Origin:
    """Record the file of the weights, and the preprocessing that they were trained with."""
    kind = publication.kind
    return Origin(
        kind=kind.name,
        file_sha256=sha256,
        outputs=publication.release.outputs,
        preprocessing=kind.preprocessing,
        scale=kind.normalisation.scale,
        offset=kind.normalisation.offset,
    )


def find_leakage(publication: PublishedCheckpoint, sources: NDArray[np.str_]) -> tuple[str, ...]:
    """Warn if a model is evaluated on radiographs that it was probably trained on.

    Args:
        publication: The checkpoint.
        sources: The sources of the radiographs for fitting and evaluation.
    """
    judged_on_nih = any("nih" in source.casefold() for source in np.unique(sources))
    if not (publication.release.has_seen_nih and judged_on_nih):
        return ()
    return (
        "LEAKAGE: trained on NIH ChestX-ray14, and fitted and evaluated on radiographs of it. It has "
        "probably seen them, the test split included. Its figures are too good, and its calibration and "
        "operating points too confident. Do not compare them with those of a model that has not seen them.",
    )
