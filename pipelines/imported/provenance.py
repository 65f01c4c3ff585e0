"""What the bundle of an imported model says of where it comes from."""

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
    "called (threshold 0) and no radiograph is typical. It is a start for training, not a reader."
)
_INTENDED_USE: Final = (
    "Research and engineering: a published network beside the served one, or a start for training. It does "
    "not replace a reading by a radiologist."
)


@dataclass(frozen=True)
class PublishedCheckpoint:
    """A checkpoint file, and what its user says that it is."""

    file: Path
    kind: CheckpointKind
    release: Release
    version: str | None = None


def write_model_text(published: PublishedCheckpoint, sha256: str, further: tuple[str, ...]) -> ModelText:
    """Say what is known of an imported model without looking at its answers, and ``further`` limitations."""
    kind, release = published.kind, published.release
    return ModelText(
        name="chest-xray",
        version=published.version or f"{kind.name}-{sha256[:12]}",
        intended_use=_INTENDED_USE,
        limitations=(
            "Not a medical device; not for clinical use, neither alone nor as a second reader.",
            "Imported, not trained here: how it was trained is for its publishers to say, and their licence "
            "and those of their data hold.",
            f"Trained on other preprocessing than it is given: {kind.preprocessing}. Here a radiograph is "
            "squashed to 224x224 and its contrast stretched "
            f"(preprocessing version {PREPROCESSING_VERSION}).",
            *further,
        ),
        training_data=(f"As published: {release.data}.",),
    )


def describe_origin(published: PublishedCheckpoint, sha256: str) -> Origin:
    """Record which file the weights come from, and what they were trained to be given."""
    kind = published.kind
    return Origin(
        kind=kind.name,
        file_sha256=sha256,
        outputs=published.release.outputs,
        preprocessing=kind.preprocessing,
        scale=kind.normalisation.scale,
        offset=kind.normalisation.offset,
    )


def find_leakage(published: PublishedCheckpoint, sources: NDArray[np.str_]) -> tuple[str, ...]:
    """Warn where a model is judged on radiographs that it has probably learnt from.

    Args:
        published: The checkpoint.
        sources: Where the radiographs come from that it is fitted and judged on.
    """
    judged_on_nih = any("nih" in source.casefold() for source in np.unique(sources))
    if not (published.release.has_seen_nih and judged_on_nih):
        return ()
    return (
        "LEAKAGE: trained on NIH ChestX-ray14, fitted and judged on radiographs of it, so it has probably "
        "seen them, held-out ones included. Its figures flatter it, its calibration and operating points are "
        "too confident; do not compare them with those of a model that has not seen them.",
    )
