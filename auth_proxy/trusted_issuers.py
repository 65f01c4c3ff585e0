"""Build the trusted issuers of the settings."""

from collections.abc import Sequence

from auth_proxy.issuer_settings import IssuerEntry, as_sequence
from auth_proxy.settings import AuthProxySettings
from auth_proxy.tokens.authenticator import TrustedIssuer
from auth_proxy.tokens.key_sources import DiscoveredKeySource, HttpKeySource, build_tls
from auth_proxy.tokens.keys import KeyCache
from auth_proxy.tokens.trust import ScopeRules, Trust


def build_trusted_issuers(settings: AuthProxySettings) -> Sequence[TrustedIssuer]:
    """Build the trusted issuers of the settings, without asking any of them yet.

    Where there are several, the name of a principal begins with the name of its issuer: no issuer can name
    the principal of another one.
    """
    tls = build_tls(settings.ca_file)
    issuers = []
    for entry in settings.issuers or (_build_single_entry(settings),):
        trust = build_trust(entry, settings, is_single=len(settings.issuers) < 2)
        source = (
            HttpKeySource(str(entry.jwks_url), tls)
            if entry.jwks_url
            else DiscoveredKeySource(entry.issuer, tls)
        )
        issuers.append(
            TrustedIssuer(trust, KeyCache(source, algorithms=trust.algorithms, issuer=entry.issuer))
        )
    return issuers


def build_trust(entry: IssuerEntry, settings: AuthProxySettings, *, is_single: bool) -> Trust:
    """Build what the tokens of an issuer must say. What the entry leaves out comes from the settings."""
    words = settings.scope_map if entry.scope_map is None else entry.scope_map
    return Trust(
        entry.issuer,
        frozenset(as_sequence(entry.audience or settings.audience or ())),
        settings.leeway_s,
        entry.audience_claim or settings.audience_claim,
        frozenset(entry.algorithms or settings.algorithms.split(",")),
        ScopeRules(
            tuple(entry.scope_claims or settings.scope_claims.split(",")),
            {word: frozenset(as_sequence(scopes)) for word, scopes in words.items()},
        ),
        "" if is_single else f"{entry.name}:",
    )


def _build_single_entry(settings: AuthProxySettings) -> IssuerEntry:
    return IssuerEntry(name="issuer", issuer=settings.issuer or "", jwks_url=settings.jwks_url)
