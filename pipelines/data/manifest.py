"""A data set as a value: which radiographs, by content, with what is known of each."""

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
    """What is left out when it is written: data sets from before there was any keep their digests."""
    return not values


class DatasetFile(Value):
    """A file of a data set, by where it is kept and what it holds."""

    key: str = Field(min_length=1)
    sha256: Sha256


class Box(Value):
    """Where a radiologist saw a finding: fractions of the width and height of the whole radiograph."""

    finding: str
    x: Annotated[float, Field(ge=0, le=1)]
    y: Annotated[float, Field(ge=0, le=1)]
    width: Annotated[float, Field(gt=0, le=1)]
    height: Annotated[float, Field(gt=0, le=1)]


class Record(DatasetFile):
    """One radiograph of a data set.

    ``labels`` holds what is known: True present, False absent; a finding that is not in it is unknown, which
    is not the same as absent. ``patient`` is a pseudonym, ``view`` the view position, ``age`` in years.
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
    def _knows_its_findings(self) -> "Record":
        unknown = sorted({*self.labels, *(box.finding for box in self.boxes)} - set(FINDINGS))
        if unknown:
            raise ValueError("it has a finding that is none")
        return self


class NonChestImage(DatasetFile):
    """An image that is no radiograph of a human chest, and should be refused; ``kind`` says what it is."""

    kind: str = Field(min_length=1)
    licence: str


class Manifest(Document):
    """A data set: immutable, and named by the digest of what it says.

    ``bucket`` holds the objects under the records' keys; ``made_from`` says in words where it came from. No
    model is trained on ``strangers``: they show what it refuses.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    bucket: str
    made_from: tuple[str, ...]
    made_at: datetime
    records: tuple[Record, ...]
    strangers: tuple[NonChestImage, ...] = Field(default=(), exclude_if=_is_empty)

    def to_json(self) -> bytes:
        """The bytes that are stored, always the same for the same data set: all by key."""
        ordered = self.model_copy(
            update={
                "records": tuple(sorted(self.records, key=lambda each: each.key)),
                "strangers": tuple(sorted(self.strangers, key=lambda each: each.key)),
            }
        )
        return super(Manifest, ordered).to_json()

    @property
    def digest(self) -> str:
        """SHA-256 of what is stored, in hex: the data set's name for all who refer to it."""
        return hashlib.sha256(self.to_json()).hexdigest()

    def records_of_split(self, split: Split) -> tuple[Record, ...]:
        """The records of one split."""
        return tuple(record for record in self.records if record.split == split)
