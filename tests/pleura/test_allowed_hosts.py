"""Host names by which a service may be called."""

import socket

import pytest

from pleura.allowed_hosts import AllowedHosts
from pleura.errors import UnknownHost
from pleura.settings import InvalidSettings
from predictor.settings import PredictorSettings

_HOSTS = AllowedHosts.parse("gateway.example, .inner.example")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "10.1.2.3:8080",
        "[::1]:8080",
        "[fd00::1]",
        "localhost:8000",
        "LOCALHOST.",
        socket.gethostname(),
        "chest-xray-predictor.pleura.svc:80",
        "chest-xray-predictor.pleura.svc.cluster.local",
        "gateway.example",
        "a.b.inner.example",
    ],
)
def test_addresses_own_names_and_listed_names_are_allowed(host: str) -> None:
    """kubelet and Prometheus name addresses of pods, and services name Services."""
    _HOSTS.require([host.encode()])


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "gateway.example.evil.example",
        "evil-gateway.example",
        "inner.example",
        "svc",
        "pleura.svc.evil.example",
        "",
        "127.0.0.1/evil",
        "evil@127.0.0.1",
        "127.0.0.1:8080:80",
        "[::1",
        "\u00e4.svc",
    ],
)
def test_other_names_are_refused(host: str) -> None:
    """A page whose host name resolves to 127.0.0.1 sends that name."""
    with pytest.raises(UnknownHost) as caught:
        _HOSTS.require([host.encode()])
    assert not host or host not in str(caught.value)


def test_two_names_are_refused_and_none_is_allowed() -> None:
    """Every browser sends one; a health check over HTTP/1.0 may send none."""
    _HOSTS.require([])
    with pytest.raises(UnknownHost):
        _HOSTS.require([b"localhost", b"localhost"])


@pytest.mark.parametrize("value", ["*", "a:80", "http://a", "a b", "..", "a,.,b"])
def test_a_wrong_entry_stops_the_start(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """The error names the setting."""
    monkeypatch.setenv("PLEURA_TRUST_NETWORK", "true")
    monkeypatch.setenv("PLEURA_ALLOWED_HOSTS", value)
    with pytest.raises(InvalidSettings, match=r"^PLEURA_ALLOWED_HOSTS: each entry must be a host name"):
        PredictorSettings.read()
