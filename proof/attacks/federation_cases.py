"""Tables of tokens that confuse two trusted issuers, and of tokens that they issue."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from proof.attacks.federation import PARTNER_AUDIENCE, PARTNER_KEYS, WORD, Federation
from proof.attacks.forge import DROP, PRIVATE, b64
from proof.attacks.token_forms import PEM

MakeFederatedToken = Callable[[Federation], str]
_CLASSIFY: Final = "radiograph:classify"


def _home_claims(f: Federation, **changes: Any) -> str:
    return f.home.with_claims(**changes)


def _by_home_key(f: Federation, key_id: str, algorithm: str, **changes: Any) -> str:
    """Sign the partner's claims with a key of the home issuer."""
    header = f.home.header(alg=algorithm, kid=key_id)
    return f.home.signed(header, f.partner_claims(**changes), PRIVATE[key_id], algorithm)


def _with_two_issuers(f: Federation) -> str:
    # By hand: a dictionary cannot hold a member twice.
    payload = json.dumps(f.partner_claims())[:-1] + f', "iss": "{f.home.issuer}"}}'
    header = f.home.header(alg="PS256", kid="partner")
    return f.home.signed(header, payload.encode(), PARTNER_KEYS["partner"], "PS256")


def _move_payload(f: Federation) -> str:
    """Put the home issuer's claims between header and signature of a token of the partner."""
    head, _, signature = f.by_partner().split(".")
    return f"{head}.{b64(f.home.claims())}.{signature}"


REFUSED: Final[Mapping[str, MakeFederatedToken]] = {
    "home's claims, partner's key": lambda f: f.home_claims_by_partner("partner", "RS256"),
    "home's claims, partner's key, PS256": lambda f: f.home_claims_by_partner("partner", "PS256"),
    # Two issuers may use one key id. A cache of keys by id alone would mix them.
    "home's claims, partner's key of the same id": lambda f: f.home_claims_by_partner("ec", "RS256"),
    "home's claims, partner's key, kid of home": lambda f: f.home_claims_by_partner(
        "partner", "RS256", kid="rsa"
    ),
    "home's claims, partner's EC key, kid of home": lambda f: f.home_claims_by_partner(
        "partner-ec", "ES256", kid="ec"
    ),
    "home's claims, partner named in the header": lambda f: f.home_claims_by_partner(
        "partner", "RS256", iss=f.partner_url
    ),
    "home's claims in a token of the partner": _move_payload,
    "partner's claims, home's EC key": lambda f: _by_home_key(f, "ec", "ES256"),
    "partner's claims, home's RSA key": lambda f: _by_home_key(f, "rsa", "RS256"),
    "partner's claims, home's RSA key, PS256": lambda f: _by_home_key(f, "rsa", "PS256"),
    "partner's claims, home's Ed25519 key": lambda f: _by_home_key(f, "ed", "EdDSA"),
    "both issuers in a list": lambda f: f.by_partner(iss=[f.home.issuer, f.partner_url]),
    "both issuers joined": lambda f: f.by_partner(iss=f"{f.partner_url} {f.home.issuer}"),
    "two iss": _with_two_issuers,
    # Issuers are compared letter by letter (RFC 7519, 4.1.1); any tidying opens a second name.
    "partner with a slash": lambda f: f.by_partner(iss=f.partner_url + "/"),
    "partner in capitals": lambda f: f.by_partner(iss=f.partner_url.upper()),
    "the name of an issuer": lambda f: f.by_partner(iss="home"),
    "iss absent": lambda f: f.by_partner(iss=DROP),
    "iss null": lambda f: f.by_partner(iss=None),
    # Each issuer has its own list of algorithms; the union of both must not count.
    "home's algorithm at the partner": lambda f: f.by_partner("partner-ec", "ES256"),
    "partner's algorithm at home": lambda f: f.home.signed(
        f.home.header(alg="PS256", kid="rsa"), None, PRIVATE["rsa"], "PS256"
    ),
    "PS256 named RS256": lambda f: f.by_partner(algorithm="PS256", named="RS256"),
    "RS256 named PS256": lambda f: f.by_partner(algorithm="RS256", named="PS256"),
    # A key that names its algorithm is for no other one (RFC 7517, 4.4).
    "RS256 with a key for PS256": lambda f: f.by_partner("ps-only", "RS256"),
    "RS256 with a key for PS256, named PS256": lambda f: f.by_partner("ps-only", "RS256", "PS256"),
    "PS512, which nobody allows": lambda f: f.by_partner(algorithm="PS512"),
    "PS512 named PS256": lambda f: f.by_partner(algorithm="PS512", named="PS256"),
    "RS512, which nobody allows": lambda f: f.by_partner(algorithm="RS512"),
    "HMAC with the home issuer's key": lambda f: f.home.with_secret(PEM, "partner"),
    "none": lambda f: f.by_partner(named="none"),
    "home's audience at the partner": lambda f: f.by_partner(client_id=f.home.audience),
    "home's audience next to a foreign client": lambda f: f.by_partner(
        client_id="other", aud=[f.home.audience, PARTNER_AUDIENCE]
    ),
    "partner's audience at home": lambda f: _home_claims(f, aud=PARTNER_AUDIENCE),
    "partner's audience as client_id at home": lambda f: _home_claims(
        f, aud=DROP, client_id=PARTNER_AUDIENCE
    ),
    "aud instead of client_id at the partner": lambda f: f.by_partner(client_id=DROP, aud=PARTNER_AUDIENCE),
    "azp instead of client_id at the partner": lambda f: f.by_partner(client_id=DROP, azp=PARTNER_AUDIENCE),
    "client_id an object": lambda f: f.by_partner(client_id={PARTNER_AUDIENCE: 1}),
    # An ID token tells a client who has signed in. It carries no right at a service.
    "ID token of the partner": lambda f: f.by_partner(token_use="id"),
    "ID token of the partner by nonce": lambda f: f.by_partner(nonce="n"),
    "partner's word at home": lambda f: _home_claims(f, scope=WORD),
    "partner's word at home, as a role": lambda f: _home_claims(f, scope=DROP, roles=[WORD], azp="app"),
    "our word at the partner, which its map denies": lambda f: f.by_partner(roles=[_CLASSIFY]),
    "scope at the partner, which is not read": lambda f: f.by_partner(roles=DROP, scope=_CLASSIFY),
    "scope with the word at the partner": lambda f: f.by_partner(roles=DROP, scope=WORD),
    "another word of the map": lambda f: f.by_partner(roles=["Readers"]),
    # A word of the map counts only as it is written, because issuers take care of case.
    "the word in small letters": lambda f: f.by_partner(roles=[WORD.lower()]),
    "the word in capitals": lambda f: f.by_partner(roles=[WORD.upper()]),
    "the word with a space": lambda f: f.by_partner(roles=[f"{WORD} "]),
    "the word with NUL": lambda f: f.by_partner(roles=[f"{WORD}\0"]),
    "the word cut": lambda f: f.by_partner(roles=[WORD[:-1]]),
    "the word longer": lambda f: f.by_partner(roles=[f"{WORD}.All"]),
    "the word with a twin letter": lambda f: f.by_partner(roles=["Films.R\u0435ad"]),
    "the word in a longer text": lambda f: f.by_partner(roles=[f"x {WORD}"]),
    "the word as a key": lambda f: f.by_partner(roles={WORD: True}),
    "the word in an object": lambda f: f.by_partner(roles=[{"value": WORD}]),
    "the word in a nested list": lambda f: f.by_partner(roles=[[WORD]]),
    "the word among 300": lambda f: f.by_partner(roles=[WORD, *map(str, range(300))]),
    "the word under another claim": lambda f: f.by_partner(roles=DROP, groups=[WORD], scp=WORD),
    "names of the map's form": lambda f: f.by_partner(roles=["__class__", "words", "*", ""]),
    # A principal has at most 128 characters, and the name of the issuer before it counts.
    "sub too long with its prefix": lambda f: f.by_partner(sub="s" * 121),
    "sub empty": lambda f: f.by_partner(sub=""),
    "sub absent": lambda f: f.by_partner(sub=DROP),
}
"""Tokens that a proxy of two issuers must refuse."""
ACCEPTED: Final[Mapping[str, tuple[str, MakeFederatedToken]]] = {
    "home": ("home:somebody", lambda f: f.home.good()),
    "home by RSA": ("home:somebody", lambda f: f.home.good("rsa")),
    "partner by PS256": ("partner:somebody", lambda f: f.by_partner()),
    "partner by RS256": ("partner:somebody", lambda f: f.by_partner(algorithm="RS256")),
    "partner by a key for PS256": ("partner:somebody", lambda f: f.by_partner("ps-only")),
    "partner by the key with the same id": ("partner:somebody", lambda f: f.by_partner("ec")),
    # The prefix keeps the two apart: a partner cannot write in the name of a principal of home.
    "partner with a principal of home": (
        "partner:home:somebody",
        lambda f: f.by_partner(sub="home:somebody"),
    ),
    "home with a principal of the partner": (
        "home:partner:somebody",
        lambda f: f.home.good(sub="partner:somebody"),
    ),
    "partner's word twice": ("partner:somebody", lambda f: f.by_partner(roles=[WORD, WORD, "x"])),
}
"""Tokens that a proxy of two issuers must accept, with their principal."""
