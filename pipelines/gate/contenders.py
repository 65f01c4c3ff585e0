"""Two models before the gate, and whether they can be compared at all."""

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
    """A model, as it is served, with what it says of the sealed radiographs.

    ``input_shape`` is what its graph takes of one radiograph: (rows, columns, channels).
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
        """Take a model's side from its bundle."""
        return cls(
            identity=ModelIdentity(version=description.version, digest=digest),
            findings=tuple(finding.name for finding in description.findings),
            thresholds=description.thresholds,
            preprocessing_version=description.preprocessing_version,
            input_shape=input_shape,
            scored=scored,
        )


def find_incompatibilities(champion: Contender, challenger: Contender) -> tuple[str, ...]:
    """Say in words what forbids a paired comparison; nothing where none does."""
    models = tuple(_unlike_models(champion, challenger))
    # With other findings or radiographs, every further complaint would follow from the first.
    return models or tuple(_unlike_radiographs(champion.scored, challenger.scored)) or tuple(_no_scores(
        ("champion", champion), ("challenger", challenger)
    ))  # fmt: skip


def _unlike_models(champion: Contender, challenger: Contender) -> Iterator[str]:
    if champion.findings != challenger.findings:
        odd = sorted(set(champion.findings) ^ set(challenger.findings))
        yield f"the models read other findings: {', '.join(odd) or 'the same in another order'}"
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


def _unlike_radiographs(old: ScoredRadiographs, new: ScoredRadiographs) -> Iterator[str]:
    if not len(old):
        yield "there are no radiographs"
    elif len(old) != len(new) or set(old.digests.tolist()) != set(new.digests.tolist()):
        yield "the models were not run on the same radiographs"
    elif not np.array_equal(old.digests, new.digests):
        yield "the radiographs stand in another order"
    elif len(set(old.digests.tolist())) < len(old):
        yield "a radiograph occurs twice"
    elif not np.array_equal(old.labels, new.labels, equal_nan=True):
        yield "the models were held against other labels"
    elif not _agree_on_patients(old, new):
        yield "the radiographs are described differently"


def _agree_on_patients(old: ScoredRadiographs, new: ScoredRadiographs) -> bool:
    same = [
        np.array_equal(getattr(old, name), getattr(new, name))
        for name in ("patients", "sources", "views", "sexes")
    ]
    return all(same) and np.array_equal(old.ages, new.ages, equal_nan=True)


def _no_scores(*sides: tuple[str, Contender]) -> Iterator[str]:
    for name, side in sides:
        probabilities, labels = side.scored.probabilities, side.scored.labels
        expected = (len(side.scored), len(side.findings))
        if probabilities.shape != expected or labels.shape != expected:
            yield f"the {name}'s probabilities have the shape {_shape(probabilities.shape)}"
        elif not np.isfinite(probabilities).all():
            spoilt = int((~np.isfinite(probabilities)).any(axis=1).sum())
            yield f"the {name} gives NaN or infinity on {spoilt} of {len(side.scored)} radiographs"
        elif probabilities.min() < 0 or probabilities.max() > 1:
            yield f"the {name} gives what is no probability"
        if len(side.thresholds) != len(side.findings) or not all(0 <= t <= 1 for t in side.thresholds):
            yield f"the {name} has no threshold for each finding"


def number_patients(scored: ScoredRadiographs) -> NDArray[np.intp]:
    """Who each radiograph is of, by number; one of an unknown patient is a patient of its own."""
    return number_groups(np.where(scored.patients == "", scored.digests, scored.patients))


def radiographs_digest(scored: ScoredRadiographs) -> str:
    """SHA-256, in hex, of the radiographs' digests in their order."""
    return hashlib.sha256("\n".join(scored.digests.tolist()).encode()).hexdigest()


def scores_digest(champion: ScoredRadiographs, challenger: ScoredRadiographs) -> str:
    """SHA-256, in hex, of all that was said and is known of the radiographs."""
    hashed = hashlib.sha256()
    for side in (champion, challenger):
        for numbers in (side.probabilities, side.labels, side.ages):
            hashed.update(np.ascontiguousarray(numbers, "<f8").tobytes())
        for words in (side.patients, side.sources, side.views, side.sexes):
            hashed.update("\n".join(words.tolist()).encode())
    return hashed.hexdigest()
