"""Model bundles in S3, each at a prefix with its digest, and the sources that they were built from.

A bundle lies at ``models/chest-xray/<digest>/`` with exactly the files that it has on disk, so that the
prefix is a storage URI for KServe. Its seal is written last: a bundle without a seal is not stored. Therefore
the source of a bundle (``weights.npz`` and ``source.json``, which fine-tuning needs) has another prefix.
"""

import hashlib
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pleura.bundle import SEAL_FILE, InvalidBundle, ModelDescription, NotStored, verify
from pleura.bundle_download import (
    download_bundle,
    download_description,
    download_files,
    list_stored_files,
    parse_description,
    require_stored,
)
from pleura.object_bucket import ObjectBucket
from predictor.build.weights import WEIGHTS_FILE

SOURCE_FILE: Final = "source.json"
SOURCE_SEAL_FILE: Final = "source.sha256"
_BUNDLES: Final = "models/chest-xray"
_SOURCES: Final = "model-sources/chest-xray"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def _hash_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InvalidBundle(f"{path} cannot be read: {error.strerror}") from error


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
        files = list_stored_files(description, digest)
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
        description = parse_description(content, str(source / SOURCE_FILE))
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
        return download_description(self.objects, prefix, digest)

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
        return download_bundle(
            self.objects, self._require_stored(_BUNDLES, digest, SEAL_FILE), digest, target
        )

    def verify(self, digest: str) -> ModelDescription:
        """Verify every file of a stored bundle; raises as ``download`` does."""
        with tempfile.TemporaryDirectory(prefix="pleura-verify-") as folder:
            return self.download(digest, Path(folder) / "bundle")

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
            download_files(self.objects, prefix, draft, files)
            draft.rename(target)

    def _require_stored(self, root: str, digest: str, seal: str) -> str:
        if not _DIGEST.fullmatch(digest):
            raise NotStored(f"{digest!r} is not the digest of a bundle")
        prefix = f"{root}/{digest}/"
        require_stored(self.objects, prefix, seal)
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
