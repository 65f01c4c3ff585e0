"""Data sets in S3: radiographs and manifests under their digests. Neither ever changes."""

import hashlib
import re
from typing import Final

from minio import Minio

from pipelines.data.manifest import DatasetFile, Manifest
from pleura.object_bucket import ChangedObject, NoSuchObject, ObjectBucket

_MOST_RADIOGRAPH_BYTES: Final = 2**28
_MOST_MANIFEST_BYTES: Final = 2**30
_PREFIX: Final = "datasets/"
_REFERENCE: Final = re.compile(r"(?:(?P<name>[a-z0-9][a-z0-9-]{0,62})@)?(?P<digest>[0-9a-f]{64})")


class DatasetStore:
    """A bucket of data sets. Every method raises StoreUnavailable if the object store does not answer.

    Args:
        client: The client of an S3 server. Several threads use it.
        bucket: The bucket with ``radiographs/{sha256}`` and ``datasets/{name}/{digest}.json``.
    """

    def __init__(self, client: Minio, bucket: str) -> None:
        self._objects, self.bucket = ObjectBucket(client, bucket), bucket

    def prepare(self) -> None:
        """Create the bucket if it is missing."""
        self._objects.make_bucket()

    def add(self, file: bytes) -> str:
        """Store a radiograph's file and return its key. A file that the bucket has is not sent again."""
        digest = hashlib.sha256(file).hexdigest()
        key = f"radiographs/{digest}"
        if not self._objects.contains(key, digest):
            self._objects.put(key, file)
        return key

    def read(self, stored: DatasetFile) -> bytes:
        """Read a radiograph's file.

        Raises:
            NoSuchObject: The bucket does not hold it.
            ChangedObject: Its digest is not that of the data set.
        """
        file = self._objects.read(stored.key, _MOST_RADIOGRAPH_BYTES)
        if hashlib.sha256(file).hexdigest() != stored.sha256:
            raise ChangedObject(f"radiograph {stored.sha256[:12]}: the stored file is another one")
        return file

    def put(self, manifest: Manifest) -> str:
        """Store a data set and return its digest. Storing the same data set again changes nothing.

        Raises:
            ChangedObject: Another document is stored under this digest. It is not overwritten.
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
            reference: The digest, or ``name@digest``.

        Raises:
            ValueError: The reference is neither of them.
            NoSuchObject: There is no such data set.
            ChangedObject: The stored document has another digest.
            InvalidDocument: The stored document is not a manifest.
        """
        match = _REFERENCE.fullmatch(reference)
        if match is None:
            raise ValueError(f"{reference!r} is neither a digest nor name@digest")
        digest = match["digest"]
        key = _key(match["name"] or self._find_name(digest), digest)
        document = self._objects.read(key, _MOST_MANIFEST_BYTES)
        if hashlib.sha256(document).hexdigest() != digest:
            raise ChangedObject(f"data set {digest[:12]}: another document is stored under this digest")
        return Manifest.from_json(document)

    def references(self) -> list[str]:
        """List the data sets of the bucket as ``name@digest``, in order."""
        names = self._objects.list_names(_PREFIX)
        references = (name.removesuffix(".json").replace("/", "@") for name in names)
        return sorted(reference for reference in references if _REFERENCE.fullmatch(reference))

    def uri(self, manifest: Manifest) -> str:
        """The address of a data set, ``s3://...``."""
        return self._objects.uri(_key(manifest.name, manifest.digest))

    def _find_name(self, digest: str) -> str:
        for reference in self.references():
            name, _, stored_digest = reference.partition("@")
            if stored_digest == digest:
                return name
        raise NoSuchObject(f"there is no data set {digest[:12]}")


def read_answered(objects: ObjectBucket, image_id: str) -> bytes:
    """Read an answered radiograph. No error contains the image id, which may name a patient.

    Raises:
        NoSuchObject: The bucket does not hold it.
        ChangedObject: It is larger than any radiograph.
    """
    return objects.read(image_id, _MOST_RADIOGRAPH_BYTES, named="an answered radiograph")


def _key(name: str, digest: str) -> str:
    return f"{_PREFIX}{name}/{digest}.json"
