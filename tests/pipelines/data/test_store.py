"""A store returns what was put, or an error that says what is wrong."""

import io
import threading
import traceback
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from pipelines.data.store import DatasetStore, read_answered
from pleura.errors import StoreUnavailable
from pleura.local.dependencies import Server, free_port
from pleura.object_bucket import ChangedObject, NoSuchObject, ObjectBucket, connect
from tests.support.pipelines.datasets import ACCESS_KEY, SECRET_KEY, manifest_of, picture, record_of, store_of


def _overwrite(server: Server, store: DatasetStore, key: str, content: bytes) -> None:
    client = connect(server.url, ACCESS_KEY, SECRET_KEY)
    client.put_object(store.bucket, key, io.BytesIO(content), len(content))


def test_a_data_set_is_read_as_it_was_put(seaweed: Server) -> None:
    """Its digest and name@digest lead to it, also after a second put."""
    store, file = store_of(seaweed), picture(1)
    record = record_of(file)
    assert store.add(file) == store.add(file) == record.key
    manifest = manifest_of(record, bucket=store.bucket)
    digest = store.put(manifest)
    assert store.put(manifest) == digest == manifest.digest
    assert store.get(digest) == store.get(f"ours@{digest}") == manifest
    assert store.references() == [f"ours@{digest}"]
    assert store.read(record) == file
    assert store.uri(manifest) == f"s3://{store.bucket}/datasets/ours/{digest}.json"


def test_unknown_data_sets_and_radiographs_are_not_found(seaweed: Server) -> None:
    """A reference that is not a digest is refused without a request."""
    store = store_of(seaweed)
    for reference in ("0" * 64, "ours@" + "0" * 64):
        with pytest.raises(NoSuchObject):
            store.get(reference)
    with pytest.raises(NoSuchObject):
        store.read(record_of(picture(1)))
    with pytest.raises(ValueError, match="neither a digest"):
        store.get("../ours")


def test_a_changed_data_set_is_neither_read_nor_replaced(seaweed: Server) -> None:
    """Another document under the digest is an error for reading and putting, and stays unchanged."""
    store = store_of(seaweed)
    manifest = manifest_of(record_of(picture(1)), bucket=store.bucket)
    digest = store.put(manifest)
    _overwrite(seaweed, store, f"datasets/ours/{digest}.json", manifest.to_json() + b"\n")
    for act in (lambda: store.get(digest), lambda: store.put(manifest)):
        with pytest.raises(ChangedObject, match=r"another document"):
            act()


def test_a_changed_radiograph_is_refused_and_can_be_sent_again(seaweed: Server) -> None:
    """The key is the digest, so only the original file can be sent again."""
    store, file = store_of(seaweed), picture(1)
    record = record_of(file)
    store.add(file)
    _overwrite(seaweed, store, record.key, file[:-1])
    with pytest.raises(ChangedObject, match=record.sha256[:12]):
        store.read(record)
    store.add(file)
    assert store.read(record) == file


def test_an_unavailable_store_is_one_kind_of_error() -> None:
    """Every method raises the same error, and its text has no access key."""
    store = DatasetStore(connect(f"http://127.0.0.1:{free_port()}", "key", "very-secret"), "data")
    manifest = manifest_of(record_of(picture(1)))
    acts = (
        store.prepare,
        store.references,
        lambda: store.add(picture(1)),
        lambda: store.put(manifest),
        lambda: store.read(manifest.records[0]),
    )
    for act in acts:
        with pytest.raises(StoreUnavailable, match="the object store does not answer") as failed:
            act()
        assert "very-secret" not in str(failed.value)


def test_no_error_names_an_image_id(seaweed: Server) -> None:
    """Image ids may name patients, so neither a missing object nor an unavailable store names one."""
    store, image_id = store_of(seaweed), "/".join(("Miller", "1950.dcm"))  # the traceback quotes this file
    for client, kind in (
        (connect(seaweed.url, ACCESS_KEY, SECRET_KEY), NoSuchObject),
        (connect(f"http://127.0.0.1:{free_port()}", ACCESS_KEY, SECRET_KEY), StoreUnavailable),
    ):
        with pytest.raises(kind) as failed:
            read_answered(ObjectBucket(client, store.bucket), image_id)
        assert "Miller" not in "".join(traceback.format_exception(failed.value))


def test_a_concurrent_put_is_retried() -> None:
    """S3 answers 409 while another client writes the same new object. A retry tells which one succeeded."""
    answers = [409, 412, 409, 200]

    class Rivalled(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(answers.pop(0) if self.headers["if-none-match"] == "*" else 400)
            self.send_header("content-length", "0")
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Rivalled) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        objects = ObjectBucket(connect(f"http://127.0.0.1:{server.server_port}", "key", "secret"), "runs")
        found = [objects.put_if_absent("a.json", b"{}", "application/json") for _ in range(2)]
        server.shutdown()
    assert (found, answers) == ([False, True], [])
