"""The object store: a real S3 server, and stand-ins for the ways in which a store fails."""

import asyncio
import contextlib
import io
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from minio import Minio

from pleura.deadline import Deadline
from pleura.errors import InvalidRequest, RadiographNotFound, StoreUnavailable, TooLarge
from pleura.local.dependencies import Server
from proof.lab.tcp_server import serve_tcp
from transformer.object_id import ObjectId
from transformer.object_store import Bucket, RadiographChanged, RadiographStore

BUCKET = "object-tests"
KEYS = ("test-access", "test-secret-key")
LIMIT = 2**20


@pytest.fixture(scope="module")
def client(seaweed: Server) -> Minio:
    client = Minio(seaweed.url.removeprefix("http://"), *KEYS, secure=False, region="us-east-1")
    client.make_bucket(BUCKET)
    return client


@contextlib.asynccontextmanager
async def opened(
    url: str, secret_key: str = KEYS[1], bucket: str = BUCKET, timeout_s: float = 30.0
) -> AsyncIterator[RadiographStore]:
    """Open a store until the block ends."""
    store = RadiographStore(Bucket(url, KEYS[0], secret_key, bucket), LIMIT, timeout_s)
    try:
        yield store
    finally:
        await store.close()
        await asyncio.sleep(0)  # the event loop has its part in it


@pytest.fixture
async def store(seaweed: Server, client: Minio) -> AsyncIterator[RadiographStore]:
    async with opened(seaweed.url) as store:
        yield store


def soon(seconds: float = 20.0) -> Deadline:
    return Deadline.after(seconds)


def put(client: Minio, key: str, body: bytes) -> None:
    client.put_object(BUCKET, key, io.BytesIO(body), len(body))


@pytest.mark.parametrize("key", ["a", "2024/a b/ü.dcm", "...", "..a", "x" * 1024, "%2e%2e/a", "a?b#c"])
def test_ordinary_ids_are_valid(key: str) -> None:
    """Spaces, letters of any language and folders are allowed."""
    assert ObjectId.from_bytes(key.encode()).key == key


@given(st.binary(max_size=60))
def test_any_bytes_give_an_id_or_an_error(raw: bytes) -> None:
    """A valid id has no segment that leads out of its folder."""
    try:
        key = ObjectId.from_bytes(raw).key
    except InvalidRequest:
        return
    assert key.encode() == raw
    assert not {"", ".", ".."} & set(key.split("/"))


async def test_objects_are_read_with_their_etag(client: Minio, store: RadiographStore) -> None:
    """Objects are read as they were written, under unusual keys too."""
    for key in ("plain.dcm", "folder/with space/ü.dcm", "%2e%2e/a?b#c+d&e", "~'()*!@:$,;=[]"):
        content = key.encode() * 1000
        put(client, key, content)
        fetched = await store.read(ObjectId(key), soon())
        assert fetched.file == content
        assert fetched.etag == await store.read_etag(ObjectId(key), soon())


async def test_an_unknown_object_is_not_found(store: RadiographStore) -> None:
    """A missing radiograph is an error of the caller, not of the store."""
    with pytest.raises(RadiographNotFound):
        await store.read_etag(ObjectId("missing.dcm"), soon())
    with pytest.raises(RadiographNotFound):
        await store.read(ObjectId("missing.dcm"), soon())


async def test_a_changed_object_has_another_etag(client: Minio, store: RadiographStore) -> None:
    """Each content has its own ETag, and is read with it."""
    put(client, "changing", b"old")
    old = await store.read(ObjectId("changing"), soon())
    put(client, "changing", b"new")
    new = await store.read(ObjectId("changing"), soon())
    assert (old.file, new.file) == (b"old", b"new")
    assert old.etag != new.etag == await store.read_etag(ObjectId("changing"), soon())


async def test_an_object_that_was_replaced_is_not_read_for_the_one_before(
    client: Minio, store: RadiographStore
) -> None:
    """A read with an ETag gives that version or none."""
    put(client, "versions", b"old")
    old = await store.read_etag(ObjectId("versions"), soon())
    assert (await store.read(ObjectId("versions"), soon(), old)).file == b"old"
    put(client, "versions", b"new")
    with pytest.raises(RadiographChanged):
        await store.read(ObjectId("versions"), soon(), old)


async def test_a_missing_object_keeps_the_connection() -> None:
    """The store's error document is read, so that the connection can be used again."""
    connections, ended = 0, asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 404 No\r\nContent-Length: 1000\r\n\r\n" + bytes(1000))
        writer.close()
        await writer.wait_closed()
        ended.set()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        async with opened(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as store:
            for _ in range(5):
                with pytest.raises(RadiographNotFound):
                    await store.read(ObjectId("nowhere"), soon())
        await ended.wait()
    assert connections == 1


async def test_a_large_object_is_not_downloaded(client: Minio, store: RadiographStore) -> None:
    """The limit is checked before the body is read."""
    put(client, "large", b"x" * (LIMIT + 1))
    put(client, "as large as may be", b"x" * LIMIT)
    with pytest.raises(TooLarge):
        await store.read_etag(ObjectId("large"), soon())
    with pytest.raises(TooLarge):
        await store.read(ObjectId("large"), soon())
    assert len((await store.read(ObjectId("as large as may be"), soon())).file) == LIMIT


async def test_an_empty_object_is_read(client: Minio, store: RadiographStore) -> None:
    """The store gives an empty file. The decoder reports that it is wrong."""
    put(client, "empty", b"")
    assert (await store.read(ObjectId("empty"), soon())).file == b""


async def test_with_wrong_keys_the_store_is_unavailable(seaweed: Server, client: Minio) -> None:
    """The caller does not learn that the operator's keys are wrong."""
    async with opened(seaweed.url, secret_key="wrong") as wrong_store:
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await wrong_store.read_etag(ObjectId("plain.dcm"), soon())
        assert not await wrong_store.is_alive(5)


async def test_alive_means_that_the_bucket_answers(
    seaweed: Server, store: RadiographStore, free_port: Callable[[], int]
) -> None:
    """A server without the bucket, and no server, are not alive."""
    assert await store.is_alive(5)
    async with opened(seaweed.url, bucket="no-such-bucket") as other:
        assert not await other.is_alive(5)
    async with opened(f"http://127.0.0.1:{free_port()}") as down:
        assert not await down.is_alive(5)


async def test_a_refused_connection_fails_at_once(free_port: Callable[[], int]) -> None:
    """No caller waits for a server that is down."""
    async with opened(f"http://127.0.0.1:{free_port()}") as down:
        began_s = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await down.read_etag(ObjectId("a"), soon(30))
        assert time.monotonic() - began_s < 5


async def test_a_bucket_with_its_own_server_is_called_there() -> None:
    """Amazon's S3 has a host name for each bucket, for which the signature is valid."""
    async with opened("https://s3.amazonaws.com", bucket="radiographs") as store:
        assert store.address == "https://radiographs.s3.us-east-1.amazonaws.com/"
    async with opened("http://minio.example:9000", bucket="radiographs") as store:
        assert store.address == "http://minio.example:9000/radiographs"


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


def cut_head(peer: socket.socket) -> None:
    peer.sendall(HEAD[:17])


def error_500(peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 500 Oh\r\nContent-Length: 7\r\n\r\npeer.go")


def garbage(peer: socket.socket) -> None:
    peer.sendall(b"\xff\xfe\0nonsense\r\n\r\n" * 10)


def redirect(peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 302 Go\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n")


def no_etag(peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")


def long_etag(peer: socket.socket) -> None:
    peer.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: "%s"\r\n\r\n' % (b"a" * 300))


def endless(peer: socket.socket) -> None:
    peer.sendall(b'HTTP/1.1 200 OK\r\nETag: "abc"\r\n\r\n')
    while True:
        peer.sendall(bytes(2**16))


Behaviour = Callable[[socket.socket], None]


@pytest.fixture
def misbehaving(request: pytest.FixtureRequest) -> Iterator[str]:
    """Start a server that treats each connection as the test's parameter does."""
    behave: Behaviour = request.param

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with self.request, contextlib.suppress(OSError):
                self.request.recv(65536)
                behave(self.request)

    with serve_tcp(Handler) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    "misbehaving",
    [silence, trickle, trickle_body, cut, cut_head, error_500, garbage, redirect],
    indirect=True,
)
async def test_a_store_that_misbehaves_is_unavailable_in_time(misbehaving: str) -> None:
    """A silent, slow, cut or wrong answer is 503 before the deadline, and no redirect is followed."""
    async with opened(misbehaving) as store:
        began_s = time.monotonic()
        with pytest.raises(StoreUnavailable) as raised:
            await store.read(ObjectId("a"), soon(0.5))
        assert time.monotonic() - began_s < 1.5
        assert "peer" not in str(raised.value)


@pytest.mark.parametrize("misbehaving", [silence, trickle], indirect=True)
async def test_own_time_limit_holds_before_the_deadline(misbehaving: str) -> None:
    """A caller with much time does not wait long for a silent store."""
    async with opened(misbehaving, timeout_s=0.4) as store:
        began_s = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await store.read_etag(ObjectId("a"), soon(30))
        assert not await store.is_alive(0.4)
        assert time.monotonic() - began_s < 3


@pytest.mark.parametrize("misbehaving", [silence], indirect=True)
async def test_a_call_that_waits_for_its_turn_keeps_its_time_limit(misbehaving: str) -> None:
    """A call that finds the maximum of calls under way fails within its own time limit."""
    async with opened(misbehaving, timeout_s=0.5) as store:
        began_s = time.monotonic()
        calls = (store.read_etag(ObjectId("a"), soon(30)) for _ in range(100))
        failures = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(failure, StoreUnavailable) for failure in failures)
        assert time.monotonic() - began_s < 3


async def test_the_store_is_alive_while_all_calls_are_under_way() -> None:
    """Many calls about radiographs do not make the store look down."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(
            asyncio.IncompleteReadError
        ):  # the client closes the connection when its time is over
            if f"/{BUCKET} HTTP".encode() in await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, opened(url, timeout_s=1.5) as store:
        calls = [asyncio.ensure_future(store.read_etag(ObjectId("a"), soon(30))) for _ in range(100)]
        await asyncio.sleep(0.2)
        assert await store.is_alive(1)
        assert not any(call.done() for call in calls)
        await asyncio.gather(*calls, return_exceptions=True)


@pytest.mark.parametrize("misbehaving", [no_etag, long_etag], indirect=True)
async def test_an_object_without_a_valid_etag_is_not_read(misbehaving: str) -> None:
    """Without an ETag, the cache could answer with an earlier radiograph of the same key."""
    async with opened(misbehaving) as store:
        with pytest.raises(StoreUnavailable, match="valid answer"):
            await store.read_etag(ObjectId("a"), soon(5))
        with pytest.raises(StoreUnavailable, match="valid answer"):
            await store.read(ObjectId("a"), soon(5))


@pytest.mark.parametrize("misbehaving", [endless], indirect=True)
async def test_an_object_of_unknown_size_is_read_to_the_limit(misbehaving: str) -> None:
    """An answer without a length is not read beyond the limit."""
    async with opened(misbehaving) as store:
        with pytest.raises(TooLarge):
            await store.read(ObjectId("a"), soon(10))


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """Make a TLS server context with a certificate for 127.0.0.1 that this process trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "certificate.pem"
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private = key.private_bytes(pem, pkcs8, serialization.NoEncryption())
    file.write_bytes(certificate.public_bytes(pem) + private)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


@pytest.mark.parametrize("behave", [trickle, trickle_body, silence])
async def test_the_deadline_holds_over_tls_too(trusted: ssl.SSLContext, behave: Behaviour) -> None:
    """A slow answer over TLS does not outlast the deadline either."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended = threading.Event()

        def serve() -> None:
            peer, _ = listener.accept()
            with contextlib.suppress(OSError), trusted.wrap_socket(peer, server_side=True) as encrypted:
                encrypted.recv(65536)
                behave(encrypted)
            ended.set()

        threading.Thread(target=serve, daemon=True).start()
        async with opened(f"https://127.0.0.1:{listener.getsockname()[1]}") as store:
            began_s = time.monotonic()
            with pytest.raises(StoreUnavailable):
                await store.read(ObjectId("a"), soon(0.7))
            assert 0.5 < time.monotonic() - began_s < 2
        assert await asyncio.to_thread(ended.wait, 15)
