"""Nothing but S3 with its key reaches the films."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import grpc
import pytest
import urllib3
from minio.error import S3Error

from pleura.local.dependencies import Server, free_port, start_seaweed
from pleura.local.dependencies.certificate import CertificateFiles, write_certificate
from pleura.local.object_store import build_store_client

KEYS: Final = ("some-access", "some-secret")
FILM: Final = b"a film"
HTTP_PORTS: Final = ("master.port", "volume.port", "filer.port")
GRPC_PORTS: Final = ("master.port.grpc", "volume.port.grpc", "filer.port.grpc", "s3.port.grpc")
EVIL: Final = {"Origin": "https://evil.example", "Host": "evil.example"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the server."""
    return tmp_path_factory.mktemp("seaweed")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    """A server with one film."""
    server = start_seaweed(folder, free_port(), *KEYS)
    client = build_store_client(server.url, *KEYS, timeout_s=20.0)
    client.make_bucket("radiographs")
    client.put_object("radiographs", "film.png", io.BytesIO(FILM), len(FILM))
    yield server
    server.stop()


def _read_film(server: Server) -> bytes:
    with build_store_client(server.url, *KEYS).get_object("radiographs", "film.png") as response:
        return response.read()


def _ports(folder: Path) -> dict[str, int]:
    ports: dict[str, int] = json.loads((folder / "ports.json").read_text())
    return ports


def _http(folder: Path, own: CertificateFiles | None = None) -> urllib3.PoolManager:
    """A client that trusts the server. It shows a certificate, if it has one."""
    certificate, key = (str(own.certificate), str(own.key)) if own else (None, None)
    trusted = str(folder / "inner.crt")
    return urllib3.PoolManager(
        timeout=3.0, retries=False, ca_certs=trusted, cert_file=certificate, key_file=key
    )


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("port", HTTP_PORTS)
def test_inner_ports_take_no_request(server: Server, folder: Path, port: str, scheme: str) -> None:
    """Reading, replacing, deleting and a web page's form fail at master, volume and filer."""
    url = f"{scheme}://127.0.0.1:{_ports(folder)[port]}"
    film = "/buckets/radiographs/film.png"
    form = {"file": ("film.png", b"another film", "image/png")}
    calls: list[Callable[[urllib3.PoolManager], urllib3.BaseHTTPResponse]] = [
        lambda http: http.request("GET", url + film, headers=EVIL),
        lambda http: http.request("PUT", url + film, body=b"another film"),
        lambda http: http.request("POST", url + "/buckets/radiographs/", fields=form, headers=EVIL),
        lambda http: http.request("DELETE", url + film, headers=EVIL),
        lambda http: http.request("DELETE", url + "/buckets/radiographs?recursive=true"),
        lambda http: http.request("GET", url + "/dir/assign"),
        lambda http: http.request("GET", url + "/col/delete?collection=radiographs"),
        lambda http: http.request("GET", url + "/1,01637037d6"),
        lambda http: http.request("GET", url + "/status"),
    ]
    for call in calls:
        with _http(folder) as http:
            try:
                response = call(http)
            except urllib3.exceptions.HTTPError:
                continue
            # Go's answer to a request without TLS
            assert (response.status, response.data.strip()) == (
                400,
                b"Client sent an HTTP request to an HTTPS server.",
            )
    assert _read_film(server) == FILM


@pytest.mark.parametrize("port", GRPC_PORTS)
def test_inner_grpc_ports_take_no_call(server: Server, folder: Path, port: str) -> None:
    """Without the certificate no call arrives: with TLS, without it, and through the socket in /tmp."""
    number = _ports(folder)[port]
    role = port.partition(".")[0]
    targets = [f"127.0.0.1:{number}", f"unix:/tmp/seaweedfs-{role}-grpc-{number}.sock"]
    certificate = (folder / "inner.crt").read_bytes()
    method = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
    for target in targets:
        secure = grpc.secure_channel(target, grpc.ssl_channel_credentials(certificate))
        for channel in (grpc.insecure_channel(target), secure):
            with channel, pytest.raises(grpc.RpcError) as caught:
                list(channel.stream_stream(method)(iter([b"\x3a\x00"]), timeout=3.0))
            assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


def test_a_certificate_of_another_server_is_refused(server: Server, folder: Path, tmp_path: Path) -> None:
    """Each server trusts its own certificate only."""
    with _http(folder, write_certificate(tmp_path)) as http, pytest.raises(urllib3.exceptions.HTTPError):
        http.request("GET", f"https://127.0.0.1:{_ports(folder)['filer.port']}/buckets/")


@pytest.mark.parametrize("keys", [("", ""), ("some-access", "wrong-secret"), ("other-access", "some-secret")])
def test_s3_asks_for_its_keys(server: Server, keys: tuple[str, str]) -> None:
    """No key, a wrong secret or an unknown key reads, replaces and deletes nothing."""
    client = build_store_client(server.url, *keys)
    for call in (
        lambda: client.get_object("radiographs", "film.png"),
        lambda: client.put_object("radiographs", "film.png", io.BytesIO(b"x"), 1),
        lambda: client.remove_object("radiographs", "film.png"),
        lambda: client.list_buckets(),
    ):
        with pytest.raises(S3Error, match=r"AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch"):
            call()
    assert _read_film(server) == FILM


def test_a_web_page_may_not_read_s3(server: Server, folder: Path) -> None:
    """The answer to another origin allows no script to read it."""
    with _http(folder) as http:
        headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}
        for method in ("GET", "OPTIONS"):
            response = http.request(method, f"{server.url}/radiographs/film.png", headers=headers)
            assert response.headers.get("Access-Control-Allow-Origin") not in ("*", "https://evil.example")
            assert response.data != FILM
