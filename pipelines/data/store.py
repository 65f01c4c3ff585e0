"""Data sets in S3: radiographs under their digest, manifests under theirs, neither ever changed."""

import contextlib
import hashlib
import io
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error

from pipelines.data.manifest import Manifest, Stored

_TIMEOUT_S: Final = 10.0
_TRIES: Final = 3
_NOT_FOUND: Final = frozenset({"NoSuchKey", "NoSuchBucket"})
_REFERENCE: Final = re.compile(r"(?:(?P<name>[a-z0-9][a-z0-9-]{0,62})@)?(?P<digest>[0-9a-f]{64})")
# ValueError: http.client raises it on answers that are no HTTP; ParseError: minio, on errors that are no XML.
_FAILURES: Final = (MinioException, urllib3.exceptions.HTTPError, OSError, ValueError, ParseError)


class DatasetStoreError(Exception):
    """The base of what can go wrong with a data set's store."""


class StoreFailed(DatasetStoreError):
    """The object store does not answer, or refuses; what it holds is whole, and one may ask again."""


class NotStored(DatasetStoreError):
    """The store holds no such data set or radiograph."""


class DamagedObject(DatasetStoreError):
    """What is stored under a digest is something else."""


def connect(url: str, access_key: str, secret_key: str, region: str = "us-east-1") -> Minio:
    """A client that asks three times before it gives up, for steps that run long and unattended."""
    parts = urlsplit(url)
    retries = urllib3.Retry(total=_TRIES - 1, backoff_factor=0.5, status_forcelist=(500, 502, 503, 504))
    return Minio(
        parts.netloc,
        access_key,
        secret_key,
        secure=parts.scheme == "https",
        region=region,
        http_client=urllib3.PoolManager(maxsize=16, timeout=_TIMEOUT_S, retries=retries),
    )


class DatasetStore:
    """A bucket of data sets.

    Args:
        client: Of any S3 server; it is used from several threads.
        bucket: Holds ``radiographs/{sha256}`` and ``datasets/{name}/{digest}.json``.
    """

    def __init__(self, client: Minio, bucket: str) -> None:
        self._client, self.bucket = client, bucket

    def prepare(self) -> None:
        """Make the bucket where it is missing.

        Raises:
            StoreFailed: The store does not answer.
        """
        with _translated(f"the bucket {self.bucket}"):
            if not self._client.bucket_exists(self.bucket):
                self._client.make_bucket(self.bucket)

    def add(self, file: bytes) -> str:
        """Keep a radiograph's file and give its key; one that is there already is not sent again.

        Raises:
            StoreFailed: The store does not answer.
        """
        key = f"radiographs/{hashlib.sha256(file).hexdigest()}"
        with _translated(key):
            if not self._holds(key, file):
                self._client.put_object(self.bucket, key, io.BytesIO(file), len(file))
        return key

    def read(self, stored: Stored) -> bytes:
        """Read a radiograph's file.

        Raises:
            NotStored: It is not there.
            DamagedObject: It is not the file that the data set tells of.
            StoreFailed: The store does not answer.
        """
        file = self._get(stored.key)
        if hashlib.sha256(file).hexdigest() != stored.sha256:
            raise DamagedObject(f"radiograph {stored.sha256[:12]}: another file is stored in its place")
        return file

    def put(self, manifest: Manifest) -> str:
        """Keep a data set and give its digest; the same one again changes nothing.

        Raises:
            DamagedObject: Something else is stored under its digest; it is left as it is.
            StoreFailed: The store does not answer.
        """
        document, key = manifest.to_json(), _key(manifest.name, manifest.digest)
        try:
            if self._get(key) != document:
                raise DamagedObject(f"{key}: another document is stored under this digest")
        except NotStored:
            with _translated(key):
                self._client.put_object(
                    self.bucket, key, io.BytesIO(document), len(document), "application/json"
                )
        return manifest.digest

    def get(self, reference: str) -> Manifest:
        """Read a data set.

        Args:
            reference: Its digest, or ``name@digest``.

        Raises:
            ValueError: The reference is neither.
            NotStored: There is no such data set.
            DamagedObject: What is stored is not what the digest tells of.
            InvalidManifest: It is, and yet no manifest.
            StoreFailed: The store does not answer.
        """
        match = _REFERENCE.fullmatch(reference)
        if match is None:
            raise ValueError(f"{reference!r} is neither a digest nor name@digest")
        digest = match["digest"]
        document = self._get(_key(match["name"] or self._name_of(digest), digest))
        if hashlib.sha256(document).hexdigest() != digest:
            raise DamagedObject(f"data set {digest[:12]}: another document is stored under this digest")
        return Manifest.from_json(document)

    def references(self) -> list[str]:
        """Every data set of the bucket as ``name@digest``, in order.

        Raises:
            StoreFailed: The store does not answer.
        """
        with _translated(f"the bucket {self.bucket}"):
            found = self._client.list_objects(self.bucket, "datasets/", recursive=True)
            keys = [each.object_name.removeprefix("datasets/").removesuffix(".json") for each in found]
        references = [key.replace("/", "@") for key in keys]
        return sorted(each for each in references if _REFERENCE.fullmatch(each))

    def uri(self, manifest: Manifest) -> str:
        """Where a data set is kept, as ``s3://...``."""
        return f"s3://{self.bucket}/{_key(manifest.name, manifest.digest)}"

    def _name_of(self, digest: str) -> str:
        for reference in self.references():
            name, _, its_digest = reference.partition("@")
            if its_digest == digest:
                return name
        raise NotStored(f"there is no data set {digest[:12]}")

    def _holds(self, key: str, file: bytes) -> bool:
        """Whether the object is there and whole; one of another MD5 is put again, under its true digest."""
        try:
            etag = self._client.stat_object(self.bucket, key).etag
        except S3Error as error:
            if error.code not in _NOT_FOUND:
                raise
            return False
        return etag == hashlib.md5(file, usedforsecurity=False).hexdigest()

    def _get(self, key: str) -> bytes:
        with _translated(key):
            return _content(self._client, self.bucket, key)


def read_radiograph(client: Minio, bucket: str, image_id: str) -> bytes:
    """Read an answered radiograph; no error tells its id, which may name a patient.

    Raises:
        NotStored: It is not there.
        StoreFailed: The store does not answer.
    """
    with _translated("an answered radiograph"):
        return _content(client, bucket, image_id)


def _content(client: Minio, bucket: str, key: str) -> bytes:
    response = client.get_object(bucket, key)
    try:
        return bytes(response.read())
    finally:
        response.close()
        response.release_conn()


def _key(name: str, digest: str) -> str:
    return f"datasets/{name}/{digest}.json"


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    """Turn the client's failures into ours."""
    try:
        yield
    except _FAILURES as error:
        code = error.code if isinstance(error, S3Error) else None
        if code in _NOT_FOUND:
            raise NotStored(f"{what} is not stored") from error
        raise StoreFailed(f"the object store failed on {what}: {code or type(error).__name__}") from error
