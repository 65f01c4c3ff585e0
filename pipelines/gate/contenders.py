"""The two models that the gate compares, and the checks that they can be compared."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.scored_radiographs import ScoredRadiographs
from pipelines.gate.decision import ModelIdentity
from pipelines.statistics.paired import number_groups
from pleura.bundle import ModelDescription


@dataclass(frozen=True)
class Contender:
    """A model as it is served, with its scores on the sealed radiographs.

    ``input_shape`` is its input for one radiograph: (rows, columns, channels).
    """

    identity: ModelIdentity
    findings: tuple[str, ...]
    thresholds: tuple[float, ...]
    preprocessing_version: str
    input_shape: tuple[int, ...]
    scored: ScoredRadiographs

    @classmethod
    def of(
        cls,
        description: ModelDescription,
        digest: str,
        input_shape: tuple[int, ...],
        scored: ScoredRadiographs,
    ) -> "Contender":
        """Make a contender from the description in a bundle."""
        return cls(
            identity=ModelIdentity(version=description.version, digest=digest),
            findings=tuple(finding.name for finding in description.findings),
            thresholds=description.thresholds,
            preprocessing_version=description.preprocessing_version,
            input_shape=input_shape,
            scored=scored,
        )


def find_incompatibilities(champion: Contender, challenger: Contender) -> tuple[str, ...]:
    """List the reasons that forbid a paired comparison; the list is empty if there is none."""
    # If findings or radiographs differ, every further reason would follow from that one.
    return (
        tuple(_model_differences(champion, challenger))
        or tuple(_radiograph_differences(champion.scored, challenger.scored))
        or tuple(_unusable_scores(("champion", champion), ("challenger", challenger)))
    )


def _model_differences(champion: Contender, challenger: Contender) -> Iterator[str]:
    if champion.findings != challenger.findings:
        different = sorted(set(champion.findings) ^ set(challenger.findings))
        yield f"the models read other findings: {', '.join(different) or 'the same in another order'}"
    if champion.preprocessing_version != challenger.preprocessing_version:
        yield (
            f"the challenger takes preprocessing version {challenger.preprocessing_version}, "
            f"the champion {champion.preprocessing_version}"
        )
    if champion.input_shape != challenger.input_shape:
        yield (
            f"the challenger takes radiographs of {_shape(challenger.input_shape)}, "
            f"the champion of {_shape(champion.input_shape)}"
        )


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _radiograph_differences(old: ScoredRadiographs, new: ScoredRadiographs) -> Iterator[str]:
    if not len(old):
        yield "there are no radiographs"
    elif len(old) != len(new) or set(old.digests.tolist()) != set(new.digests.tolist()):
        yield "the models were not run on the same radiographs"
    elif not np.array_equal(old.digests, new.digests):
        yield "the radiographs stand in another order"
    elif len(set(old.digests.tolist())) < len(old):
        yield "a radiograph occurs twice"
    elif not np.array_equal(old.labels, new.labels, equal_nan=True):
        yield "the models were compared with other labels"
    elif not _agree_on_patients(old, new):
        yield "the radiographs are described differently"


def _agree_on_patients(old: ScoredRadiographs, new: ScoredRadiographs) -> bool:
    same = [
        np.array_equal(getattr(old, name), getattr(new, name))
        for name in ("patients", "sources", "views", "sexes")
    ]
    return all(same) and np.array_equal(old.ages, new.ages, equal_nan=True)


def _unusable_scores(*sides: tuple[str, Contender]) -> Iterator[str]:
    for name, side in sides:
        probabilities, labels = side.scored.probabilities, side.scored.labels
        expected = (len(side.scored), len(side.findings))
        if probabilities.shape != expected or labels.shape != expected:
            yield f"the {name}'s probabilities have the shape {_shape(probabilities.shape)}"
        elif not np.isfinite(probabilities).all():
            unusable = int((~np.isfinite(probabilities)).any(axis=1).sum())
            yield f"the {name} gives NaN or infinity on {unusable} of {len(side.scored)} radiographs"
        elif probabilities.min() < 0 or probabilities.max() > 1:
            yield f"the {name} gives a value outside [0, 1]"
        if len(side.thresholds) != len(side.findings) or not all(0 <= t <= 1 for t in side.thresholds):
            yield f"the {name} has no threshold for each finding"


def number_patients(scored: ScoredRadiographs) -> NDArray[np.intp]:
    """Number the patient of each radiograph; a radiograph of an unknown patient gets a number of its own."""
    return number_groups(np.where(scored.patients == "", scored.digests, scored.patients))


def radiographs_digest(scored: ScoredRadiographs) -> str:
    """Compute the SHA-256, in hex, of the radiographs' digests in their order."""
    return hashlib.sha256("\n".join(scored.digests.tolist()).encode()).hexdigest()


def scores_digest(champion: ScoredRadiographs, challenger: ScoredRadiographs) -> str:
    """Compute the SHA-256, in hex, of all scores, labels and attributes of the radiographs."""
    hashed = hashlib.sha256()
    for side in (champion, challenger):
        for numbers in (side.probabilities, side.labels, side.ages):
            # With a fixed byte order, so that all machines compute the same digest.
            hashed.update(np.ascontiguousarray(numbers, "<f8").tobytes())
        for words in (side.patients, side.sources, side.views, side.sexes):
            hashed.update("\n".join(words.tolist()).encode())
    return hashed.hexdigest()
