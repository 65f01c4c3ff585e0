"""What a refusal does to the connection that it comes over."""

from tests.auth_proxy.servers import Proxy, exchange


def test_a_refusal_keeps_the_connection(proxy: Proxy) -> None:
    """A small body has come with its head, so nothing speaks against the next request; else it is closed."""

    def request(length: int, body: bytes) -> bytes:
        head = f"POST /classify HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n"
        return head.encode() + body

    small, cut = request(4, b"{  }"), request(2**20, b"{")
    told = exchange(proxy.http_port, small + small + cut + small)
    assert told.count(b"HTTP/1.1 401") == 3
    assert told.count(b"connection: close") == 1
