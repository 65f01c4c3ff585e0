"""Tokens of a real Keycloak, and of the shapes of other issuers: ``python -m proof.oidc KEYCLOAK_ZIP``."""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Final

import httpx
import jwt

from auth_proxy.tokens.keys import REFETCH_INTERVAL_S
from pleura.local.dependencies import free_port
from proof.attacks.attacked_proxy import (
    JWKS_PATH,
    answer_as_transformer,
    publish_keys,
    start_attack_proxy,
    start_grpc_upstream,
)
from proof.attacks.forge import Forge
from proof.attacks.token_carriers import request
from proof.lab.module_process import stop_process, wait_until
from proof.lab.proxy import AUDIENCE, Proxy, exchange, start_proxy
from proof.lab.recorder import recording_server
from proof.lab.report import ClaimRow, print_claims
from proof.oidc.issuer_shapes import SHAPES
from proof.oidc.keycloak import Keycloak, running_keycloak
from proof.oidc.realm import FIRST_KEY, SCOPES, USER

_CLASSIFY: Final = SCOPES[0]


def send_token(proxy: Proxy, token: str) -> tuple[str, str]:
    """Send a request to classify. Return the status, and the challenge of ``WWW-Authenticate``."""
    answer = exchange(proxy.http_port, request(f"Authorization: Bearer {token}")).decode("latin-1")
    lines = answer.partition("\r\n\r\n")[0].split("\r\n")
    challenges = [line.partition(": ")[2] for line in lines if line.lower().startswith("www-authenticate")]
    return lines[0][9:12], "".join(challenges)


def claim_status(claim: str, proxy: Proxy, token: str, expected: str) -> ClaimRow:
    """Claim that a token is answered with a status."""
    status, challenge = send_token(proxy, token)
    return ClaimRow(claim, expected, f"{status} {challenge}".strip(), status == expected)


@contextmanager
def start_oidc_proxy(folder: Path, issuer: str, transformer_url: str) -> Iterator[Proxy]:
    """Start a proxy that discovers the keys of an issuer, and allows PS256."""
    proxy = start_proxy(
        folder / "proxy.log",
        free_port,
        issuer=issuer,
        audience=AUDIENCE,
        algorithms="RS256,PS256",
        transformer_url=transformer_url,
        transformer_grpc="127.0.0.1:9",
    )
    try:
        wait_until(lambda: httpx.get(f"{proxy.url}/readyz", trust_env=False).is_success)
        yield proxy
    finally:
        stop_process(proxy.process)


def send_keycloak_tokens(keycloak: Keycloak, proxy: Proxy) -> list[ClaimRow]:
    """Send tokens of each kind that Keycloak issues."""
    good = keycloak.request_tokens("pacs", scope=_CLASSIFY)["access_token"]
    claims = jwt.decode(good, options={"verify_signature": False})
    user = keycloak.request_tokens(
        AUDIENCE, grant_type="password", scope=f"openid {_CLASSIFY}", username=USER[0], password=USER[1]
    )
    stranger = keycloak.request_tokens("stranger", scope=_CLASSIFY)["access_token"]
    ps256 = keycloak.request_tokens("pacs-ps256", scope=_CLASSIFY)["access_token"]
    without = keycloak.request_tokens("pacs")["access_token"]
    return [
        ClaimRow("Keycloak's access token has `nbf`", "no", _say("nbf" in claims), "nbf" not in claims),
        claim_status("client credentials, with the scope", proxy, good, "200"),
        claim_status("client credentials, signed with PS256", proxy, ps256, "200"),
        claim_status("user's access token", proxy, user["access_token"], "200"),
        claim_status("client credentials, without the scope", proxy, without, "403"),
        claim_status("for another audience", proxy, stranger, "401"),
        claim_status("ID token, whose audience is Pleura", proxy, user["id_token"], "401"),
        claim_status("refresh token", proxy, user["refresh_token"], "401"),
        claim_status("the good token with another signature", proxy, good[:-8] + "AAAAAAAA", "401"),
    ]


def _say(value: bool) -> str:
    return "yes" if value else "no"


def rotate_keys(keycloak: Keycloak, proxy: Proxy) -> list[ClaimRow]:
    """Add a signing key while the proxy runs, then remove the first one."""
    old = keycloak.request_tokens("pacs", scope=_CLASSIFY)["access_token"]
    keycloak.add_signing_key()
    new = keycloak.request_tokens("pacs", scope=_CLASSIFY)["access_token"]
    is_rotated = jwt.get_unverified_header(old)["kid"] != jwt.get_unverified_header(new)["kid"]
    rows = [
        ClaimRow("a new key signs", "yes", _say(is_rotated), is_rotated),
        claim_status("first token of the new key, at once", proxy, new, "200"),
        claim_status("token of the old key, still published", proxy, old, "200"),
    ]
    keycloak.remove_signing_key(FIRST_KEY)
    time.sleep(REFETCH_INTERVAL_S + 1)
    unknown = Forge(keycloak.issuer, AUDIENCE, int(time.time())).good("rsa")
    rows.append(claim_status("unknown key, which makes the proxy fetch the keys", proxy, unknown, "401"))
    rows.append(claim_status("token of the old key, which is removed", proxy, old, "401"))
    rows.append(claim_status("token of the new key", proxy, new, "200"))
    return rows


def restart(keycloak: Keycloak, proxy: Proxy) -> list[ClaimRow]:
    """Stop Keycloak and start it again. The proxy keeps the keys that it knows."""
    before = keycloak.request_tokens("pacs", scope=_CLASSIFY)["access_token"]
    keycloak.stop()
    rows = [claim_status("token while Keycloak is down", proxy, before, "200")]
    keycloak.start()
    after = keycloak.request_tokens("pacs", scope=_CLASSIFY)["access_token"]
    return [
        *rows,
        claim_status("token from before the restart", proxy, before, "200"),
        claim_status("token from after the restart", proxy, after, "200"),
    ]


def send_shapes(folder: Path, transformer_url: str) -> list[ClaimRow]:
    """Send the shapes of other issuers to proxies with the settings that the documents give."""
    rows = []
    with recording_server(publish_keys) as issuer, start_grpc_upstream() as grpc:
        grpc_address = f"127.0.0.1:{grpc.grpc_port}"
        addresses = {"transformer_url": transformer_url, "transformer_grpc": grpc_address}
        # the shapes of one issuer stand together, and have the same settings
        for settings, shapes in groupby(SHAPES.items(), key=lambda item: item[1].settings):
            with start_attack_proxy(folder / "shape.log", issuer, **{**settings, **addresses}) as proxy:
                forge = Forge(issuer.url, AUDIENCE, int(time.time()))
                rows += [
                    claim_status(f"shape: {name}", proxy, shape.make_token(forge), str(shape.status))
                    for name, shape in shapes
                ]
    assert {r.request_line for r in issuer.requests} == {f"GET {JWKS_PATH}"}
    return rows


def main() -> int:
    """Run the campaign, and print the claims."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("distribution", type=Path, help="zip file of the Keycloak distribution")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        recording_server(answer_as_transformer) as transformer,
        running_keycloak(arguments.distribution, Path(name) / "keycloak", free_port()) as keycloak,
    ):
        with start_oidc_proxy(Path(name), keycloak.issuer, transformer.url) as proxy:
            rows = send_keycloak_tokens(keycloak, proxy)
            rows += rotate_keys(keycloak, proxy)
            rows += restart(keycloak, proxy)
        rows += send_shapes(Path(name), transformer.url)
    return print_claims(f"Tokens of Keycloak ({arguments.distribution.stem}) and of other issuers", rows)


if __name__ == "__main__":
    sys.exit(main())
