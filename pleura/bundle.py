"""The description of a model bundle, ``bundle.json``, and the proof that its files are unchanged.

``bundle.json`` holds the digest of every other file. ``bundle.json.sha256`` holds the digest of
``bundle.json``, in the form of ``sha256sum``.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pleura.contract import PREPROCESSING_VERSION
from pleura.findings import FINDINGS

DESCRIPTION_FILE: Final = "bundle.json"
SEAL_FILE: Final = "bundle.json.sha256"
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class InvalidBundle(Exception):
    """The folder is not a bundle, was changed after it was sealed, or does not fit this software."""


class NotStored(Exception):
    """The store holds no bundle or no source of that digest, or only an unfinished part of it."""


class _FrozenModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Interval(_FrozenModel):
    """A figure with the limits of its 95 % interval."""

    value: Fraction
    low: Fraction
    high: Fraction


class OperatingPoint(_FrozenModel):
    """The threshold of a finding, with its sensitivity and specificity on the split that it was chosen on."""

    threshold: Fraction
    sensitivity: Fraction
    specificity: Fraction


class FindingDescription(_FrozenModel):
    """Operating point and quality of one finding; ``auroc`` is None where it could not be measured."""

    name: str
    operating_point: OperatingPoint
    auroc: Interval | None
    sensitivity: Interval | None
    specificity: Interval | None
    test_positives: int = Field(ge=0)
    test_negatives: int = Field(ge=0)

    @property
    def is_measured(self) -> bool:
        """Tell whether the test split holds enough positives to measure this finding."""
        return self.auroc is not None


class Origin(_FrozenModel):
    """The origin of imported weights, and the input that they were trained on.

    ``outputs`` are the names of all outputs of the checkpoint; the name of an output that was not trained is
    empty. A pixel in [0, 255] enters the network as ``scale * pixel + offset``, once for each channel.
    """

    kind: str
    file_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    outputs: tuple[str, ...]
    preprocessing: str
    scale: tuple[float, ...]
    offset: tuple[float, ...]


class CheckedKind(_FrozenModel):
    """What the input check says of one kind of image that it was not fitted on.

    ``is_chest_film`` tells a kind that should be answered: there ``refused`` are false refusals. Of the other
    kinds, all that is not refused is a false acceptance. An image is refused that has a flag other than
    ``untypical``. ``flagged`` counts the images with each flag.
    """

    kind: str
    is_chest_film: bool
    images: int = Field(ge=1)
    patients: int = Field(ge=1)
    refused: Interval
    flagged: dict[str, int]


class InputCheck(_FrozenModel):
    """The thresholds of the input check, which tells images that the model was not made for.

    An image whose probability to be an upright chest film is below ``upright_threshold`` gets the flag of its
    most probable other class. An image farther than ``not_chest_distance`` from the centre of the training
    radiographs is no chest film of any source. One farther than ``untypical_distance`` is unlike the films
    that the model was made on.
    """

    upright_threshold: Fraction
    not_chest_distance: float = Field(gt=0)
    untypical_distance: float = Field(gt=0)
    chosen: str
    fitted_on: tuple[str, ...]
    figures: tuple[CheckedKind, ...] = ()


class ModelDescription(_FrozenModel):
    """The content of ``bundle.json``: all that a reader of the model's answers needs to know about the model.

    Only an imported model has an ``origin``. ``input_check`` is None in models of earlier versions. ``files``
    maps each file of the bundle, by its path relative to the folder, to its SHA-256 in hex.
    """

    name: str
    version: str = Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z.-]{0,63}$")
    preprocessing_version: str
    findings: tuple[FindingDescription, ...]
    calibration: str
    operating_points_chosen: str
    intended_use: str
    limitations: tuple[str, ...]
    training_data: tuple[str, ...]
    metrics: dict[str, float]
    # left out where it is None, so that bundles of our own training keep their digest
    origin: Origin | None = Field(default=None, exclude_if=lambda origin: origin is None)
    input_check: InputCheck | None = Field(default=None, exclude_if=lambda check: check is None)
    files: dict[str, str] = {}

    @model_validator(mode="after")
    def _fits_this_software(self) -> "ModelDescription":
        if tuple(finding.name for finding in self.findings) != FINDINGS:
            raise ValueError(f"findings must be, in this order: {', '.join(FINDINGS)}")
        if self.preprocessing_version != PREPROCESSING_VERSION:
            raise ValueError(
                f"trained on preprocessing version {self.preprocessing_version}, "
                f"this is version {PREPROCESSING_VERSION}"
            )
        return self

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The thresholds in the order of the findings."""
        return tuple(finding.operating_point.threshold for finding in self.findings)


def _hash_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InvalidBundle(f"{path} cannot be read: {error.strerror}") from error


def _list_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        # a link could lead to a file that was not sealed
        if path.is_symlink():
            raise InvalidBundle(f"{path.relative_to(folder)} is a symbolic link")
        if path.is_file() and path not in (folder / DESCRIPTION_FILE, folder / SEAL_FILE):
            yield path


def seal(folder: Path, description: ModelDescription) -> str:
    """Write ``bundle.json`` with the digests of all files of the folder, and a file with its own digest.

    Returns:
        The digest of the bundle: SHA-256 of ``bundle.json``, in hex.
    """
    files = {str(path.relative_to(folder)): _hash_file(path) for path in _list_files(folder)}
    sealed = description.model_copy(update={"files": files})
    (folder / DESCRIPTION_FILE).write_text(sealed.model_dump_json(indent=2) + "\n")
    digest = _hash_file(folder / DESCRIPTION_FILE)
    (folder / SEAL_FILE).write_bytes(make_seal(digest))
    return digest


def make_seal(digest: str) -> bytes:
    """Return the content of the seal of a bundle with this digest."""
    # sha256sum --check reads this form
    return f"{digest}  {DESCRIPTION_FILE}\n".encode()


def _require_seal(folder: Path, digest: str) -> None:
    path = folder / SEAL_FILE
    try:
        is_sealed = path.read_bytes() == make_seal(digest)
    except OSError as error:
        raise InvalidBundle(f"{path} cannot be read: {error.strerror}") from error
    if not is_sealed:
        raise InvalidBundle(f"{folder / DESCRIPTION_FILE} is not the file that the bundle was sealed with")


def verify(folder: Path) -> tuple[ModelDescription, str]:
    """Read a bundle's description, and prove that its files are unchanged since it was sealed.

    Returns:
        The description and the digest of the bundle.

    Raises:
        InvalidBundle: A file is missing, added or changed, or the description is malformed, has other
            findings, or another preprocessing version.
    """
    path = folder / DESCRIPTION_FILE
    try:
        description = ModelDescription.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InvalidBundle(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "content"
        raise InvalidBundle(f"{path}: {where}: {first['msg']}") from error
    files = {str(file.relative_to(folder)): file for file in _list_files(folder)}
    if files.keys() != description.files.keys():
        unexpected = sorted(files.keys() ^ description.files.keys())
        raise InvalidBundle(f"{folder} has missing or unknown files: {', '.join(unexpected)}")
    for name, file in files.items():
        if _hash_file(file) != description.files[name]:
            raise InvalidBundle(f"{file} is not the file that the bundle was sealed with")
    digest = _hash_file(path)
    # nothing else proves bundle.json: a flipped bit in it moved a threshold (docs/decisions/0042)
    _require_seal(folder, digest)
    return description, digest
