"""What the proxy trusts in the tokens of one issuer, and what it reads from a token."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from auth_proxy.tokens.key_set import DEFAULT_ALGORITHMS

DEFAULT_SCOPE_CLAIMS: Final = ("scope", "scp", "roles", "permissions")


@dataclass(frozen=True)
class Principal:
    """The subject of a token, its scopes, and when the token expires (seconds since 1970)."""

    name: str
    scopes: frozenset[str]
    expires_at: float


@dataclass(frozen=True)
class ScopeRules:
    """Where the scopes of a token stand, and which words of the issuer mean which scopes.

    Args:
        claims: The claims to look at. The first one that a token has counts, and no other: a client that
            was given few rights must not use the roles of its user.
        words: The issuer's words with the scopes that each word gives. A word that is not listed is a
            scope itself.
    """

    claims: tuple[str, ...] = DEFAULT_SCOPE_CLAIMS
    words: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def translate(self, words: frozenset[str]) -> frozenset[str]:
        """Translate the issuer's words to scopes. Words are compared as they are written."""
        if not self.words:
            return words
        return frozenset(scope for word in words for scope in self.words.get(word, {word}))


@dataclass(frozen=True)
class Trust:
    """What a token of one issuer must say.

    Args:
        issuer: The issuer, exactly as it stands in ``iss``.
        audiences: The names of this service. A token must have one of them.
        leeway_s: Seconds that the issuer's clock may be off.
        audience_claim: The claim with the audience. Cognito's access tokens have no ``aud``.
        algorithms: The allowed algorithms.
        principal_prefix: Text before the subject in the principal's name. It keeps the principals of several
            issuers apart.
    """

    issuer: str
    audiences: frozenset[str]
    leeway_s: int
    audience_claim: str = "aud"
    algorithms: frozenset[str] = DEFAULT_ALGORITHMS
    scope_rules: ScopeRules = ScopeRules()
    principal_prefix: str = ""
