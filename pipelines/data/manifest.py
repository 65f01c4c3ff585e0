"""A data set as a value: its radiographs by digest, with the labels of each."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from pipelines.value import Document, Value
from pleura.findings import FINDINGS

Split = Literal["train", "val", "test"]
SPLITS: Final[tuple[Split, ...]] = ("train", "val", "test")
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _is_empty(values: tuple[object, ...]) -> bool:
    """Leave empty fields out of the JSON: data sets that are older than the field keep their digests."""
    return not values


class DatasetFile(Value):
    """A file of a data set: its key in the bucket, and the SHA-256 of its content."""

    key: str = Field(min_length=1)
    sha256: Sha256


class Box(Value):
    """A box that a radiologist drew around a finding, in fractions of the width and height."""

    finding: str
    x: Annotated[float, Field(ge=0, le=1)]
    y: Annotated[float, Field(ge=0, le=1)]
    width: Annotated[float, Field(gt=0, le=1)]
    height: Annotated[float, Field(gt=0, le=1)]


class Record(DatasetFile):
    """One radiograph of a data set.

    ``labels`` holds the known findings: True present, False absent. A finding without an entry is unknown,
    not absent. ``patient`` is a pseudonym, ``view`` the view position, and ``age`` is in years.
    """

    patient: str = Field(min_length=1)
    source: str = Field(min_length=1)
    licence: str
    split: Split
    labels: Mapping[str, bool]
    view: str = ""
    sex: Literal["M", "F", ""] = ""
    age: Annotated[float, Field(ge=0, le=130)] | None = None
    boxes: tuple[Box, ...] = Field(default=(), exclude_if=_is_empty)

    @model_validator(mode="after")
    def _require_known_findings(self) -> "Record":
        unknown = sorted({*self.labels, *(box.finding for box in self.boxes)} - set(FINDINGS))
        if unknown:
            raise ValueError("it names something that is not a finding")
        return self


class NonChestImage(DatasetFile):
    """An image that does not show a human chest and should be refused; ``kind`` describes the image."""

    kind: str = Field(min_length=1)
    licence: str


class Manifest(Document):
    """A data set: immutable, and named by the digest of its JSON.

    ``bucket`` holds the files under the keys of the records. ``made_from`` describes the origin. The images
    in ``strangers`` do not show a chest: they test what a model refuses, and no model is trained on them.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    bucket: str
    made_from: tuple[str, ...]
    made_at: datetime
    records: tuple[Record, ...]
    # The name is a key of stored manifests: renamed, every
    # data set with such images would get another digest.
    strangers: tuple[NonChestImage, ...] = Field(default=(), exclude_if=_is_empty)

    def to_json(self) -> bytes:
        """Write the data set in the order of the keys, so that the same data set has the same bytes."""
        ordered = self.model_copy(
            update={
                "records": tuple(sorted(self.records, key=lambda file: file.key)),
                "strangers": tuple(sorted(self.strangers, key=lambda file: file.key)),
            }
        )
        return super(Manifest, ordered).to_json()

    @property
    def digest(self) -> str:
        """SHA-256 of the JSON in hex, by which others refer to the data set."""
        return hashlib.sha256(self.to_json()).hexdigest()

    def records_of_split(self, split: Split) -> tuple[Record, ...]:
        """Select the records of one split."""
        return tuple(record for record in self.records if record.split == split)
