"""How a key document is fetched: by TLS with a private authority, from an address that is discovered."""

import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

from auth_proxy.tokens.key_set import parse_keys
from auth_proxy.tokens.key_sources import DiscoveredKeySource, build_tls
from proof.attacks.forge import key_document


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate that no public authority has signed, with its key in the same folder."""
    folder = tmp_path_factory.mktemp("tls")
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "1"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "ca.pem")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *names, *files]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "ca.pem"


@pytest.fixture(scope="module")
def issuer(certificate: Path) -> Iterator[str]:
    """The address of an issuer that serves its documents by TLS."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_keys = self.path == "/realm/keys"
            configuration = json.dumps({"issuer": url, "jwks_uri": f"{url}/keys"}).encode()
            body = key_document() if is_keys else configuration
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, code: object = "-", size: object = "-") -> None:
            """Write nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        url = f"https://127.0.0.1:{server.server_port}/realm"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.with_name("key.pem"))
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield url
        server.shutdown()
        thread.join()


async def test_a_private_authority_counts_where_it_is_named(issuer: str, certificate: Path) -> None:
    """With the certificate the keys are found. Without it the connection fails."""
    document = await DiscoveredKeySource(issuer, build_tls(certificate)).fetch()
    assert set(parse_keys(document)) == {"ec", "rsa", "ed", "other"}
    with pytest.raises(httpx.ConnectError):
        await DiscoveredKeySource(issuer).fetch()
