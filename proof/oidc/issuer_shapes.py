"""A table of tokens as common issuers issue them, with the settings of ``docs/integrate.md`` for each issuer.

The values are invented. The claims are those of the issuers' own documentation.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from proof.attacks.forge import DROP, PRIVATE, Forge

_CLIENT: Final = "5f1c7a54-8f0e-4c43-9d43-1b4a6d4f0001"
_SUBJECT: Final = "f5b5a4d2-0b1e-4a53-8d3c-2f0000000000"
# Some issuers leave these two out.
_BARE: Final[Mapping[str, Any]] = {"nbf": DROP, "scope": DROP}


@dataclass(frozen=True)
class IssuerShape:
    """One kind of token of one issuer.

    Args:
        settings: Settings of the proxy besides ``PLEURA_ISSUER``, by their names.
        claims: Changes to the claims of the forge.
        header: Changes to the header of the forge.
        status: What the proxy answers to a request to classify.
        principal: The principal, where the status is 200 or 403.
    """

    settings: Mapping[str, str]
    claims: Mapping[str, Any]
    status: int
    principal: str = _SUBJECT
    header: Mapping[str, Any] = field(default_factory=dict)

    def make_token(self, forge: Forge) -> str:
        """Make the token, signed with the issuer's RSA key."""
        header = forge.header(**{"alg": "RS256", "kid": "rsa", **self.header})
        return forge.signed(header, forge.claims(**self.claims), PRIVATE["rsa"], "RS256")


# Keycloak: the audience needs a mapper, and "account" stands next to ours.
_KEYCLOAK: Final = {"audience": "pleura"}
_KEYCLOAK_TOKEN: Final = {
    "nbf": DROP,
    "jti": "trrtcc:6ed3b1c0-0000-4000-8000-000000000001",
    "aud": ["pleura", "account"],
    "sub": _SUBJECT,
    "typ": "Bearer",
    "azp": "pacs",
    "acr": "1",
    "allowed-origins": ["/*"],
    "realm_access": {"roles": ["offline_access", "uma_authorization"]},
    "resource_access": {"account": {"roles": ["manage-account"]}},
    "scope": "profile radiograph:classify email",
    "clientHost": "10.0.0.7",
    "email_verified": False,
    "preferred_username": "service-account-pacs",
    "client_id": "pacs",
}
# Entra ID: the map translates the names that its administrators give.
_ENTRA: Final = {
    "audience": _CLIENT,
    "scope_map": json.dumps({"Radiograph.Classify": "radiograph:classify", "Model.Read": "model:read"}),
}
_ENTRA_TOKEN: Final = {
    "scope": DROP,
    "aud": _CLIENT,
    "sub": _SUBJECT,
    "aio": "ATQAy/8TAAAA",
    "azp": "9a1b0000-0000-4000-8000-000000000002",
    "azpacr": "1",
    "oid": _SUBJECT,
    "rh": "0.AXcA",
    "tid": "72f9",
    "uti": "x",
    "ver": "2.0",
}
# Okta: scopes are a list, under "scp".
_OKTA: Final = {"audience": "pleura"}
_OKTA_TOKEN: Final = {
    **_BARE,
    "ver": 1,
    "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
    "cid": "0oab8eb55Kb9jdMIr5d6",
    "uid": "00ub7dq8q0qLBhV0h0h7",
    "scp": ["radiograph:classify", "openid"],
    "sub": "reader@hospital.example",
    "auth_time": 1795999000,
}
# Auth0: an API puts rights into "permissions" if its RBAC is on.
_AUTH0: Final = {"audience": "pleura", "scope_claims": "permissions"}
_AUTH0_TOKEN: Final = {
    "nbf": DROP,
    "aud": ["pleura", "https://hospital.eu.auth0.com/userinfo"],
    "sub": "auth0|65f000000000000000000001",
    "scope": "openid profile email",
    "azp": "my_client_id",
    "permissions": ["radiograph:classify"],
}
# Cognito: access tokens have no "aud", and scopes begin with the name of the resource server.
_COGNITO: Final = {
    "audience": "7h57kanj8q2r0000000000000",
    "audience_claim": "client_id",
    "scope_map": json.dumps({"pleura/radiograph:classify": "radiograph:classify"}),
}
_COGNITO_TOKEN: Final = {
    "nbf": DROP,
    "aud": DROP,
    "sub": "7h57kanj8q2r0000000000000",
    "token_use": "access",
    "scope": "pleura/radiograph:classify",
    "auth_time": 1795999000,
    "version": 2,
    "jti": "b0b1",
    "client_id": "7h57kanj8q2r0000000000000",
}
SHAPES: Final[Mapping[str, IssuerShape]] = {
    "Keycloak, client credentials": IssuerShape(_KEYCLOAK, _KEYCLOAK_TOKEN, 200),
    "Keycloak, without the scope": IssuerShape(_KEYCLOAK, {**_KEYCLOAK_TOKEN, "scope": "profile email"}, 403),
    "Keycloak, at+jwt": IssuerShape(_KEYCLOAK, _KEYCLOAK_TOKEN, 200, header={"typ": "at+jwt"}),
    "Keycloak, ID token": IssuerShape(
        _KEYCLOAK, {**_KEYCLOAK_TOKEN, "typ": "ID", "aud": "pleura", "scope": DROP, "at_hash": "x"}, 401
    ),
    # Here it is well signed and for our audience: only "typ" tells it from an access token.
    "Keycloak, refresh token": IssuerShape(_KEYCLOAK, {**_KEYCLOAK_TOKEN, "typ": "Refresh"}, 401),
    "Entra ID v2, user": IssuerShape(
        _ENTRA, {**_ENTRA_TOKEN, "scp": "Radiograph.Classify Model.Read", "name": "A"}, 200
    ),
    "Entra ID v2, application": IssuerShape(
        _ENTRA, {**_ENTRA_TOKEN, "roles": ["Radiograph.Classify"], "idtyp": "app"}, 200
    ),
    # The user has the role, but did not let this client use it.
    "Entra ID v2, user with a role but a smaller scope": IssuerShape(
        _ENTRA, {**_ENTRA_TOKEN, "scp": "Model.Read", "roles": ["Radiograph.Classify"]}, 403
    ),
    "Entra ID v2, ID token with roles": IssuerShape(
        _ENTRA, {**_ENTRA_TOKEN, "roles": ["Radiograph.Classify"], "azp": DROP, "azpacr": DROP}, 401
    ),
    "Okta, user": IssuerShape(_OKTA, _OKTA_TOKEN, 200, "reader@hospital.example", {"typ": DROP}),
    "Okta, application": IssuerShape(
        _OKTA,
        {**_OKTA_TOKEN, "uid": DROP, "sub": "0oab8eb55Kb9jdMIr5d6", "scp": ["radiograph:classify"]},
        200,
        "0oab8eb55Kb9jdMIr5d6",
        {"typ": DROP},
    ),
    "Okta, ID token": IssuerShape(
        _OKTA, {**_OKTA_TOKEN, "scp": DROP, "cid": DROP, "amr": ["pwd"], "nonce": "n"}, 401
    ),
    "Auth0, user": IssuerShape(_AUTH0, _AUTH0_TOKEN, 200, "auth0|65f000000000000000000001"),
    "Auth0, machine to machine": IssuerShape(
        _AUTH0,
        {**_AUTH0_TOKEN, "aud": "pleura", "sub": "my_client_id@clients", "gty": "client-credentials"},
        200,
        "my_client_id@clients",
        {"typ": "at+jwt"},
    ),
    "Auth0, without the permission": IssuerShape(
        _AUTH0, {**_AUTH0_TOKEN, "permissions": []}, 403, "auth0|65f000000000000000000001"
    ),
    "Cognito, client credentials": IssuerShape(
        _COGNITO, _COGNITO_TOKEN, 200, "7h57kanj8q2r0000000000000", {"typ": DROP}
    ),
    "Cognito, user": IssuerShape(
        _COGNITO, {**_COGNITO_TOKEN, "sub": _SUBJECT, "username": "a", "cognito:groups": ["readers"]}, 200
    ),
    "Cognito, another client": IssuerShape(_COGNITO, {**_COGNITO_TOKEN, "client_id": "other"}, 401),
    "Cognito, ID token": IssuerShape(
        _COGNITO,
        {
            **_COGNITO_TOKEN,
            "aud": "7h57kanj8q2r0000000000000",
            "client_id": DROP,
            "scope": DROP,
            "token_use": "id",
        },
        401,
    ),
}
