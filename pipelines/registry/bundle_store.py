"""Model bundles in S3, each at a prefix named by its digest, and beside it what it was built from.

A bundle lies at ``models/chest-xray/<digest>/`` with exactly the files that it has on disk, so that the
prefix is a storage URI as it stands; its seal comes last, and without the seal nothing is there. What
it was built from (``weights.npz``, ``source.json``; fine-tuning needs it) therefore has another prefix.
"""

import hashlib
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from pydantic import ValidationError

from pipelines.object_store import NoSuchObject, ObjectStore
from pleura.bundle import DESCRIPTION_FILE, SEAL_FILE, InvalidBundle, ModelDescription, verify
from predictor.build.weights import WEIGHTS_FILE

SOURCE_FILE: Final = "source.json"
SOURCE_SEAL_FILE: Final = "source.sha256"
_BUNDLES: Final = "models/chest-xray"
_SOURCES: Final = "model-sources/chest-xray"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class NotStored(Exception):
    """The store holds no bundle, or no source, of that digest, or only a part that was never finished."""


def _digest_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InvalidBundle(f"{path} cannot be read: {error.strerror}") from error


def _seal_digest(digest: str) -> str:
    return hashlib.sha256(f"{digest}  {DESCRIPTION_FILE}\n".encode()).hexdigest()


def _description_of(content: bytes, where: str) -> ModelDescription:
    try:
        description = ModelDescription.model_validate_json(content)
    except ValidationError as error:
        raise InvalidBundle(f"{where}: {error.errors()[0]['msg']}") from error
    for name in description.files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise InvalidBundle(f"{where}: {name!r} would lie outside the bundle")
    return description


class BundleStore:
    """The bundles of one bucket; nothing that it holds is ever changed."""

    def __init__(self, objects: ObjectStore) -> None:
        self.objects = objects

    def uri(self, digest: str) -> str:
        """Where the bundle of a digest lies: a storage URI for KServe."""
        return self.objects.uri(f"{_BUNDLES}/{digest}")

    def upload(self, bundle: Path) -> str:
        """Store a bundle; what an earlier attempt left is completed, and a stored one is left as it is.

        Returns:
            The digest of the bundle.

        Raises:
            InvalidBundle: The folder is no sealed bundle, or the store holds damaged files under its digest.
            StoreUnavailable: The store does not answer; the same call completes it later.
        """
        description, digest = verify(bundle)
        files = {**description.files, DESCRIPTION_FILE: digest, SEAL_FILE: _seal_digest(digest)}
        self._put(f"{_BUNDLES}/{digest}/", bundle, files)
        self.verify(digest)
        return digest

    def upload_source(self, digest: str, source: Path) -> str:
        """Store beside a bundle what it was built from.

        Returns:
            The URI of the source.

        Raises:
            InvalidBundle: The source describes another model, or another source is stored already.
            NotStored: The bundle itself is not.
            StoreUnavailable: The store does not answer; the same call completes it later.
        """
        content = (source / SOURCE_FILE).read_bytes()
        described = _description_of(content, str(source / SOURCE_FILE))
        if described != self.describe(digest).model_copy(update={"files": {}}):
            raise InvalidBundle(f"{source} is not the source of the bundle {digest}")
        files = {name: _digest_of(source / name) for name in (WEIGHTS_FILE, SOURCE_FILE)}
        seal = "".join(f"{files[name]}  {name}\n" for name in files).encode()
        prefix = f"{_SOURCES}/{digest}/"
        if SOURCE_SEAL_FILE in self.objects.names(prefix):
            if self.objects.read(f"{prefix}{SOURCE_SEAL_FILE}") != seal:
                raise InvalidBundle(f"{self.objects.uri(prefix)} holds another source of the same bundle")
        else:
            self._put(prefix, source, files)
            self.objects.put(f"{prefix}{SOURCE_SEAL_FILE}", seal)
        return self.objects.uri(prefix.rstrip("/"))

    def describe(self, digest: str) -> ModelDescription:
        """The description of a stored bundle, proven by its digest; its other files are not read.

        Raises:
            NotStored: There is no finished bundle of that digest.
            InvalidBundle: The description is not the one of that digest.
        """
        prefix = self._require(_BUNDLES, digest, SEAL_FILE)
        where = self.objects.uri(f"{prefix}{DESCRIPTION_FILE}")
        try:
            content = self.objects.read(f"{prefix}{DESCRIPTION_FILE}")
        except NoSuchObject as error:
            raise InvalidBundle(f"{where} is missing") from error
        if hashlib.sha256(content).hexdigest() != digest:
            raise InvalidBundle(f"{where} has another digest than its name says")
        return _description_of(content, where)

    def download(self, digest: str, target: Path) -> ModelDescription:
        """Fetch a bundle into a folder that appears only when every byte is proven.

        Raises:
            NotStored: There is no finished bundle of that digest.
            InvalidBundle: A stored file is missing, added or changed; or the folder holds something else.
            StoreUnavailable: The store does not answer.
        """
        if target.exists():
            description, found = verify(target)
            if found != digest:
                raise InvalidBundle(f"{target} holds another bundle, {found}")
            return description
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as folder:
            draft = Path(folder) / target.name
            description = self._fetch_bundle(digest, draft)
            draft.rename(target)
        return description

    def verify(self, digest: str) -> ModelDescription:
        """Prove a stored bundle byte for byte; raises as ``download`` does."""
        with tempfile.TemporaryDirectory(prefix="pleura-verify-") as folder:
            return self._fetch_bundle(digest, Path(folder) / "bundle")

    def download_source(self, digest: str, target: Path) -> None:
        """Fetch the source of a bundle into a folder that appears only when every byte is proven.

        Raises:
            NotStored: There is no finished source beside the bundle of that digest.
            InvalidBundle: A stored file is missing or changed, or the folder exists.
            StoreUnavailable: The store does not answer.
        """
        if target.exists():
            raise InvalidBundle(f"{target} exists already")
        prefix = self._require(_SOURCES, digest, SOURCE_SEAL_FILE)
        seal = self.objects.read(f"{prefix}{SOURCE_SEAL_FILE}").decode(errors="replace")
        files = {name: sha256 for sha256, _, name in (line.partition("  ") for line in seal.splitlines())}
        if files.keys() != {WEIGHTS_FILE, SOURCE_FILE}:
            raise InvalidBundle(f"{self.objects.uri(prefix)} has a damaged {SOURCE_SEAL_FILE}")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as folder:
            draft = Path(folder) / target.name
            self._fetch(prefix, draft, files)
            draft.rename(target)

    def _require(self, root: str, digest: str, seal: str) -> str:
        prefix = f"{root}/{digest}/"
        if not _DIGEST.fullmatch(digest):
            raise NotStored(f"{digest!r} is no digest of a bundle")
        names = self.objects.names(prefix)
        if not names:
            raise NotStored(f"nothing is stored at {self.objects.uri(prefix)}")
        if seal not in names:
            raise NotStored(f"{self.objects.uri(prefix)} is unfinished: {seal} is missing; upload it again")
        return prefix

    def _put(self, prefix: str, folder: Path, files: Mapping[str, str]) -> None:
        """Put the files that are not there, in this order; the last one makes it complete."""
        self.objects.make_bucket()
        *_, last = files
        if self.objects.holds(f"{prefix}{last}", files[last]):
            return
        for name, sha256 in files.items():
            if not self.objects.holds(f"{prefix}{name}", sha256):
                self.objects.put_file(f"{prefix}{name}", folder / name, sha256)

    def _fetch_bundle(self, digest: str, draft: Path) -> ModelDescription:
        files = self.describe(digest).files
        prefix = f"{_BUNDLES}/{digest}/"
        expected = {*files, DESCRIPTION_FILE, SEAL_FILE}
        odd = sorted(self.objects.names(prefix) ^ expected)
        if odd:
            raise InvalidBundle(f"{self.objects.uri(prefix)} has missing or unknown files: {', '.join(odd)}")
        self._fetch(prefix, draft, {**files, DESCRIPTION_FILE: digest, SEAL_FILE: _seal_digest(digest)})
        description, found = verify(draft)
        assert found == digest
        return description

    def _fetch(self, prefix: str, draft: Path, files: Mapping[str, str]) -> None:
        draft.mkdir()
        for name, sha256 in files.items():
            path = draft / name
            path.parent.mkdir(parents=True, exist_ok=True)
            uri = self.objects.uri(f"{prefix}{name}")
            try:
                fetched = self.objects.fetch(f"{prefix}{name}", path)
            except NoSuchObject as error:
                raise InvalidBundle(f"{uri} is missing") from error
            if fetched != sha256:
                raise InvalidBundle(f"{uri} is not the file that was sealed")
