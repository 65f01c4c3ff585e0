"""A table of claims that name rights in ways that must not count."""

import json
from collections.abc import Mapping
from typing import Any, Final

from proof.attacks.forge import DROP

CLASSIFY: Final = ["radiograph:classify"]
"""The scope to classify, as a list."""
_APP: Final = {"scope": DROP, "azp": "app"}
_MALFORMED: Final[Mapping[str, object]] = {
    "a nested list": [CLASSIFY],
    "an object": {"radiograph:classify": True},
    "a list of objects": [{"name": "radiograph:classify"}],
    "a list with a number": [*CLASSIFY, 1],
    "a list with null": [*CLASSIFY, None],
    # Only a text is split at spaces. A list has one right in each element.
    "a list of joined texts": ["model:read radiograph:classify"],
    "a list in capitals": ["RADIOGRAPH:CLASSIFY"],
    # Rights are compared as whole words, never by a pattern.
    "a list of patterns": ["*", "radiograph:*", "radiograph"],
    "a list with a space behind": ["radiograph:classify "],
    "a list with a line end": ["radiograph:classify\n"],
    # One more than the limit: a token with thousands of rights costs time at each request.
    "a list of 257 texts": [*CLASSIFY, *map(str, range(256))],
    "a text of 257 words": " ".join([*CLASSIFY, *map(str, range(256))]),
    "a list of 2000 texts": CLASSIFY * 250 + [""] * 1500,
    "a list nested deeply": json.loads("[" * 900 + "]" * 900),
    "true": True,
    "a number": 1,
    "null": None,
}
RIGHTS: Final[Mapping[str, Mapping[str, Any]]] = {
    **{f"scope {name}": {"scope": value} for name, value in _MALFORMED.items() if value is not None},
    **{
        f"{claim} {name}": {**_APP, claim: value}
        for claim in ("scp", "roles", "permissions")
        for name, value in _MALFORMED.items()
    },
    # The first claim that is present decides, even if it grants less.
    "scp next to an empty scope": {"scope": "", "scp": CLASSIFY},
    "roles next to a smaller scope": {"scope": "model:read", "roles": CLASSIFY, "azp": "app"},
    "roles next to a smaller scp": {"scope": DROP, "scp": "model:read", "roles": CLASSIFY, "azp": "app"},
    "permissions next to smaller roles": {**_APP, "roles": ["model:read"], "permissions": CLASSIFY},
    # Roles count in access tokens only, which name the client that they were issued to.
    "roles without a client": {"scope": DROP, "roles": CLASSIFY},
    "permissions without a client": {"scope": DROP, "permissions": CLASSIFY},
    "groups, which are not read by default": {**_APP, "groups": CLASSIFY},
    "roles of a realm": {**_APP, "realm_access": {"roles": CLASSIFY}},
    "roles under another name": {**_APP, "Roles": CLASSIFY},
    "ID token with roles": {"scope": DROP, "roles": CLASSIFY, "nonce": "n", "preferred_username": "a"},
    "ID token with a scope and at_hash": {"at_hash": "h", "azp": "app"},
    "ID token with a scope and c_hash": {"c_hash": "h", "azp": "app"},
    "the audience as client_id": {"aud": DROP, "client_id": "pleura"},
    "the audience as azp": {"aud": "other", "azp": "pleura"},
    "the audience as resource": {"aud": DROP, "resource": "pleura"},
}
"""Claims that name no right in a way that counts."""
