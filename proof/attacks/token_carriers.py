"""Tables of places where a caller can put a good token: those that count, and those that do not."""

from collections.abc import Callable, Mapping
from typing import Final

from proof.attacks.attacked_proxy import INFER

Carry = Callable[[str], bytes]
_CLOSE: Final = "Connection: close\r\n"


def request(*lines: str, target: str = INFER, body: str = "{}", verb: str = "POST") -> bytes:
    """Build a request after which the connection closes."""
    head = f"{verb} {target} HTTP/1.1\r\nHost: a\r\n" + "".join(f"{line}\r\n" for line in lines) + _CLOSE
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode("latin-1")


def _trailer(token: str) -> bytes:
    head = f"POST {INFER} HTTP/1.1\r\nHost: a\r\n{_CLOSE}Transfer-Encoding: chunked\r\n"
    body = f"2\r\n{{}}\r\n0\r\nAuthorization: Bearer {token}\r\n\r\n"
    return f"{head}Trailer: Authorization\r\n\r\n{body}".encode()


VALUES: Final[Mapping[str, str]] = {
    # Servers may join two headers of one name with a comma (RFC 9110 section 5.2).
    "twice, with a comma": "Bearer {0}, Bearer {0}",
    "with a comma": "Bearer {0},",
    "after a comma": "Basic YTpi, Bearer {0}",
    "Basic": "Basic {0}",
    "DPoP": "DPoP {0}",
    "Token": "Token {0}",
    "without a scheme": "{0}",
    "without a space": "Bearer{0}",
    "two spaces": "Bearer  {0}",
    "tab": "Bearer\t{0}",
    "tab behind a space": "Bearer \t{0}",
    "no-break space": "Bearer\xa0{0}",
    "colon": "Bearer: {0}",
    "equals sign": "Bearer token={0}",
    "quoted": 'Bearer "{0}"',
    "scheme twice": "Bearer Bearer {0}",
    "words behind": "Bearer {0} realm=x",
    "scheme with a twin letter": "Be\xe0rer {0}",
    "scheme only": "Bearer",
    "scheme and a space": "Bearer ",
}
HEADERS: Final = (
    *("X-Authorization", "Proxy-Authorization", "X-Forwarded-Authorization", "X-Original-Authorization"),
    *("Authorization_", "_authorization", "HTTP_AUTHORIZATION", "Authentication", "WWW-Authenticate"),
    *("X-Access-Token", "X-Auth-Token", "X-Forwarded-Access-Token", "X-Amzn-Oidc-Data"),
    *("Cf-Access-Jwt-Assertion", "Sec-WebSocket-Protocol"),
)  # fmt: skip
# Proxies of other makers set these. None may replace the principal of the token.
IDENTITIES: Final = (
    *("X-Pleura-Principal", "x_pleura_principal", "X_Pleura-Principal", "X-Pleura_Principal", "X-User"),
    *("Remote-User", "REMOTE_USER", "X-Remote-User", "X-Forwarded-User", "X-Forwarded-Email"),
    *("X-Forwarded-Preferred-Username", "X-Forwarded-Client-Cert", "SSL_CLIENT_S_DN"),
    *("X-SSL-Client-Verify", "X-Authenticated-Userid", "X-Consumer-Username", "X-Auth-Request-User"),
    *("X-Goog-Authenticated-User-Email", "X-MS-CLIENT-PRINCIPAL-NAME", "Impersonate-User"),
    *("kubeflow-userid", "X-Real-IP", "X-Forwarded-For", "Forwarded", "X-Internal"),
)  # fmt: skip
REFUSED: Final[Mapping[str, Carry]] = {
    "nothing": lambda t: request(),
    "header empty": lambda t: request("Authorization:"),
    "good token twice": lambda t: request(*[f"Authorization: Bearer {t}"] * 2),
    "bad token, then a good one": lambda t: request("Authorization: Bearer x", f"authorization: Bearer {t}"),
    "good token, then a bad one": lambda t: request(f"Authorization: Bearer {t}", "AUTHORIZATION: Basic x"),
    # A server may join a folded line with the one before, or refuse it (RFC 9112 section 5.2).
    "folded": lambda t: request(f"Authorization: Bearer\r\n {t}"),
    "space before the colon": lambda t: request(f"Authorization : Bearer {t}"),
    "cookie": lambda t: request(f"Cookie: Authorization=Bearer {t}; access_token={t}"),
    # A token in a URL ends up in logs and histories (RFC 6750 section 5.3).
    "query": lambda t: request(target=f"{INFER}?access_token={t}"),
    "user of the target": lambda t: request(target=f"http://{t}@a{INFER}"),
    "user of the host": lambda t: request(f"Host: {t}@a"),
    "form": lambda t: request("Content-Type: application/x-www-form-urlencoded", body=f"access_token={t}"),
    "JSON": lambda t: request("Content-Type: application/json", body=f'{{"access_token": "{t}"}}'),
    # docs/decisions/0014: llhttp reports trailers as header fields.
    "trailer": _trailer,
    **{
        f"value: {name}": lambda t, v=value: request("Authorization: " + v.format(t))  # type: ignore[misc]
        for name, value in VALUES.items()
    },
    **{f"header {n}": lambda t, n=n: request(f"{n}: Bearer {t}") for n in HEADERS},  # type: ignore[misc]
    **{f"only {n}": lambda t, n=n: request(f"{n}: somebody") for n in IDENTITIES},  # type: ignore[misc]
}
"""The proxy must refuse all of these, although the token is good."""
ACCEPTED: Final[Mapping[str, Carry]] = {
    "the usual way": lambda t: request(f"Authorization: Bearer {t}"),
    "small letters": lambda t: request(f"authorization: bearer {t}"),
    "capitals": lambda t: request(f"AUTHORIZATION: BEARER {t}"),
    "spaces around": lambda t: request(f"Authorization: \t Bearer {t} \t"),
    "declared to be of this hop": lambda t: request(
        f"Authorization: Bearer {t}", "Connection: authorization"
    ),
    "next to other identities": lambda t: request(
        f"Authorization: Bearer {t}", *(f"{n}: admin" for n in IDENTITIES)
    ),
}
"""The proxy must accept all of these, with the principal of the token."""
