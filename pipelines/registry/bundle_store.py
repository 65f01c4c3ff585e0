"""Model bundles in S3, each at a prefix with its digest, and the sources that they were built from.

A bundle lies at ``models/chest-xray/<digest>/`` with exactly the files that it has on disk, so that the
prefix is a storage URI for KServe. Its seal is written last: a bundle without a seal is not stored. Therefore
the source of a bundle (``weights.npz`` and ``source.json``, which fine-tuning needs) has another prefix.
"""

import hashlib
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from pydantic import ValidationError

from pipelines.object_store import NoSuchObject, ObjectBucket
from pleura.bundle import DESCRIPTION_FILE, SEAL_FILE, InvalidBundle, ModelDescription, verify
from predictor.build.weights import WEIGHTS_FILE

SOURCE_FILE: Final = "source.json"
SOURCE_SEAL_FILE: Final = "source.sha256"
_BUNDLES: Final = "models/chest-xray"
_SOURCES: Final = "model-sources/chest-xray"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class NotStored(Exception):
    """The store holds no bundle or no source of that digest, or only an unfinished part of it."""


def _hash_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InvalidBundle(f"{path} cannot be read: {error.strerror}") from error


def _hash_seal(digest: str) -> str:
    return hashlib.sha256(f"{digest}  {DESCRIPTION_FILE}\n".encode()).hexdigest()


def _parse_description(content: bytes, origin: str) -> ModelDescription:
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


class BundleStore:
    """The bundles of one bucket; a stored bundle never changes."""

    def __init__(self, objects: ObjectBucket) -> None:
        self.objects = objects

    def uri(self, digest: str) -> str:
        """The storage URI of a bundle, for KServe."""
        return self.objects.uri(f"{_BUNDLES}/{digest}")

    def upload(self, bundle: Path) -> str:
        """Store a bundle: complete what an earlier attempt left, and keep a stored bundle as it is.

        Returns:
            The digest of the bundle.

        Raises:
            InvalidBundle: The folder is not a sealed bundle, or the stored files of its digest are damaged.
            StoreUnavailable: The store does not answer; the same call completes it later.
        """
        description, digest = verify(bundle)
        files = {**description.files, DESCRIPTION_FILE: digest, SEAL_FILE: _hash_seal(digest)}
        self._upload_files(f"{_BUNDLES}/{digest}/", bundle, files)
        # Uploads compare recorded digests only. This reads the bytes that the store really holds.
        self.verify(digest)
        return digest

    def upload_source(self, digest: str, source: Path) -> str:
        """Store the source that a bundle was built from.

        Returns:
            The URI of the source.

        Raises:
            InvalidBundle: The source describes another model, or another source is stored already.
            NotStored: The bundle itself is not stored.
            StoreUnavailable: The store does not answer; the same call completes it later.
        """
        content = (source / SOURCE_FILE).read_bytes()
        description = _parse_description(content, str(source / SOURCE_FILE))
        # A source has no graphs yet, so its description lists no files.
        if description != self.describe(digest).model_copy(update={"files": {}}):
            raise InvalidBundle(f"{source} is not the source of the bundle {digest}")
        files = {name: _hash_file(source / name) for name in (WEIGHTS_FILE, SOURCE_FILE)}
        seal = "".join(f"{files[name]}  {name}\n" for name in files).encode()
        prefix = f"{_SOURCES}/{digest}/"
        if SOURCE_SEAL_FILE in self.objects.list_names(prefix):
            if self.objects.read(f"{prefix}{SOURCE_SEAL_FILE}") != seal:
                raise InvalidBundle(f"{self.objects.uri(prefix)} holds another source of the same bundle")
        else:
            self._upload_files(prefix, source, files)
            self.objects.put(f"{prefix}{SOURCE_SEAL_FILE}", seal)
        return self.objects.uri(prefix.rstrip("/"))

    def describe(self, digest: str) -> ModelDescription:
        """Read the description of a stored bundle and check its digest; the other files are not read.

        Raises:
            NotStored: There is no finished bundle of that digest.
            InvalidBundle: The description has another digest.
        """
        prefix = self._require_stored(_BUNDLES, digest, SEAL_FILE)
        uri = self.objects.uri(f"{prefix}{DESCRIPTION_FILE}")
        try:
            content = self.objects.read(f"{prefix}{DESCRIPTION_FILE}")
        except NoSuchObject as error:
            raise InvalidBundle(f"{uri} is missing") from error
        if hashlib.sha256(content).hexdigest() != digest:
            raise InvalidBundle(f"{uri} has another digest than its name says")
        return _parse_description(content, uri)

    def download(self, digest: str, target: Path) -> ModelDescription:
        """Download a bundle into a folder that appears only when every file is verified.

        Raises:
            NotStored: There is no finished bundle of that digest.
            InvalidBundle: A stored file is missing, added or changed, or the folder holds another bundle.
            StoreUnavailable: The store does not answer.
        """
        if target.exists():
            description, actual = verify(target)
            if actual != digest:
                raise InvalidBundle(f"{target} holds another bundle, {actual}")
            return description
        target.parent.mkdir(parents=True, exist_ok=True)
        # Next to the target, because a rename is atomic within one file system only.
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as folder:
            draft = Path(folder) / target.name
            description = self._download_bundle(digest, draft)
            draft.rename(target)
        return description

    def verify(self, digest: str) -> ModelDescription:
        """Verify every file of a stored bundle; raises as ``download`` does."""
        with tempfile.TemporaryDirectory(prefix="pleura-verify-") as folder:
            return self._download_bundle(digest, Path(folder) / "bundle")

    def download_source(self, digest: str, target: Path) -> None:
        """Download the source of a bundle into a folder that appears only when every file is verified.

        Raises:
            NotStored: There is no finished source of the bundle of that digest.
            InvalidBundle: A stored file is missing or changed, or the folder exists.
            StoreUnavailable: The store does not answer.
        """
        if target.exists():
            raise InvalidBundle(f"{target} exists already")
        prefix = self._require_stored(_SOURCES, digest, SOURCE_SEAL_FILE)
        seal = self.objects.read(f"{prefix}{SOURCE_SEAL_FILE}").decode(errors="replace")
        files = {name: sha256 for sha256, _, name in (line.partition("  ") for line in seal.splitlines())}
        if files.keys() != {WEIGHTS_FILE, SOURCE_FILE}:
            raise InvalidBundle(f"{self.objects.uri(prefix)} has a damaged {SOURCE_SEAL_FILE}")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as folder:
            draft = Path(folder) / target.name
            self._download_files(prefix, draft, files)
            draft.rename(target)

    def _require_stored(self, root: str, digest: str, seal: str) -> str:
        prefix = f"{root}/{digest}/"
        if not _DIGEST.fullmatch(digest):
            raise NotStored(f"{digest!r} is not the digest of a bundle")
        names = self.objects.list_names(prefix)
        if not names:
            raise NotStored(f"nothing is stored at {self.objects.uri(prefix)}")
        if seal not in names:
            raise NotStored(f"{self.objects.uri(prefix)} is unfinished: {seal} is missing; upload it again")
        return prefix

    def _upload_files(self, prefix: str, folder: Path, files: Mapping[str, str]) -> None:
        """Upload the missing files in this order; the last one makes the upload complete."""
        self.objects.make_bucket()
        *_, last = files
        # The last file is the seal: with it the bundle is stored, and a stored bundle never changes.
        if self.objects.contains(f"{prefix}{last}", files[last]):
            return
        for name, sha256 in files.items():
            if not self.objects.contains(f"{prefix}{name}", sha256):
                self.objects.put_file(f"{prefix}{name}", folder / name, sha256)

    def _download_bundle(self, digest: str, draft: Path) -> ModelDescription:
        files = self.describe(digest).files
        prefix = f"{_BUNDLES}/{digest}/"
        expected = {*files, DESCRIPTION_FILE, SEAL_FILE}
        # Added files count too, because KServe downloads everything below the prefix.
        unexpected = sorted(self.objects.list_names(prefix) ^ expected)
        if unexpected:
            raise InvalidBundle(
                f"{self.objects.uri(prefix)} has missing or unknown files: {', '.join(unexpected)}"
            )
        self._download_files(
            prefix, draft, {**files, DESCRIPTION_FILE: digest, SEAL_FILE: _hash_seal(digest)}
        )
        description, actual = verify(draft)
        assert actual == digest
        return description

    def _download_files(self, prefix: str, draft: Path, files: Mapping[str, str]) -> None:
        draft.mkdir()
        for name, sha256 in files.items():
            path = draft / name
            path.parent.mkdir(parents=True, exist_ok=True)
            uri = self.objects.uri(f"{prefix}{name}")
            try:
                fetched = self.objects.download(f"{prefix}{name}", path)
            except NoSuchObject as error:
                raise InvalidBundle(f"{uri} is missing") from error
            if fetched != sha256:
                raise InvalidBundle(f"{uri} is not the file that was sealed")
