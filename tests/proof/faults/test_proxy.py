"""The fault proxy does what it says; a fault that is none would prove nothing."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from proof.faults.proxy import Fault, FaultProxy
from tests.proof.faults.conftest import Before


def _echo(peer: socket.socket) -> None:
    with peer, contextlib.suppress(OSError):
        while said := peer.recv(65536):
            peer.sendall(said)


@pytest.fixture
def proxy(before: Before) -> Iterator[FaultProxy]:
    """A fault proxy before a server that says what it is told."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=_echo, args=(peer,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield before(listener.getsockname()[1])
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def _connected(proxy: FaultProxy, timeout_s: float = 5.0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=timeout_s)


def _asked(peer: socket.socket, said: bytes = b"GET / HTTP/1.1\r\n\r\n") -> bytes:
    """Say something, and hear as much or what comes before the end."""
    peer.sendall(said)
    heard = b""
    while len(heard) < len(said) and (more := peer.recv(65536)):
        heard += more
    return heard


def test_it_passes_what_is_said(proxy: FaultProxy) -> None:
    """Without a fault bytes go both ways, and a request's first line is seen with its time."""
    began_s = time.monotonic()
    with _connected(proxy) as peer:
        assert _asked(peer, b"x" * 200_000) == b"x" * 200_000
        assert _asked(peer) == b"GET / HTTP/1.1\r\n\r\n"
    (seen,) = proxy.read_traffic()
    assert seen.line == "GET / HTTP/1.1"
    assert began_s < seen.at_s < time.monotonic()


def test_slow_and_one_byte_at_a_time_take_their_time(proxy: FaultProxy) -> None:
    """Each direction takes longer by what was ordered; afterwards the same connection is quick again."""
    with _connected(proxy) as peer:
        for fault, least_s in ((Fault("slow", ms=100), 0.2), (Fault("trickle", ms=15), 0.2)):
            with proxy.apply(fault):
                began_s = time.monotonic()
                assert _asked(peer) == b"GET / HTTP/1.1\r\n\r\n"
                assert time.monotonic() - began_s >= least_s
        taken_s = []
        for _ in range(5):
            began_s = time.monotonic()
            _asked(peer)
            taken_s.append(time.monotonic() - began_s)
        assert min(taken_s) < 0.15


def test_down_and_flapping_refuse(proxy: FaultProxy) -> None:
    """What is connected is reset, and nobody else is let in until it is up."""
    with _connected(proxy) as peer, proxy.apply(Fault("down")):
        with pytest.raises(ConnectionError):
            peer.recv(1)
        with pytest.raises(ConnectionRefusedError):
            _connected(proxy)
    with proxy.apply(Fault("flapping", ms=50)):
        outcomes, end_s = set[str](), time.monotonic() + 10
        while outcomes != {"up", "down"} and time.monotonic() < end_s:
            try:
                _connected(proxy).close()
                outcomes.add("up")
            except ConnectionRefusedError:
                outcomes.add("down")
            time.sleep(0.01)
    assert outcomes == {"up", "down"}
    with _connected(proxy) as peer:
        assert _asked(peer)


@contextlib.contextmanager
def _hears_nothing(peer: socket.socket) -> Iterator[None]:
    patience_s = peer.gettimeout()
    peer.settimeout(0.3)
    with pytest.raises(TimeoutError):
        yield
    peer.settimeout(patience_s)


@pytest.mark.parametrize(("kind", "is_over"), [("hanging", True), ("forgotten", False)])
def test_hanging_says_nothing(proxy: FaultProxy, kind: str, is_over: bool) -> None:
    """Connections old and new hear nothing, and go on afterwards unless they are forgotten."""
    with _connected(proxy) as old:
        _asked(old)
        with proxy.apply(Fault(kind)), _connected(proxy) as new:  # type: ignore[arg-type]
            for peer in (old, new):
                with _hears_nothing(peer):
                    _asked(peer)
        if is_over:
            assert old.recv(100)
        else:
            with _hears_nothing(old):
                old.recv(100)
    with _connected(proxy) as later:
        assert _asked(later)


def test_reset_and_cut_break_off(proxy: FaultProxy) -> None:
    """An answer ends after so many bytes: with an error, or as if that were all of it."""
    with _connected(proxy) as peer, proxy.apply(Fault("cut", after_bytes=5)):
        assert _asked(peer) == b"GET /"
    with _connected(proxy) as peer, proxy.apply(Fault("reset")), pytest.raises(ConnectionError):
        peer.recv(1)
    with _connected(proxy) as peer, proxy.apply(Fault("reset", after_bytes=5)):
        assert _asked(peer, b"01234") == b"01234"
        with pytest.raises(ConnectionError):
            peer.recv(1)


def test_slow_close_tells_late_that_the_server_has_gone(proxy: FaultProxy) -> None:
    """The client's side stays open for a while, and nobody answers on it."""
    with _connected(proxy) as peer:
        _asked(peer)
        with proxy.apply(Fault("slow_close", ms=300)):
            began_s = time.monotonic()
            assert peer.recv(1) == b""
            assert time.monotonic() - began_s >= 0.5


def test_garbled_answers_are_others(proxy: FaultProxy) -> None:
    """As many bytes come, and none of them is right."""
    with _connected(proxy) as peer, proxy.apply(Fault("garbled")):
        heard = _asked(peer)
    assert all(a != b for a, b in zip(heard, b"GET / HTTP/1.1\r\n\r\n", strict=True))
