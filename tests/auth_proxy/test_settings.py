"""The settings that the environment may set."""

import pytest

from auth_proxy.settings import AuthProxySettings
from pleura.settings import InvalidSettings

GOOD = {
    "PLEURA_TRANSFORMER_URL": "http://transformer",
    "PLEURA_TRANSFORMER_GRPC": "transformer:81",
    "PLEURA_ISSUER": "https://issuer.example",
    "PLEURA_AUDIENCE": "pleura",
    "PLEURA_JWKS_URL": "https://issuer.example/jwks.json",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A good environment."""
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)


def test_a_good_environment_is_read() -> None:
    """A setting that is absent has its default."""
    assert AuthProxySettings.read().http_port == 8000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("http_port", "0"),
        ("leeway_s", "61"),
        ("jwks_url", "ftp://x"),
        ("transformer_url", "nowhere"),
        ("transformer_grpc", "nowhere"),
        ("issuer", ""),
        ("rate_per_s", "-1"),
        ("log_level", "LOUD"),
    ],
)
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """The error names the setting."""
    monkeypatch.setenv(f"PLEURA_{name.upper()}", value)
    with pytest.raises(InvalidSettings, match=f"^PLEURA_{name.upper()}: "):
        AuthProxySettings.read()
