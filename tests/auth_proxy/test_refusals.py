"""Which refusals close the connection."""

from proof.lab.module_process import is_answering, wait_until
from proof.lab.proxy import Issuer, exchange
from tests.auth_proxy.conftest import StartProxy

_JSON = "content-type: application/json"


def test_a_small_request_beyond_the_rate_keeps_its_connection(
    start_proxy: StartProxy, local_issuer: Issuer
) -> None:
    """A small whole request that exceeds the rate keeps its connection. A partial request closes it."""
    proxy, token = start_proxy(rate_per_s=0.001, burst=1), local_issuer.issue_token()
    wait_until(lambda: is_answering(proxy.http_port, "/readyz"))

    def request(length: int, body: bytes) -> bytes:
        lines = ("POST /classify HTTP/1.1", "host: a", f"authorization: Bearer {token}", _JSON)
        return "\r\n".join([*lines, f"content-length: {length}", "", ""]).encode() + body

    small, cut = request(4, b"{  }"), request(2**20, b"{")
    told = exchange(proxy.http_port, small * 3 + cut + small)
    assert told.count(b"HTTP/1.1 400") == 1
    assert told.count(b"HTTP/1.1 429") == 3
    assert told.count(b"connection: close") == 1
