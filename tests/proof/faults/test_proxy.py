"""Each fault of the fault proxy has its effect, so that the campaigns test something."""

import contextlib
import socket
import socketserver
import time
from collections.abc import Iterator

import pytest

from proof.faults.proxy import Fault, FaultProxy
from proof.lab.tcp_server import serve_tcp
from tests.proof.faults.conftest import StartFaultProxy


class _EchoHandler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(OSError):
            while content := self.request.recv(65536):
                self.request.sendall(content)


@pytest.fixture
def proxy(start_fault_proxy: StartFaultProxy) -> Iterator[FaultProxy]:
    """A fault proxy in front of a server that echoes all bytes."""
    with serve_tcp(_EchoHandler) as port:
        yield start_fault_proxy(port)


def _connect(proxy: FaultProxy, timeout_s: float = 5.0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=timeout_s)


def _exchange(peer: socket.socket, request: bytes = b"GET / HTTP/1.1\r\n\r\n") -> bytes:
    """Send bytes, and read as many bytes, or all until the end."""
    peer.sendall(request)
    answer = b""
    while len(answer) < len(request) and (more := peer.recv(65536)):
        answer += more
    return answer


def test_all_bytes_pass_without_a_fault(proxy: FaultProxy) -> None:
    """Bytes pass both ways, and the first line of a request is recorded with its time."""
    began_s = time.monotonic()
    with _connect(proxy) as peer:
        assert _exchange(peer, b"x" * 200_000) == b"x" * 200_000
        assert _exchange(peer) == b"GET / HTTP/1.1\r\n\r\n"
    (request,) = proxy.read_traffic()
    assert request.line == "GET / HTTP/1.1"
    assert began_s < request.at_s < time.monotonic()


def test_slow_and_trickle_delay_each_direction(proxy: FaultProxy) -> None:
    """Each direction takes longer by the set time. After the fault the same connection is fast again."""
    with _connect(proxy) as peer:
        for fault, least_s in ((Fault("slow", ms=100), 0.2), (Fault("trickle", ms=15), 0.2)):
            with proxy.apply(fault):
                began_s = time.monotonic()
                assert _exchange(peer) == b"GET / HTTP/1.1\r\n\r\n"
                assert time.monotonic() - began_s >= least_s
        taken_s = []
        for _ in range(5):
            began_s = time.monotonic()
            _exchange(peer)
            taken_s.append(time.monotonic() - began_s)
        assert min(taken_s) < 0.15


def test_down_and_flapping_refuse_connections(proxy: FaultProxy) -> None:
    """Open connections are reset, and new ones are refused until the proxy is up."""
    with _connect(proxy) as peer, proxy.apply(Fault("down")):
        with pytest.raises(ConnectionError):
            peer.recv(1)
        with pytest.raises(ConnectionRefusedError):
            _connect(proxy)
    with proxy.apply(Fault("flapping", ms=50)):
        outcomes, end_s = set[str](), time.monotonic() + 10
        while outcomes != {"up", "down"} and time.monotonic() < end_s:
            try:
                _connect(proxy).close()
                outcomes.add("up")
            except ConnectionRefusedError:
                outcomes.add("down")
            time.sleep(0.01)
    assert outcomes == {"up", "down"}
    with _connect(proxy) as peer:
        assert _exchange(peer)


@contextlib.contextmanager
def _expect_silence(peer: socket.socket) -> Iterator[None]:
    timeout_before_s = peer.gettimeout()
    peer.settimeout(0.3)
    with pytest.raises(TimeoutError):
        yield
    peer.settimeout(timeout_before_s)


@pytest.mark.parametrize(("kind", "continues"), [("hanging", True), ("forgotten", False)])
def test_hanging_connections_are_silent(proxy: FaultProxy, kind: str, continues: bool) -> None:
    """Old and new connections get no bytes. After the fault they continue, unless they are forgotten."""
    with _connect(proxy) as old:
        _exchange(old)
        with proxy.apply(Fault(kind)), _connect(proxy) as new:  # type: ignore[arg-type]
            for peer in (old, new):
                with _expect_silence(peer):
                    _exchange(peer)
        if continues:
            assert old.recv(100)
        else:
            with _expect_silence(old):
                old.recv(100)
    with _connect(proxy) as later:
        assert _exchange(later)


def test_reset_and_cut_end_an_answer_early(proxy: FaultProxy) -> None:
    """An answer ends after the set number of bytes, with an error or with a normal close."""
    with _connect(proxy) as peer, proxy.apply(Fault("cut", after_bytes=5)):
        assert _exchange(peer) == b"GET /"
    with _connect(proxy) as peer, proxy.apply(Fault("reset")), pytest.raises(ConnectionError):
        peer.recv(1)
    with _connect(proxy) as peer, proxy.apply(Fault("reset", after_bytes=5)):
        assert _exchange(peer, b"01234") == b"01234"
        with pytest.raises(ConnectionError):
            peer.recv(1)


def test_slow_close_reports_the_end_of_the_server_late(proxy: FaultProxy) -> None:
    """The client's side stays open for a while after the server has closed."""
    with _connect(proxy) as peer:
        _exchange(peer)
        with proxy.apply(Fault("slow_close", ms=300)):
            began_s = time.monotonic()
            assert peer.recv(1) == b""
            assert time.monotonic() - began_s >= 0.5


def test_garbled_answers_have_other_bytes(proxy: FaultProxy) -> None:
    """The answer keeps its length, and every byte differs."""
    with _connect(proxy) as peer, proxy.apply(Fault("garbled")):
        answer = _exchange(peer)
    assert all(a != b for a, b in zip(answer, b"GET / HTTP/1.1\r\n\r\n", strict=True))
