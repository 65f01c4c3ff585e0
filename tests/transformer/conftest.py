"""The bucket of radiographs that the transformer's tests read from."""

import io

import pytest
from minio import Minio

from pleura.local.dependencies import Server
from proof.lab.transformer import ACCESS_KEY, SECRET_KEY, png_of

BUCKET = "radiographs"


def client_of(url: str) -> Minio:
    """A client that may write."""
    return Minio(url.removeprefix("http://"), ACCESS_KEY, SECRET_KEY, secure=False, region="us-east-1")


def put(client: Minio, key: str, content: bytes) -> None:
    """Put an object into the bucket."""
    client.put_object(BUCKET, key, io.BytesIO(content), len(content))


@pytest.fixture(scope="session")
def bucket(seaweed: Server) -> Minio:
    """A client of a bucket that holds ``r0.png`` to ``r9.png``, ``empty.png`` and ``text.dcm``."""
    client = client_of(seaweed.url)
    if not client.bucket_exists(BUCKET):
        client.make_bucket(BUCKET)
    for number in range(10):
        put(client, f"r{number}.png", png_of(number))
    put(client, "empty.png", b"")
    put(client, "text.dcm", b"This is no radiograph.")
    return client
