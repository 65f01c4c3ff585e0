"""The settings that the environment may set."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from auth_proxy.settings import AuthProxySettings
from auth_proxy.tokens.key_sources import DiscoveredKeySource, HttpKeySource
from auth_proxy.trusted_issuers import build_trusted_issuers
from pleura.local.access import build_issuer_settings
from pleura.local.stack_options import OtherIssuer
from pleura.settings import InvalidSettings

GOOD = {
    "PLEURA_TRANSFORMER_URL": "http://transformer",
    "PLEURA_TRANSFORMER_GRPC": "transformer:81",
    "PLEURA_ISSUER": "https://issuer.example",
    "PLEURA_AUDIENCE": "pleura",
    "PLEURA_JWKS_URL": "https://issuer.example/jwks.json",
    "PLEURA_SERVICE_KEY": "key-" * 8,
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
        ("algorithms", "HS256"),
        ("algorithms", "RS256,none"),
        ("algorithms", "RS256,"),
        ("scope_claims", ""),
        ("scope_claims", "a,,b"),
        ("scope_claims", '["scp"]'),
        ("audience_claim", "azp"),
        ("cors_origins", "*"),
        ("cors_origins", "null"),
        ("cors_origins", "https://*.hospital.example"),
        ("cors_origins", "https://viewer.hospital.example/"),
        ("cors_origins", "https://Viewer.hospital.example"),
        ("cors_origins", "viewer.hospital.example"),
        ("cors_origins", "https://a.example https://b.example"),
        ("ca_file", "/nowhere.pem"),
        ("ca_file", __file__),
        ("issuers", "{}"),
        ("issuers", "[1"),
        ("issuers", "[" * 5000),
        ("issuers", "/nowhere.json"),
        ("issuers", __file__),
    ],
)
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """The error names the setting."""
    monkeypatch.setenv(f"PLEURA_{name.upper()}", value)
    with pytest.raises(InvalidSettings, match=f"^PLEURA_{name.upper()}(__0)?: "):
        AuthProxySettings.read()


def test_origins_stand_between_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default there are none."""
    assert AuthProxySettings.read().cors_origins == ()
    monkeypatch.setenv("PLEURA_CORS_ORIGINS", "https://a.example, http://localhost:3000,https://[::1]:8443")
    origins = AuthProxySettings.read().cors_origins
    assert origins == ("https://a.example", "http://localhost:3000", "https://[::1]:8443")


def set_issuers(monkeypatch: pytest.MonkeyPatch, *entries: dict[str, Any]) -> None:
    """Set several issuers instead of one."""
    for name in ("PLEURA_ISSUER", "PLEURA_JWKS_URL"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("PLEURA_ISSUERS", json.dumps(entries))


def test_the_variables_of_one_issuer_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """The principal is the subject alone. Without the address of the keys the proxy asks the issuer."""
    (issuer,) = build_trusted_issuers(AuthProxySettings.read())
    assert issuer.trust.principal_prefix == ""
    assert issuer.trust.algorithms == {"RS256", "ES256", "EdDSA"}
    assert isinstance(issuer.keys._source, HttpKeySource)
    monkeypatch.delenv("PLEURA_JWKS_URL")
    (issuer,) = build_trusted_issuers(AuthProxySettings.read())
    assert isinstance(issuer.keys._source, DiscoveredKeySource)


def test_each_of_several_issuers_has_its_own_values(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What an entry leaves out comes from the setting of that name. A file may hold the entries."""
    entries: list[dict[str, Any]] = [
        {"name": "a", "issuer": "https://a.example"},
        {
            "name": "b",
            "issuer": "https://b.example",
            "audience": ["x", "y"],
            "audience_claim": "client_id",
            "algorithms": ["PS256"],
            "scope_claims": ["roles"],
            "scope_map": {"Reader": ["model:read", "radiograph:classify"]},
        },
    ]
    set_issuers(monkeypatch, *entries)
    monkeypatch.setenv("PLEURA_SCOPE_MAP", '{"Films": "radiograph:classify"}')
    first, second = (issuer.trust for issuer in build_trusted_issuers(AuthProxySettings.read()))
    assert first.audiences == {"pleura"}
    assert (first.audience_claim, first.principal_prefix) == ("aud", "a:")
    assert first.scope_rules.words == {"Films": {"radiograph:classify"}}
    assert second.audiences == {"x", "y"}
    assert second.algorithms == {"PS256"}
    assert (second.audience_claim, second.principal_prefix) == ("client_id", "b:")
    assert second.scope_rules.claims == ("roles",)
    assert second.scope_rules.words == {"Reader": {"model:read", "radiograph:classify"}}
    path = tmp_path / "issuers.json"
    path.write_text(json.dumps(entries))
    monkeypatch.setenv("PLEURA_ISSUERS", str(path))
    assert [issuer.trust for issuer in build_trusted_issuers(AuthProxySettings.read())] == [first, second]


@pytest.mark.parametrize(
    "entry",
    [
        {"name": "A"},
        {"name": "a:b"},
        {"name": ""},
        {"issuer": ""},
        {"issuer": "not-a-url"},
        {"audience": []},
        {"audience": [""]},
        {"audience_claim": "azp"},
        {"algorithms": []},
        {"algorithms": ["HS256"]},
        {"algorithms": ["none"]},
        {"scope_claims": []},
        {"scope_map": {"word": "admin"}},
        {"scope_map": {"": "model:read"}},
        {"jwks_url": "file:///keys"},
        {"algorithm": ["RS256"]},
    ],
    ids=str,
)
def test_a_wrong_entry_is_named(monkeypatch: pytest.MonkeyPatch, entry: dict[str, Any]) -> None:
    """The error names the setting and the place of the entry."""
    set_issuers(monkeypatch, {"name": "a", "issuer": "https://a.example", **entry})
    with pytest.raises(InvalidSettings, match=r"^PLEURA_ISSUERS__0"):
        AuthProxySettings.read()


def test_two_entries_must_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the name nor the issuer may occur twice."""
    for name, issuer in (("a", "https://b.example"), ("b", "https://a.example")):
        monkeypatch.setenv("PLEURA_ISSUER", GOOD["PLEURA_ISSUER"])
        monkeypatch.setenv("PLEURA_JWKS_URL", GOOD["PLEURA_JWKS_URL"])
        set_issuers(
            monkeypatch, {"name": "a", "issuer": "https://a.example"}, {"name": name, "issuer": issuer}
        )
        with pytest.raises(InvalidSettings, match=r"^PLEURA_ISSUERS: .*the same name or the same issuer"):
            AuthProxySettings.read()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"PLEURA_ISSUERS": '[{"name": "a", "issuer": "https://a"}]'}, "PLEURA_ISSUERS cannot be combined"),
        ({"PLEURA_ISSUER": None}, "PLEURA_ISSUER or PLEURA_ISSUERS is required"),
        ({"PLEURA_AUDIENCE": None}, "PLEURA_AUDIENCE is required"),
        ({"PLEURA_ISSUER": "us", "PLEURA_JWKS_URL": None}, "PLEURA_JWKS_URL is required"),
        ({"PLEURA_SCOPE_MAP": '{"word": "admin"}'}, "PLEURA_SCOPE_MAP: "),
    ],
    ids=str,
)
def test_settings_that_do_not_fit_are_named(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str | None], message: str
) -> None:
    """The error is one line that names the variables."""
    for name, value in changes.items():
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings, match=f"^{message}"):
        AuthProxySettings.read()


@pytest.mark.parametrize("variable", ["PLEURA_CA_FILE", "SSL_CERT_FILE"])
def test_a_private_authority_is_trusted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    """Either variable names the file of its certificate."""
    certificate = tmp_path / "ca.pem"
    subject = ["-subj", "/CN=hospital", "-days", "1", "-newkey", "rsa:2048", "-nodes"]
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(certificate)]
    subprocess.run(["openssl", "req", "-x509", *subject, *files], check=True, capture_output=True)
    monkeypatch.setenv(variable, str(certificate))
    settings = AuthProxySettings.read()
    assert settings.ca_file == certificate
    assert build_trusted_issuers(settings)


def test_the_local_stack_keeps_its_issuer_beside_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of ``pleura up --issuer`` give two issuers, whose principals have different names."""
    for name in ("PLEURA_ISSUER", "PLEURA_JWKS_URL", "PLEURA_AUDIENCE"):
        monkeypatch.delenv(name)
    other = OtherIssuer("https://id.example", "xray")
    for name, value in build_issuer_settings("http://127.0.0.1:9", other).items():
        monkeypatch.setenv(name, value)
    own, foreign = (issuer.trust for issuer in build_trusted_issuers(AuthProxySettings.read()))
    assert (own.issuer, own.principal_prefix) == ("http://127.0.0.1:9", "local:")
    assert (foreign.issuer, foreign.principal_prefix) == ("https://id.example", "other:")
    assert (own.audiences, foreign.audiences) == (frozenset({"pleura"}), frozenset({"xray"}))
