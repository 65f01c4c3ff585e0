"""Download a model bundle from S3. Every file is verified by its digest before the bundle appears.

The objects of a bundle have a common prefix, followed by the names of the files. The seal is uploaded last.
If it is missing, the upload did not finish.
"""

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from pleura.bundle import (
    DESCRIPTION_FILE,
    SEAL_FILE,
    InvalidBundle,
    ModelDescription,
    NotStored,
    make_seal,
    verify,
)
from pleura.object_bucket import NoSuchObject, ObjectBucket


def parse_description(content: bytes, origin: str) -> ModelDescription:
    """Parse a description, and refuse file names that lead out of the bundle's folder.

    Raises:
        InvalidBundle: The content is not a description, or names a file outside the bundle's folder.
    """
    try:
        description = ModelDescription.model_validate_json(content)
    except ValidationError as error:
        raise InvalidBundle(f"{origin}: {error.errors()[0]['msg']}") from error
    for name in description.files:
        path = PurePosixPath(name)
        # The right digest does not make a name safe: the author of the description computed its digest.
        if path.is_absolute() or ".." in path.parts:
            raise InvalidBundle(f"{origin}: {name!r} would lie outside the bundle")
    return description


def require_stored(objects: ObjectBucket, prefix: str, seal: str) -> frozenset[str]:
    """Return the names of the objects below a prefix, relative to it.

    Raises:
        NotStored: There are none, or ``seal``, which is uploaded last, is not among them.
    """
    names = objects.list_names(prefix)
    if not names:
        raise NotStored(f"nothing is stored at {objects.uri(prefix)}")
    if seal not in names:
        raise NotStored(f"{objects.uri(prefix)} is unfinished: {seal} is missing; upload it again")
    return names


def download_description(objects: ObjectBucket, prefix: str, digest: str) -> ModelDescription:
    """Download the description of a stored bundle and check its digest. The other files are not read.

    Raises:
        InvalidBundle: The description is missing, or has another digest.
    """
    uri = objects.uri(f"{prefix}{DESCRIPTION_FILE}")
    try:
        content = objects.read(f"{prefix}{DESCRIPTION_FILE}")
    except NoSuchObject as error:
        raise InvalidBundle(f"{uri} is missing") from error
    actual = hashlib.sha256(content).hexdigest()
    if actual != digest:
        raise InvalidBundle(f"{uri} has another digest: {actual}, not {digest}")
    return parse_description(content, uri)


def list_stored_files(description: ModelDescription, digest: str) -> Mapping[str, str]:
    """Return the SHA-256 in hex of each file of a stored bundle, by its name. The seal comes last."""
    seal_digest = hashlib.sha256(make_seal(digest)).hexdigest()
    return {**description.files, DESCRIPTION_FILE: digest, SEAL_FILE: seal_digest}


def download_files(objects: ObjectBucket, prefix: str, folder: Path, files: Mapping[str, str]) -> None:
    """Download files into a new folder.

    Args:
        objects: The bucket.
        prefix: The prefix that each name follows.
        folder: The folder to make.
        files: SHA-256 in hex of each file, by its name.

    Raises:
        InvalidBundle: A file is missing, or is not the file of that digest.
    """
    folder.mkdir()
    for name, sha256 in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        uri = objects.uri(f"{prefix}{name}")
        try:
            downloaded = objects.download(f"{prefix}{name}", path)
        except NoSuchObject as error:
            raise InvalidBundle(f"{uri} is missing") from error
        if downloaded != sha256:
            raise InvalidBundle(f"{uri} is not the file that was sealed")


def download_bundle(objects: ObjectBucket, prefix: str, digest: str, target: Path) -> ModelDescription:
    """Download a bundle into a new folder, which appears only when every file is verified.

    Args:
        objects: The bucket.
        prefix: Prefix of the bundle's objects. It ends with a slash.
        digest: SHA-256 of the bundle's description, in hex.
        target: The folder to make.

    Raises:
        NotStored: Nothing is stored at the prefix, or the upload did not finish.
        InvalidBundle: A stored file is missing, added or changed, or the bundle has another digest.
        StoreUnavailable: The store does not answer.
    """
    names = require_stored(objects, prefix, SEAL_FILE)
    files = list_stored_files(download_description(objects, prefix, digest), digest)
    # Added files count too: a folder with an added file would not pass ``verify``.
    if unexpected := sorted(names ^ files.keys()):
        raise InvalidBundle(f"{objects.uri(prefix)} has missing or unknown files: {', '.join(unexpected)}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as folder:
        draft = Path(folder) / target.name
        download_files(objects, prefix, draft, files)
        description, actual = verify(draft)
        assert actual == digest
        draft.rename(target)
    return description
