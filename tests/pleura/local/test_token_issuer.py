"""The issuer for one machine."""

import stat
from pathlib import Path

import httpx
import jwt

from auth_proxy.tokens.key_set import parse_keys
from auth_proxy.tokens.trust import Trust
from auth_proxy.tokens.verification import read_key_id, verify
from pleura.local import token_issuer
from proof.lab.proxy import Issuer


def test_a_token_is_verified_with_the_published_keys(local_issuer: Issuer) -> None:
    """What the folder signs, the document proves."""
    keys = parse_keys(httpx.get(f"{local_issuer.url}/jwks.json").content)
    token = local_issuer.issue_token("me", ["model:read"])
    now_s = jwt.decode(token, options={"verify_signature": False})["nbf"]
    principal = verify(
        token, keys[read_key_id(token)], Trust(local_issuer.url, frozenset({"pleura"}), 0), now_s
    )
    assert (principal.name, principal.scopes) == ("me", frozenset({"model:read"}))


def test_the_configuration_names_the_keys(local_issuer: Issuer) -> None:
    """The discovery document leads to the JWKS document."""
    configuration = httpx.get(f"{local_issuer.url}/.well-known/openid-configuration").json()
    assert configuration == {"issuer": local_issuer.url, "jwks_uri": f"{local_issuer.url}/jwks.json"}


def test_keys_are_made_once_and_kept_private(tmp_path: Path) -> None:
    """The second load finds what the first one made; only the owner can read it; nothing private is shown."""
    first, second = token_issuer.load_keys(tmp_path), token_issuer.load_keys(tmp_path)
    assert [key.key_id for key in first] == [key.key_id for key in second]
    assert [stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()] == [0o600]
    assert "d" not in token_issuer.build_jwks(tmp_path)["keys"][0]


def test_the_newest_key_signs_and_all_are_published(tmp_path: Path) -> None:
    """Rotation keeps old tokens good."""
    token_issuer.load_keys(tmp_path)
    newest = token_issuer.add_key(tmp_path)
    token = token_issuer.issue_token(tmp_path, "me", token_issuer.SCOPES, 60, "pleura", "https://a")
    assert jwt.get_unverified_header(token)["kid"] == newest.key_id
    assert len(token_issuer.build_jwks(tmp_path)["keys"]) == 2
