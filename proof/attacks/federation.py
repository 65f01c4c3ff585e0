"""Two issuers that one proxy trusts, each with keys, an audience, algorithms and words of its own."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from auth_proxy.tokens.key_set import DEFAULT_ALGORITHMS, Keys, parse_keys
from auth_proxy.tokens.trust import ScopeRules, Trust
from pleura.local.dependencies import free_port
from proof.attacks.attacked_proxy import AttackedProxy, publish_keys
from proof.attacks.forge import Forge, apply_changes, jwk, key_document
from proof.lab.module_process import stop_process, wait_until
from proof.lab.proxy import AUDIENCE, start_proxy
from proof.lab.recorder import RecordedRequest, ok_response, recording_server

WORD: Final = "Films.Read"
"""The partner's word for the scope to classify."""
PARTNER_AUDIENCE: Final = "partner-pacs"
PARTNER_ALGORITHMS: Final = frozenset({"RS256", "PS256"})
PARTNER_WORDS: Final[Mapping[str, list[str]]] = {
    WORD: ["radiograph:classify"],
    "radiograph:classify": [],
    "Readers": ["model:read"],
}
PARTNER_KEYS: Final[Mapping[str, Any]] = {
    "partner": rsa.generate_private_key(65537, 2048),
    "ps-only": rsa.generate_private_key(65537, 2048),
    "ec": rsa.generate_private_key(65537, 2048),
    "partner-ec": ec.generate_private_key(ec.SECP256R1()),
}
"""The partner's keys by their id. The home issuer has an EC key whose id is ``ec`` as well."""


def partner_document() -> bytes:
    """Build the partner's JWKS document: two RSA keys without an algorithm, one for PS256, and an EC key."""
    keys = [
        jwk(PARTNER_KEYS["partner"].public_key(), "RS256", kid="partner"),
        jwk(PARTNER_KEYS["ps-only"].public_key(), "RS256", kid="ps-only", alg="PS256"),
        jwk(PARTNER_KEYS["ec"].public_key(), "RS256", kid="ec"),
        jwk(PARTNER_KEYS["partner-ec"].public_key(), "ES256", kid="partner-ec"),
    ]
    return json.dumps({"keys": keys}).encode()


@dataclass(frozen=True)
class Federation:
    """Makes tokens of two issuers, ``home`` and ``partner``, and tokens that confuse the two."""

    home: Forge
    partner_url: str

    def partner_claims(self, **changes: Any) -> dict[str, Any]:
        """Build good claims of the partner, shaped as Cognito's, with some changes."""
        good = {
            "iss": self.partner_url,
            "client_id": PARTNER_AUDIENCE,
            "sub": "somebody",
            "roles": [WORD],
            "token_use": "access",
            "iat": self.home.now_s - 10,
            "exp": self.home.now_s + 600,
        }
        return apply_changes(good, changes)

    def by_partner(
        self, key_id: str = "partner", algorithm: str = "PS256", named: str | None = None, **changes: Any
    ) -> str:
        """Sign claims with a key of the partner.

        Args:
            key_id: The key.
            algorithm: The algorithm that signs.
            named: The algorithm that the header names, if it is another one.
            changes: Changes to good claims.
        """
        header = self.home.header(alg=named or algorithm, kid=key_id)
        return self.home.signed(header, self.partner_claims(**changes), PARTNER_KEYS[key_id], algorithm)

    def home_claims_by_partner(self, key_id: str, algorithm: str, **header: Any) -> str:
        """Sign good claims of the home issuer with a key of the partner."""
        full = self.home.header(alg=algorithm, kid=key_id) | header
        return self.home.signed(full, self.home.claims(), PARTNER_KEYS[key_id], algorithm)

    def trusts(self) -> list[tuple[Trust, Keys]]:
        """Return what a proxy trusts of the two issuers, with their keys."""
        words = {word: frozenset(scopes) for word, scopes in PARTNER_WORDS.items()}
        home = Trust(
            self.home.issuer, frozenset({self.home.audience}), 30, "aud", DEFAULT_ALGORITHMS,
            principal_prefix="home:",
        )  # fmt: skip
        partner = Trust(
            self.partner_url, frozenset({PARTNER_AUDIENCE}), 30, "client_id", PARTNER_ALGORITHMS,
            ScopeRules(("roles",), words), "partner:",
        )  # fmt: skip
        return [
            (home, parse_keys(key_document(), home.algorithms)),
            (partner, parse_keys(partner_document(), partner.algorithms)),
        ]


@dataclass(frozen=True)
class FederatedProxy:
    """A proxy that trusts two issuers, and the servers around it."""

    attacked: AttackedProxy
    partner_url: str

    def federation(self) -> Federation:
        """Return a federation whose tokens are valid now."""
        return Federation(self.attacked.forge(), self.partner_url)


@contextmanager
def start_federated_proxy(folder: Path, around: AttackedProxy) -> Iterator[FederatedProxy]:
    """Start a proxy that trusts two issuers, among the servers of another proxy. It discovers the partner."""

    def answer_as_partner(request: RecordedRequest) -> Iterator[bytes]:
        configuration = {"issuer": partner.url, "jwks_uri": f"{partner.url}/keys"}
        is_keys = request.request_line == "GET /keys"
        yield ok_response(partner_document() if is_keys else json.dumps(configuration).encode())

    with recording_server(publish_keys) as home, recording_server(answer_as_partner) as partner:
        issuers = [
            {"name": "home", "issuer": home.url, "audience": AUDIENCE, "jwks_url": f"{home.url}/jwks.json"},
            {
                "name": "partner",
                "issuer": partner.url,
                "audience": [PARTNER_AUDIENCE, "another-client"],
                "audience_claim": "client_id",
                "algorithms": sorted(PARTNER_ALGORITHMS),
                "scope_claims": ["roles"],
                "scope_map": PARTNER_WORDS,
            },
        ]
        proxy = start_proxy(
            folder / "federated.log",
            free_port,
            issuers=json.dumps(issuers),
            transformer_url=around.transformer.url,
            transformer_grpc=f"127.0.0.1:{around.grpc.grpc_port}",
            rate_per_s=100_000,
            burst=100_000,
        )
        try:
            wait_until(lambda: httpx.get(f"{proxy.url}/readyz", trust_env=False).is_success)
            wait_until(lambda: any(r.request_line == "GET /keys" for r in partner.requests))
            attacked = AttackedProxy(proxy, home, around.transformer, around.grpc, around.outsider)
            yield FederatedProxy(attacked, partner.url)
        finally:
            stop_process(proxy.process)
