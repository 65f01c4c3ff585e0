"""The bucket of radiographs that the transformer's tests read from."""

import pytest
from minio import Minio

from pleura.local.dependencies import Server
from proof.lab.bucket import BUCKET, make_bucket_client, put_object
from proof.lab.transformer import make_radiograph_png


@pytest.fixture(scope="session")
def bucket(seaweed: Server) -> Minio:
    """A client of a bucket that holds ``r0.png`` to ``r9.png``, ``empty.png`` and ``text.dcm``."""
    client = make_bucket_client(seaweed.url)
    if not client.bucket_exists(BUCKET):
        client.make_bucket(BUCKET)
    for number in range(10):
        put_object(client, f"r{number}.png", make_radiograph_png(number))
    put_object(client, "empty.png", b"")
    put_object(client, "text.dcm", b"This is no radiograph.")
    return client
