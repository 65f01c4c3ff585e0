"""The object store: a real S3 server, and stand-ins for the ways in which one fails."""

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from minio import Minio

from pleura.deadline import Deadline
from pleura.errors import InvalidRequest, RadiographNotFound, StoreUnavailable, TooLarge
from pleura.local.servers import Server
from transformer.objects import ObjectId, Objects, RadiographChanged

BUCKET = "object-tests"
KEYS = ("test-access", "test-secret-key")
LIMIT = 2**20


@pytest.fixture(scope="module")
def client(seaweed: Server) -> Minio:
    client = Minio(seaweed.url.removeprefix("http://"), *KEYS, secure=False, region="us-east-1")
    client.make_bucket(BUCKET)
    return client


@pytest.fixture
def objects(seaweed: Server, client: Minio) -> Iterator[Objects]:
    store = Objects(seaweed.url, *KEYS, BUCKET, timeout_s=20)
    yield store
    store.close()


def put(client: Minio, key: str, body: bytes) -> None:
    client.put_object(BUCKET, key, io.BytesIO(body), len(body))


@pytest.mark.parametrize("key", ["a", "2024/a b/ü.dcm", "...", "..a", "x" * 1024, "%2e%2e/a", "a?b#c"])
def test_ordinary_ids_are_valid(key: str) -> None:
    """Spaces, letters of any language and folders are no crime."""
    assert ObjectId.from_bytes(key.encode()).key == key


@given(st.binary(max_size=60))
def test_any_bytes_give_an_id_or_an_error(raw: bytes) -> None:
    """What passes holds no segment that a path could climb with."""
    try:
        key = ObjectId.from_bytes(raw).key
    except InvalidRequest:
        return
    assert key.encode() == raw
    assert not {"", ".", ".."} & set(key.split("/"))


def test_objects_are_read_with_their_etag(client: Minio, objects: Objects) -> None:
    """What was put is what is read, also under awkward names."""
    for key in ("plain.dcm", "folder/with space/ü.dcm", "%2e%2e/a?b#c+d&e"):
        put(client, key, key.encode() * 1000)
        stat = objects.stat(ObjectId(key))
        assert stat.size == len(key.encode()) * 1000
        assert objects.read(ObjectId(key), stat.etag, LIMIT) == key.encode() * 1000


def test_unknown_object_is_not_found(objects: Objects) -> None:
    """A missing radiograph is the caller's mistake, not the store's."""
    with pytest.raises(RadiographNotFound):
        objects.stat(ObjectId("missing.dcm"))
    with pytest.raises(RadiographNotFound):
        objects.read(ObjectId("missing.dcm"), "0" * 32, LIMIT)


def test_changed_object_is_noticed(client: Minio, objects: Objects) -> None:
    """An answer is never kept under the ETag of another object."""
    put(client, "changing", b"old")
    old = objects.stat(ObjectId("changing"))
    put(client, "changing", b"new")
    with pytest.raises(RadiographChanged):
        objects.read(ObjectId("changing"), old.etag, LIMIT)
    content = objects.fetch(ObjectId("changing"), LIMIT)
    assert content.file == b"new"
    assert content.etag != old.etag


def test_large_object_is_not_downloaded(client: Minio, objects: Objects) -> None:
    """The limit holds before the body is read."""
    put(client, "large", b"x" * (LIMIT + 1))
    stat = objects.stat(ObjectId("large"))
    with pytest.raises(TooLarge):
        objects.read(ObjectId("large"), stat.etag, LIMIT)
    with pytest.raises(TooLarge):
        objects.fetch(ObjectId("large"), LIMIT)
    assert len(objects.read(ObjectId("large"), stat.etag, LIMIT + 1)) == LIMIT + 1


def test_empty_object_is_read(client: Minio, objects: Objects) -> None:
    """No bytes are bytes too; the decoder will say what is wrong."""
    put(client, "empty", b"")
    assert objects.read(ObjectId("empty"), objects.stat(ObjectId("empty")).etag, LIMIT) == b""


def test_wrong_keys_are_the_stores_trouble(seaweed: Server, client: Minio) -> None:
    """What the operator got wrong is not told to the caller."""
    stranger = Objects(seaweed.url, "test-access", "wrong", BUCKET)
    with pytest.raises(StoreUnavailable, match="does not answer"):
        stranger.stat(ObjectId("plain.dcm"))
    assert not stranger.is_alive()
    stranger.close()


def test_alive_means_that_the_bucket_answers(
    seaweed: Server, objects: Objects, free_port: Callable[[], int]
) -> None:
    """A server without the bucket, and no server, are not alive."""
    others = [
        Objects(seaweed.url, *KEYS, "no-such-bucket"),
        Objects(f"http://127.0.0.1:{free_port()}", *KEYS, BUCKET),
    ]
    assert objects.is_alive()
    for other in others:
        assert not other.is_alive()
        other.close()


def test_refused_connection_is_told_at_once(free_port: Callable[[], int]) -> None:
    """Nobody waits for a server that is not there."""
    nobody = Objects(f"http://127.0.0.1:{free_port()}", *KEYS, BUCKET, timeout_s=30)
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        nobody.stat(ObjectId("a"))
    assert time.monotonic() - began < 5
    nobody.close()


HEAD = b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nETag: "abc"\r\n\r\n'


def silence(peer: socket.socket) -> None:
    time.sleep(3)


def trickle(peer: socket.socket) -> None:
    for byte in HEAD * 20:
        peer.sendall(bytes([byte]))
        time.sleep(0.05)


def trickle_body(peer: socket.socket) -> None:
    peer.sendall(HEAD)
    for _ in range(100):
        peer.sendall(b"x")
        time.sleep(0.05)


def cut(peer: socket.socket) -> None:
    peer.sendall(HEAD + b"x" * 500)


def error_500(peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 500 Oh\r\nContent-Length: 7\r\n\r\npeer.go")


def garbage(peer: socket.socket) -> None:
    peer.sendall(b"\xff\xfe\0nonsense\r\n\r\n" * 10)


def redirect(peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 302 Go\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n")


Behaviour = Callable[[socket.socket], None]


@pytest.fixture
def misbehaving(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server that treats each connection in the way that the test names."""
    behave: Behaviour = request.param
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=treat, args=(peer,), daemon=True).start()

    def treat(peer: socket.socket) -> None:
        with peer:
            try:
                peer.recv(65536)
                behave(peer)
            except OSError:
                pass

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@pytest.mark.parametrize(
    "misbehaving", [silence, trickle, trickle_body, cut, error_500, garbage, redirect], indirect=True
)
def test_store_that_misbehaves_is_unavailable_in_time(misbehaving: str) -> None:
    """Hanging, one byte at a time, cut off, wrong: 503 by the deadline, nothing followed elsewhere."""
    store = Objects(misbehaving, *KEYS, BUCKET, timeout_s=30)
    began = time.monotonic()
    with pytest.raises(StoreUnavailable) as raised:
        store.read(ObjectId("a"), "abc", LIMIT, Deadline.after(0.5))
    assert time.monotonic() - began < 1.5
    assert "peer" not in str(raised.value)
    store.close()


@pytest.mark.parametrize("misbehaving", [silence, trickle], indirect=True)
def test_own_time_limit_holds_without_a_deadline(misbehaving: str) -> None:
    """A caller that names no deadline still gets an answer."""
    store = Objects(misbehaving, *KEYS, BUCKET, timeout_s=0.4)
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        store.stat(ObjectId("a"))
    assert not store.is_alive()
    assert time.monotonic() - began < 3
    store.close()
