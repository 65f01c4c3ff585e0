"""Do input check and typicality tell chest radiographs from images that the model should not read?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from statsmodels.stats.proportion import proportion_confint  # type: ignore[import-untyped]

from pipelines.evaluation.evaluation import EvaluationProtocol
from pipelines.statistics.bootstrap import (
    Bootstrap,
    IntervalEstimate,
    aurocs,
    estimate_interval,
    observed_statistic,
    round_stable,
)
from pipelines.statistics.patient_share import share_by_patient
from pipelines.value import Value
from pleura.bundle import CheckedKind, Interval
from pleura.contract import INPUT_FLAGS

Floats = NDArray[np.floating]
Tensors = NDArray[np.uint8]
# docs/decisions/0039: typicality does not see a mirrored radiograph, and the report says so.
MIRRORED: Final = "mirrored"
TEST_SPLIT: Final = "test split"
_FEWEST: Final = 10
_REFUSING: Final = [number for number, flag in enumerate(INPUT_FLAGS) if flag != "untypical"]


class RefusalRate(Value):
    """A share of images, ``count`` of ``of``, with its 95 % interval (Wilson)."""

    count: int
    of: int
    value: float
    low: float
    high: float


class RateAtThreshold(Value):
    """The rate of errors if images with a typicality below ``threshold`` are refused."""

    threshold: float
    rate: RefusalRate


class UnacceptableKind(Value):
    """A kind of image that should be refused.

    ``auroc`` tells how well typicality separates it from the test split; it is None with fewer than ten
    images. ``rates`` are false acceptances: images that would still be answered.
    """

    kind: str
    radiographs: int
    auroc: IntervalEstimate | None
    rates: tuple[RateAtThreshold, ...]


class AcceptableKind(Value):
    """A kind of chest radiograph that should be answered; ``rates`` are false refusals."""

    kind: str
    radiographs: int
    rates: tuple[RateAtThreshold, ...]


class RefusalEvaluation(Value):
    """The errors of the input check, and those that refusal by typicality would make and avoid.

    ``checked`` is empty where the model has no input check.
    """

    alike: tuple[AcceptableKind, ...]
    unlike: tuple[UnacceptableKind, ...]
    # reports of earlier versions do not have it, and keep their bytes
    checked: tuple[CheckedKind, ...] = Field(default=(), exclude_if=lambda kinds: not kinds)


@dataclass(frozen=True, eq=False)
class FlaggedImages:
    """The flags of the images of one kind, bool (N, 4), and their patients (N,)."""

    kind: str
    is_chest_film: bool
    flags: NDArray[np.bool_]
    patients: NDArray[np.str_]


def alter_radiographs(tensors: Tensors) -> dict[str, Tensors]:
    """Turn, mirror and invert upright radiographs, uint8 (N, 224, 224), into images that must be refused.

    Turning the tensor is the same as turning the radiograph: the tensor is square.
    """
    altered = {
        "turned 90 degrees": np.rot90(tensors, 1, (1, 2)),
        "turned 270 degrees": np.rot90(tensors, 3, (1, 2)),
        "upside down": np.rot90(tensors, 2, (1, 2)),
        "flipped top to bottom": tensors[:, ::-1],
        MIRRORED: tensors[:, :, ::-1],
        "inverted": 255 - tensors,
    }
    return {kind: np.ascontiguousarray(made) for kind, made in altered.items()}


def refusal_rate(count: int, of: int) -> RefusalRate:
    """Compute the share of ``count`` in one or more images, with its interval."""
    low, high = proportion_confint(count, of, method="wilson")
    return RefusalRate(
        count=count,
        of=of,
        value=round_stable(count / of),
        # Rounding can push Wilson's bounds out of [0, 1].
        low=round_stable(max(low, 0.0)),
        high=round_stable(min(high, 1.0)),
    )


def _rates(typicality: Floats, thresholds: Sequence[float], is_refusal: bool) -> tuple[RateAtThreshold, ...]:
    rates = []
    for threshold in thresholds:
        refused = int((typicality < threshold).sum())
        count = refused if is_refusal else len(typicality) - refused
        rates.append(RateAtThreshold(threshold=threshold, rate=refusal_rate(count, len(typicality))))
    return tuple(rates)


def _auroc(
    known: Floats, patients: NDArray[np.str_], unlike: Floats, bootstrap: Bootstrap
) -> IntervalEstimate | None:
    """Compute how often a known radiograph is more typical; each unlike image counts as its own patient."""
    if len(unlike) < _FEWEST:
        return None
    scores = np.concatenate([known, unlike]).astype(float)
    labels = np.repeat([1.0, 0.0], [len(known), len(unlike)])
    everyone = np.concatenate([patients, [f"unlike {i}" for i in range(len(unlike))]])

    def area(weights: Floats) -> Floats:
        return aurocs(weights, labels, scores)[:, None]

    return estimate_interval(
        float(observed_statistic(area, len(scores))[0]), bootstrap.draw(area, everyone)[:, 0]
    )


def evaluate_flags(images: FlaggedImages) -> CheckedKind:
    """Count what the input check refuses of one kind of image, with an interval over patients."""
    refused = np.asarray(images.flags[:, _REFUSING].any(axis=1), np.bool_)
    share = share_by_patient(refused, images.patients)
    return CheckedKind(
        kind=images.kind,
        is_chest_film=images.is_chest_film,
        images=len(refused),
        patients=len(np.unique(images.patients)),
        refused=Interval(value=share.value, low=share.low, high=share.high),
        flagged=dict(zip(INPUT_FLAGS, images.flags.sum(axis=0).tolist(), strict=True)),
    )


def evaluate_refusals(
    known: tuple[Floats, NDArray[np.str_]],
    others: Mapping[str, Floats],
    unlike: Mapping[str, Floats],
    protocol: EvaluationProtocol | None = None,
) -> RefusalEvaluation:
    """Count the errors of refusal by typicality at several thresholds.

    Args:
        known: Typicality (N,) and patients (N,) of the test split.
        others: Typicality of chest radiographs from other sources that should be answered, by kind.
        unlike: Typicality of images that should be refused, by kind.
        protocol: Thresholds and bootstrap; the default rules if None.

    Raises:
        ValueError: A kind is empty, or a typicality is not a number in [0, 1].
    """
    protocol = protocol or EvaluationProtocol()
    typicality, patients = known
    for values in (typicality, *others.values(), *unlike.values()):
        if not (len(values) and ((values >= 0) & (values <= 1)).all()):
            raise ValueError("typicality must be one or more numbers in [0, 1]")
    thresholds = protocol.typicality_thresholds
    return RefusalEvaluation(
        alike=tuple(
            AcceptableKind(
                kind=kind, radiographs=len(values), rates=_rates(values, thresholds, is_refusal=True)
            )
            for kind, values in {TEST_SPLIT: typicality, **others}.items()
        ),
        unlike=tuple(
            UnacceptableKind(
                kind=kind,
                radiographs=len(values),
                auroc=_auroc(typicality, patients, values, protocol.bootstrap),
                rates=_rates(values, thresholds, is_refusal=False),
            )
            for kind, values in unlike.items()
        ),
    )
