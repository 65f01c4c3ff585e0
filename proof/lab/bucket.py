"""The bucket of radiographs that tests and campaigns read from and write to."""

import io
from typing import Final

from minio import Minio

from proof.lab.transformer import ACCESS_KEY, SECRET_KEY

BUCKET: Final = "radiographs"


def make_bucket_client(url: str) -> Minio:
    """Make a client that may write to the bucket."""
    # A region saves the client one request, by which it would ask the server for it.
    return Minio(url.removeprefix("http://"), ACCESS_KEY, SECRET_KEY, secure=False, region="us-east-1")


def put_object(client: Minio, key: str, content: bytes) -> None:
    """Put an object into the bucket."""
    client.put_object(BUCKET, key, io.BytesIO(content), len(content))
