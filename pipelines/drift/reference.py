"""What the last window is compared with: the shapes of many quantities, as they were when all was well.

Only counts are kept, no radiograph's own score, so that a reference may lie beside the model.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pipelines.data.manifest import Sha256
from pipelines.value import Document, Value

Floats = NDArray[np.floating]
Kind = Literal["input", "features", "score", "call rate", "refusal", "operation"]
_BINS: Final = 20


class NoRadiographs(Exception):
    """There is nothing to make a reference of."""


class Measure(Value):
    """One quantity that may drift; ``finding`` is empty where it is not of one finding."""

    kind: Kind
    name: str
    finding: str = ""

    def __str__(self) -> str:
        """For a reader."""
        return f"{self.name} of {self.finding.replace('_', ' ')}" if self.finding else self.name


class Histogram(Value):
    """How often a quantity fell between the edges: ``counts`` has one more than ``edges``."""

    edges: tuple[float, ...]
    counts: tuple[Annotated[int, Field(ge=0)], ...]

    @model_validator(mode="after")
    def _fits(self) -> "Histogram":
        if len(self.counts) != len(self.edges) + 1 or any(np.diff(self.edges) <= 0):
            raise ValueError("a histogram has increasing edges, and one count more than edges")
        return self

    @property
    def n(self) -> int:
        """How many values there were."""
        return sum(self.counts)

    @classmethod
    def of(cls, values: Floats) -> "Histogram":
        """Count values between their own twentieths; a value that very many share has a bin of its own.

        Without that bin, nothing would tell a reference of square radiographs from narrower ones.
        """
        twentieths = np.quantile(values, np.linspace(0, 1, _BINS + 1)[1:-1])
        distinct, times = np.unique(twentieths, return_counts=True)
        edges = np.union1d(distinct, np.nextafter(distinct[times > 1], -np.inf))
        return cls(edges=tuple(edges.tolist()), counts=(0,) * (len(edges) + 1)).of_others(values)

    def of_others(self, values: Floats) -> "Histogram":
        """Count other values between the same edges.

        Raises:
            ValueError: One of them is no number.
        """
        if not np.isfinite(values).all():
            raise ValueError("a histogram is made of numbers")
        places = np.searchsorted(np.array(self.edges), values, side="left")
        counts = np.bincount(places, minlength=len(self.counts))
        return Histogram(edges=self.edges, counts=tuple(counts.tolist()))


class Share(Value):
    """``hits`` of ``n``."""

    hits: int = Field(ge=0)
    n: int = Field(ge=0)

    @model_validator(mode="after")
    def _is_one(self) -> "Share":
        if self.hits > self.n:
            raise ValueError("a share is no more than all")
        return self


@dataclass(frozen=True)
class ModelName:
    """Which model it was: its version, and the digest of its bundle."""

    version: str
    digest: str


@dataclass(frozen=True, eq=False)
class DriftSample:
    """What one model said in a time: the values of each quantity (N,), and the shares of others.

    ``radiographs`` counts distinct ones, ``answers`` all, repeated ones and cached ones too.
    """

    model: ModelName
    answers: int
    radiographs: int
    values: Mapping[Measure, Floats]
    shares: Mapping[Measure, Share]


class MeasuredHistogram(Value):
    """The shape of one quantity."""

    measure: Measure
    histogram: Histogram


class MeasuredShare(Value):
    """The share of another."""

    measure: Measure
    share: Share


class DriftReference(Document):
    """How everything was when all was well, for one model; ``made_from`` says in words what it is made of."""

    model_version: str
    model_digest: Sha256
    made_at: datetime
    made_from: str
    n: int = Field(ge=1)
    histograms: tuple[MeasuredHistogram, ...]
    shares: tuple[MeasuredShare, ...]


def build_reference(sample: DriftSample, made_from: str, made_at: datetime) -> DriftReference:
    """Make the reference of a sample from a time, or a split, in which all was well.

    Raises:
        NothingAnswered: The sample holds no radiograph.
    """
    if not sample.radiographs:
        raise NoRadiographs("a reference is made of radiographs, and there are none")
    measured = sorted(((m, v) for m, v in sample.values.items() if len(v)), key=lambda each: str(each[0]))
    return DriftReference(
        model_version=sample.model.version,
        model_digest=sample.model.digest,
        made_at=made_at,
        made_from=made_from,
        n=sample.radiographs,
        histograms=tuple(MeasuredHistogram(measure=m, histogram=Histogram.of(v)) for m, v in measured),
        shares=tuple(
            MeasuredShare(measure=m, share=s)
            for m, s in sorted(sample.shares.items(), key=lambda e: str(e[0]))
        ),
    )
