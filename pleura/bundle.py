"""What a model bundle says of itself: ``bundle.json``, and how its files are proven unchanged.

``bundle.json`` holds the digest of every other file, and ``bundle.json.sha256`` its own, in the form
of ``sha256sum``.
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
    """The folder is no bundle, was changed after it was made, or does not fit this software."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Interval(_Value):
    """A figure with the bounds of its 95 % interval."""

    value: Fraction
    low: Fraction
    high: Fraction


class OperatingPoint(_Value):
    """The threshold that a finding is judged at, with what it gave on the split that it was chosen on."""

    threshold: Fraction
    sensitivity: Fraction
    specificity: Fraction


class FindingDescription(_Value):
    """One finding: how it is judged, and how well; ``auroc`` is None where it could not be measured."""

    name: str
    operating_point: OperatingPoint
    auroc: Interval | None
    sensitivity: Interval | None
    specificity: Interval | None
    test_positives: int = Field(ge=0)
    test_negatives: int = Field(ge=0)

    @property
    def is_measured(self) -> bool:
        """Whether the test split holds enough positives to say how well this finding is read."""
        return self.auroc is not None


class Origin(_Value):
    """Where imported weights come from, and what they were trained to be given.

    ``outputs`` are the names of all outputs of the checkpoint, empty for one that was not trained; a pixel in
    [0, 255] enters the network as ``scale * pixel + offset``, once for each channel.
    """

    kind: str
    file_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    outputs: tuple[str, ...]
    preprocessing: str
    scale: tuple[float, ...]
    offset: tuple[float, ...]


class ModelDescription(_Value):
    """Everything about a model that a reader of its answers may ask; the content of ``bundle.json``.

    ``origin`` is there for an imported model only. ``files`` maps each file of the bundle, by its path
    relative to the folder, to its SHA-256 in hex.
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
    origin: Origin | None = Field(default=None, exclude_if=lambda origin: origin is None)
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


def _digest_of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InvalidBundle(f"{path} cannot be read: {error.strerror}") from error


def _files_of(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise InvalidBundle(f"{path.relative_to(folder)} is a symbolic link")
        if path.is_file() and path not in (folder / DESCRIPTION_FILE, folder / SEAL_FILE):
            yield path


def seal(folder: Path, description: ModelDescription) -> str:
    """Write ``bundle.json`` over the files that the folder now holds, and its own digest beside it.

    Returns:
        The digest of the bundle: SHA-256 of ``bundle.json``, in hex.
    """
    files = {str(path.relative_to(folder)): _digest_of_file(path) for path in _files_of(folder)}
    sealed = description.model_copy(update={"files": files})
    (folder / DESCRIPTION_FILE).write_text(sealed.model_dump_json(indent=2) + "\n")
    digest = _digest_of_file(folder / DESCRIPTION_FILE)
    (folder / SEAL_FILE).write_bytes(_seal_of(digest))
    return digest


def _seal_of(digest: str) -> bytes:
    return f"{digest}  {DESCRIPTION_FILE}\n".encode()


def _require_seal(folder: Path, digest: str) -> None:
    path = folder / SEAL_FILE
    try:
        is_sealed = path.read_bytes() == _seal_of(digest)
    except OSError as error:
        raise InvalidBundle(f"{path} cannot be read: {error.strerror}") from error
    if not is_sealed:
        raise InvalidBundle(f"{folder / DESCRIPTION_FILE} is not the file that the bundle was sealed with")


def verify(folder: Path) -> tuple[ModelDescription, str]:
    """Read a bundle's description and prove that its files are the ones it was sealed with.

    Returns:
        The description and the digest of the bundle.

    Raises:
        InvalidBundle: A file is missing, added or changed; or the description is malformed, of other
            findings, or of another preprocessing version.
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
    found = {str(file.relative_to(folder)): file for file in _files_of(folder)}
    if found.keys() != description.files.keys():
        odd = sorted(found.keys() ^ description.files.keys())
        raise InvalidBundle(f"{folder} has missing or unknown files: {', '.join(odd)}")
    for name, file in found.items():
        if _digest_of_file(file) != description.files[name]:
            raise InvalidBundle(f"{file} is not the file that the bundle was sealed with")
    digest = _digest_of_file(path)
    _require_seal(folder, digest)
    return description, digest
