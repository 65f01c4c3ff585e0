"""The tokens that common issuers issue, with the settings that ``docs/integrate.md`` gives for them."""

import pytest

from auth_proxy.allow_list import CLASSIFY_SCOPE
from auth_proxy.settings import AuthProxySettings
from auth_proxy.tokens.key_set import parse_keys
from auth_proxy.trusted_issuers import build_trusted_issuers
from proof.attacks.forge import Forge, key_document
from proof.attacks.token_attack import OfflineVerification
from proof.lab.service_key import KEY
from proof.oidc.issuer_shapes import SHAPES, IssuerShape
from tests.docs.markdown import ROOT, headings

FORGE = Forge("https://issuer.example", "pleura", 1_800_000_000)


def read_settings(shape: IssuerShape, monkeypatch: pytest.MonkeyPatch) -> AuthProxySettings:
    """Read the settings of a proxy for this issuer from the environment, as a proxy does."""
    settings = {
        "issuer": FORGE.issuer,
        "transformer_url": "http://transformer",
        "transformer_grpc": "transformer:81",
        "service_key": KEY,
        **shape.settings,
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"PLEURA_{name.upper()}", value)
    return AuthProxySettings.read()


@pytest.mark.parametrize("case", SHAPES)
def test_each_shape_is_answered_as_the_table_says(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An access token is accepted, one without the scope is known, and an ID token is refused."""
    shape = SHAPES[case]
    (issuer,) = build_trusted_issuers(read_settings(shape, monkeypatch))
    keys = parse_keys(key_document(), issuer.trust.algorithms)
    principal = OfflineVerification([(issuer.trust, keys)], FORGE.now_s).find_principal(
        shape.make_token(FORGE)
    )
    if principal is None:
        assert shape.status == 401
        return
    assert principal.name == shape.principal
    assert shape.status == (200 if CLASSIFY_SCOPE in principal.scopes else 403)


def test_each_issuer_has_a_section_in_the_documents() -> None:
    """The first word of a shape is the heading of its section."""
    issuers = {case.partition(",")[0].removesuffix(" v2") for case in SHAPES}
    names = {heading.text for heading in headings((ROOT / "docs" / "integrate.md").read_text())}
    assert issuers <= names


@pytest.mark.parametrize("case", SHAPES)
def test_the_documents_name_the_settings_of_the_shape(case: str) -> None:
    """Each setting that a shape needs stands in the section of its issuer."""
    heading = case.partition(",")[0].removesuffix(" v2")
    text = (
        (ROOT / "docs" / "integrate.md").read_text().partition(f"\n### {heading}\n")[2].partition("\n### ")[0]
    )
    assert {name for name in SHAPES[case].settings if f"PLEURA_{name.upper()}=" not in text} == set()
