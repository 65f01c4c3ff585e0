"""The drift reference: distributions and shares from a time, or a split, in which all was well.

A reference holds counts only and no score of a single radiograph. It may therefore be stored with the model.
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
# Twentieths, because distance.tenths merges them to the tenths that the limits of PSI are meant for.
_BINS: Final = 20


class NoRadiographs(Exception):
    """A reference cannot be made, because there is no radiograph."""


class Measure(Value):
    """One quantity that may drift; ``finding`` is empty if the quantity does not belong to one finding."""

    kind: Kind
    name: str
    finding: str = ""

    def __str__(self) -> str:
        """Write the quantity as people do."""
        return f"{self.name} of {self.finding.replace('_', ' ')}" if self.finding else self.name


class Histogram(Value):
    """Counts of a quantity between edges; ``counts`` has one entry more than ``edges``."""

    edges: tuple[float, ...]
    counts: tuple[Annotated[int, Field(ge=0)], ...]

    @model_validator(mode="after")
    def _fits(self) -> "Histogram":
        if len(self.counts) != len(self.edges) + 1 or any(np.diff(self.edges) <= 0):
            raise ValueError("a histogram has increasing edges, and one count more than edges")
        return self

    @property
    def n(self) -> int:
        """The number of values."""
        return sum(self.counts)

    @classmethod
    def of(cls, values: Floats) -> "Histogram":
        """Count values between their own twentieths. A very frequent value gets a bin of its own.

        Without that bin, a reference of square radiographs could not be told from narrower ones.
        """
        twentieths = np.quantile(values, np.linspace(0, 1, _BINS + 1)[1:-1])
        distinct, times = np.unique(twentieths, return_counts=True)
        edges = np.union1d(distinct, np.nextafter(distinct[times > 1], -np.inf))
        return cls(edges=tuple(edges.tolist()), counts=(0,) * (len(edges) + 1)).of_others(values)

    def of_others(self, values: Floats) -> "Histogram":
        """Count other values between the same edges.

        Raises:
            ValueError: A value is NaN or infinite.
        """
        if not np.isfinite(values).all():
            raise ValueError("a histogram needs finite numbers")
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
            raise ValueError("a share has at most as many hits as n")
        return self


@dataclass(frozen=True)
class ModelName:
    """A model by its version and the digest of its bundle."""

    version: str
    digest: str


@dataclass(frozen=True, eq=False)
class DriftSample:
    """One model's answers in a window: the values (N,) of some quantities and the shares of others.

    ``radiographs`` counts distinct radiographs. ``answers`` counts repeated and cached answers too.
    """

    model: ModelName
    answers: int
    radiographs: int
    values: Mapping[Measure, Floats]
    shares: Mapping[Measure, Share]


class MeasuredHistogram(Value):
    """The distribution of one quantity."""

    measure: Measure
    histogram: Histogram


class MeasuredShare(Value):
    """The share of one quantity."""

    measure: Measure
    share: Share


class DriftReference(Document):
    """The reference of one model; ``made_from`` names its source for a reader."""

    model_version: str
    model_digest: Sha256
    made_at: datetime
    made_from: str
    n: int = Field(ge=1)
    histograms: tuple[MeasuredHistogram, ...]
    shares: tuple[MeasuredShare, ...]


def build_reference(sample: DriftSample, made_from: str, made_at: datetime) -> DriftReference:
    """Build a reference from a sample of a time, or a split, in which all was well.

    Raises:
        NoRadiographs: The sample holds no radiograph.
    """
    if not sample.radiographs:
        raise NoRadiographs("a reference needs radiographs, and the sample has none")
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
