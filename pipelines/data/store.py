"""Data sets in S3: radiographs under their digest, manifests under theirs, neither ever changed."""

import hashlib
import re
from typing import Final

from minio import Minio

from pipelines.data.manifest import DatasetFile, Manifest
from pipelines.object_store import ChangedObject, NoSuchObject, ObjectStore

_MOST_RADIOGRAPH_BYTES: Final = 2**28
_MOST_MANIFEST_BYTES: Final = 2**30
_PREFIX: Final = "datasets/"
_REFERENCE: Final = re.compile(r"(?:(?P<name>[a-z0-9][a-z0-9-]{0,62})@)?(?P<digest>[0-9a-f]{64})")


class DatasetStore:
    """A bucket of data sets; StoreUnavailable is raised where it does not answer, and one may ask again.

    Args:
        client: Of any S3 server; it is used from several threads.
        bucket: Holds ``radiographs/{sha256}`` and ``datasets/{name}/{digest}.json``.
    """

    def __init__(self, client: Minio, bucket: str) -> None:
        self._objects, self.bucket = ObjectStore(client, bucket), bucket

    def prepare(self) -> None:
        """Make the bucket where it is missing."""
        self._objects.make_bucket()

    def add(self, file: bytes) -> str:
        """Keep a radiograph's file and give its key; one that is there already is not sent again."""
        digest = hashlib.sha256(file).hexdigest()
        key = f"radiographs/{digest}"
        if not self._objects.holds(key, digest):
            self._objects.put(key, file)
        return key

    def read(self, stored: DatasetFile) -> bytes:
        """Read a radiograph's file.

        Raises:
            NoSuchObject: It is not there.
            ChangedObject: It is not the file that the data set tells of.
        """
        file = self._objects.read(stored.key, _MOST_RADIOGRAPH_BYTES)
        if hashlib.sha256(file).hexdigest() != stored.sha256:
            raise ChangedObject(f"radiograph {stored.sha256[:12]}: another file is stored in its place")
        return file

    def put(self, manifest: Manifest) -> str:
        """Keep a data set and give its digest; the same one again changes nothing.

        Raises:
            ChangedObject: Something else is stored under its digest; it is left as it is.
        """
        document, key = manifest.to_json(), _key(manifest.name, manifest.digest)
        try:
            if self._objects.read(key, _MOST_MANIFEST_BYTES) != document:
                raise ChangedObject(f"{key}: another document is stored under this digest")
        except NoSuchObject:
            self._objects.put(key, document, "application/json")
        return manifest.digest

    def get(self, reference: str) -> Manifest:
        """Read a data set.

        Args:
            reference: Its digest, or ``name@digest``.

        Raises:
            ValueError: The reference is neither.
            NoSuchObject: There is no such data set.
            ChangedObject: What is stored is not what the digest tells of.
            InvalidDocument: It is, and yet no manifest.
        """
        match = _REFERENCE.fullmatch(reference)
        if match is None:
            raise ValueError(f"{reference!r} is neither a digest nor name@digest")
        digest = match["digest"]
        key = _key(match["name"] or self._name_of(digest), digest)
        document = self._objects.read(key, _MOST_MANIFEST_BYTES)
        if hashlib.sha256(document).hexdigest() != digest:
            raise ChangedObject(f"data set {digest[:12]}: another document is stored under this digest")
        return Manifest.from_json(document)

    def references(self) -> list[str]:
        """Every data set of the bucket as ``name@digest``, in order."""
        names = self._objects.names(_PREFIX)
        references = (name.removesuffix(".json").replace("/", "@") for name in names)
        return sorted(each for each in references if _REFERENCE.fullmatch(each))

    def uri(self, manifest: Manifest) -> str:
        """Where a data set is kept, as ``s3://...``."""
        return self._objects.uri(_key(manifest.name, manifest.digest))

    def _name_of(self, digest: str) -> str:
        for reference in self.references():
            name, _, its_digest = reference.partition("@")
            if its_digest == digest:
                return name
        raise NoSuchObject(f"there is no data set {digest[:12]}")


def read_answered(objects: ObjectStore, image_id: str) -> bytes:
    """Read an answered radiograph; no error tells its id, which may name a patient.

    Raises:
        NoSuchObject: It is not there.
        ChangedObject: It is larger than any radiograph.
    """
    return objects.read(image_id, _MOST_RADIOGRAPH_BYTES, named="an answered radiograph")


def _key(name: str, digest: str) -> str:
    return f"{_PREFIX}{name}/{digest}.json"
