"""The realm of the proof: scopes, clients with and without rights, a user, and keys for RS256 and PS256."""

from typing import Any, Final

from proof.lab.proxy import AUDIENCE

REALM: Final = "hospital"
CLIENT_SECRET: Final = "a-secret-of-the-proof"
USER: Final = ("reader", "a-password-of-the-proof")
SCOPES: Final = ("radiograph:classify", "model:read")
FIRST_KEY: Final = "first"


def build_realm() -> dict[str, Any]:
    """Build the realm as Keycloak imports it."""
    return {
        "realm": REALM,
        "enabled": True,
        # The proof speaks to Keycloak on this machine only.
        "sslRequired": "none",
        "accessTokenLifespan": 900,
        "clientScopes": [_build_basic_scope(), *map(_build_scope, SCOPES)],
        "defaultDefaultClientScopes": ["basic"],
        "defaultOptionalClientScopes": list(SCOPES),
        "clients": [
            _build_client("pacs"),
            _build_client("pacs-ps256", **{"access.token.signed.response.alg": "PS256"}),
            # Its tokens are for another service, and must be refused.
            _build_client("stranger", audience="other"),
            _build_client(AUDIENCE),
        ],
        "users": [
            {
                "username": USER[0],
                "enabled": True,
                "email": "reader@hospital.example",
                "firstName": "A",
                "lastName": "Reader",
                "credentials": [{"type": "password", "value": USER[1], "temporary": False}],
            }
        ],
        "components": {
            "org.keycloak.keys.KeyProvider": [
                _build_key(FIRST_KEY, "rsa-generated", "RS256"),
                _build_key("ps256", "rsa-generated", "PS256"),
                _build_key("encryption", "rsa-enc-generated", "RSA-OAEP"),
                _build_key("hmac", "hmac-generated", "HS512"),
                {"name": "aes", "providerId": "aes-generated", "config": {"priority": ["100"]}},
            ]
        },
    }


def _build_scope(name: str) -> dict[str, Any]:
    attributes = {"include.in.token.scope": "true", "display.on.consent.screen": "false"}
    return {"name": name, "protocol": "openid-connect", "attributes": attributes}


def _build_basic_scope() -> dict[str, Any]:
    mapper = {
        "name": "sub",
        "protocol": "openid-connect",
        "protocolMapper": "oidc-sub-mapper",
        "config": {"access.token.claim": "true", "introspection.token.claim": "true"},
    }
    attributes = {"include.in.token.scope": "false"}
    return {
        "name": "basic",
        "protocol": "openid-connect",
        "attributes": attributes,
        "protocolMappers": [mapper],
    }


def _build_client(name: str, audience: str = AUDIENCE, **attributes: str) -> dict[str, Any]:
    mapper = {
        "name": "audience",
        "protocol": "openid-connect",
        # Keycloak names no audience but "account" by itself.
        "protocolMapper": "oidc-audience-mapper",
        "config": {"included.custom.audience": audience, "access.token.claim": "true"},
    }
    return {
        "clientId": name,
        "secret": CLIENT_SECRET,
        "serviceAccountsEnabled": True,
        "directAccessGrantsEnabled": True,
        "standardFlowEnabled": False,
        "attributes": attributes,
        "protocolMappers": [mapper],
        "defaultClientScopes": ["basic"],
        "optionalClientScopes": list(SCOPES),
    }


def _build_key(name: str, provider: str, algorithm: str) -> dict[str, Any]:
    config = {"priority": ["100"], "algorithm": [algorithm]}
    return {"name": name, "providerId": provider, "config": config}
