"""Measure the proxy alone, in front of a cheap upstream, by requests a second of its processor time.

The figure is for one core and does not depend on other work of the machine.
"""

import contextlib
import json
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from pleura.local import token_issuer
from pleura.local.access import AUDIENCE
from pleura.local.pleura_services import Ports, Service, build_service_environment, start_service
from pleura.local.processes import HOST, Command, Server, free_port, launch, wait_until
from proof.lab.module_process import is_answering
from proof.lab.service_key import KEY_ONLY
from proof.lab.stand_in_transformer import DIGEST, build_v2_answer, describe_model
from proof.speed import requests
from proof.speed.costs import read_processor_s
from proof.speed.lab import SpeedLab, median, print_progress
from proof.speed.table import SpeedFigure, SpeedRow, require_at_least

_AT_LEAST: Final = 1000.0
_TOKENS: Final = 12_000
"""More tokens than the proxy caches, so that each is evicted before it is used again."""
_LIFETIME_S: Final = 3600
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class _IssuerKey:
    """A key pair of the issuer."""

    algorithm: str
    private_key: PrivateKey

    def to_public_jwk(self) -> dict[str, Any]:
        """Return the public key as a JSON Web Key."""
        public: dict[str, Any] = jwt.get_algorithm_by_name(self.algorithm).to_jwk(
            self.private_key.public_key(), as_dict=True
        )
        return public | {"kid": self.algorithm, "alg": self.algorithm, "use": "sig"}

    def sign_token(self, issuer_url: str) -> str:
        """Sign a unique token that the proxy accepts."""
        now = int(time.time())
        claims = {
            "iss": issuer_url,
            "aud": AUDIENCE,
            "sub": "benchmark",
            "scope": " ".join(token_issuer.SCOPES),
            "nbf": now,
            "exp": now + _LIFETIME_S,
            # Makes each token another one, also to a cache by digest.
            "jti": secrets.token_hex(8),
        }
        return jwt.encode(claims, self.private_key, self.algorithm, headers={"kid": self.algorithm})


def _make_keys() -> list[_IssuerKey]:
    curve = ec.generate_private_key(ec.SECP256R1())
    return [_IssuerKey("ES256", curve), _IssuerKey("RS256", rsa.generate_private_key(65537, 2048))]


def _start_upstream(folder: Path, keys: Sequence[_IssuerKey]) -> Server:
    files = {
        "keys.json": {"keys": [key.to_public_jwk() for key in keys]},
        "answer.json": build_v2_answer(DIGEST),
        "info.json": describe_model(),
    }
    for name, document in files.items():
        (folder / name).write_text(json.dumps(document))
    port, log = free_port(), folder / "upstream.log"
    arguments = [sys.executable, "-m", "proof.speed.cheap_upstream", str(port), *files]
    command = Command("upstream", arguments, log, build_service_environment(), folder=folder)
    server = Server("upstream", f"http://{HOST}:{port}", log, launch(command))
    return wait_until(server, lambda: is_answering(port))


@contextlib.contextmanager
def _start_proxy(keys: Sequence[_IssuerKey]) -> Iterator[tuple[Service, str]]:
    """Start a real proxy in front of a cheap upstream, and give the proxy and the issuer's URL."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        upstream = _start_upstream(Path(name), keys)
        stack.callback(upstream.stop)
        environment = {
            "PLEURA_TRANSFORMER_URL": upstream.url,
            "PLEURA_TRANSFORMER_GRPC": f"{HOST}:{free_port()}",
            "PLEURA_ISSUER": upstream.url,
            "PLEURA_AUDIENCE": AUDIENCE,
            "PLEURA_JWKS_URL": f"{upstream.url}/jwks.json",
            # A benchmark once measured the rate limit.
            "PLEURA_RATE_PER_S": "100000",
            "PLEURA_BURST": "100000",
            **KEY_ONLY,
        }
        ports = Ports(free_port(), free_port())
        proxy = start_service("auth_proxy", Path(name), ports, environment, "/readyz")
        stack.callback(proxy.stop)
        yield proxy, upstream.url


def _measure_rate(lab: SpeedLab, proxy: Service, requests: Sequence[bytes]) -> float:
    before_s = read_processor_s([proxy.process.pid])
    load = lab.send_load(proxy.url, requests)
    # A refusal is cheaper than an answer, and would raise the rate.
    assert not load.refused
    return len(load.replies) / (read_processor_s([proxy.process.pid]) - before_s)


def _build_requests(keys: Sequence[_IssuerKey], issuer_url: str) -> dict[str, list[bytes]]:
    """Build requests with one token on both routes, and requests that each need a token verification."""
    token, requests_by_name = keys[0].sign_token(issuer_url), dict[str, list[bytes]]()
    requests_by_name["V2, one token"] = [requests.build_ids_request(token, ["a.png"])]
    requests_by_name["/classify, one token"] = [requests.build_id_request(token, "a.png")]
    for key in keys:
        print_progress(f"proxy alone: signing {_TOKENS} tokens with {key.algorithm}")
        tokens = (key.sign_token(issuer_url) for _ in range(_TOKENS))
        requests_by_name[f"V2, {key.algorithm} verified each time"] = [
            requests.build_ids_request(t, ["a.png"]) for t in tokens
        ]
    return requests_by_name


def measure_proxy(lab: SpeedLab) -> list[SpeedRow]:
    """Measure requests a second of the proxy's own processor time."""
    keys = _make_keys()
    with _start_proxy(keys) as (proxy, issuer_url):
        requests_by_name = _build_requests(keys, issuer_url)
        rates: dict[str, list[float]] = {name: [] for name in requests_by_name}
        for number in range(lab.effort.rounds):
            for name, requests in requests_by_name.items():
                print_progress(f"proxy alone: round {number + 1}, {name}")
                rates[name].append(_measure_rate(lab, proxy, requests))
    return [
        require_at_least(f"proxy alone, {name}", SpeedFigure(median(each), "/s of its core"), _AT_LEAST)
        for name, each in rates.items()
    ]
