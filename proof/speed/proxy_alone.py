"""The proxy alone, before an upstream that costs nothing: requests a second of its own processor time.

The figure is of one core, whatever else the machine does.
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
from proof.lab.proxy import DIGEST, build_v2_answer, describe_model, is_answering
from proof.speed import requests
from proof.speed.costs import processor_s
from proof.speed.lab import SpeedLab, median, print_progress
from proof.speed.table import SpeedFigure, SpeedRow, at_least

_AT_LEAST: Final = 1000.0
_TOKENS: Final = 12_000
"""More than the proxy remembers: each has been forgotten when its turn comes again."""
_LIFETIME_S: Final = 3600
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class _Key:
    """A key pair of the issuer."""

    algorithm: str
    private: PrivateKey

    def as_jwk(self) -> dict[str, Any]:
        """Its public half."""
        public: dict[str, Any] = jwt.get_algorithm_by_name(self.algorithm).to_jwk(
            self.private.public_key(), as_dict=True
        )
        return public | {"kid": self.algorithm, "alg": self.algorithm, "use": "sig"}

    def token(self, issuer_url: str) -> str:
        """A token that the proxy believes, and no other like it."""
        now = int(time.time())
        claims = {
            "iss": issuer_url,
            "aud": AUDIENCE,
            "sub": "benchmark",
            "scope": " ".join(token_issuer.SCOPES),
            "nbf": now,
            "exp": now + _LIFETIME_S,
            "jti": secrets.token_hex(8),
        }
        return jwt.encode(claims, self.private, self.algorithm, headers={"kid": self.algorithm})


def _keys() -> list[_Key]:
    curve = ec.generate_private_key(ec.SECP256R1())
    return [_Key("ES256", curve), _Key("RS256", rsa.generate_private_key(65537, 2048))]


def _start_upstream(folder: Path, keys: Sequence[_Key]) -> Server:
    files = {
        "keys.json": {"keys": [key.as_jwk() for key in keys]},
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
def _proxy(keys: Sequence[_Key]) -> Iterator[tuple[Service, str]]:
    """A real proxy before a cheap upstream, and the issuer's name."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        upstream = _start_upstream(Path(name), keys)
        stack.callback(upstream.stop)
        environment = {
            "PLEURA_TRANSFORMER_URL": upstream.url,
            "PLEURA_TRANSFORMER_GRPC": f"{HOST}:{free_port()}",
            "PLEURA_ISSUER": upstream.url,
            "PLEURA_AUDIENCE": AUDIENCE,
            "PLEURA_JWKS_URL": f"{upstream.url}/jwks.json",
            "PLEURA_RATE_PER_S": "100000",
            "PLEURA_BURST": "100000",
        }
        ports = Ports(free_port(), free_port())
        proxy = start_service("auth_proxy", Path(name), ports, environment, "/readyz")
        stack.callback(proxy.stop)
        yield proxy, upstream.url


def _per_processor_s(lab: SpeedLab, proxy: Service, requests: Sequence[bytes]) -> float:
    before_s = processor_s([proxy.process.pid])
    load = lab.load(proxy.url, requests)
    assert not load.refused
    return len(load.replies) / (processor_s([proxy.process.pid]) - before_s)


def _ways(keys: Sequence[_Key], issuer_url: str) -> dict[str, list[bytes]]:
    """A caller with one token on both routes, and tokens of both kinds that the proxy does not remember."""
    token, ways = keys[0].token(issuer_url), dict[str, list[bytes]]()
    ways["V2, one token"] = [requests.by_ids(token, ["a.png"])]
    ways["/classify, one token"] = [requests.by_id(token, "a.png")]
    for key in keys:
        print_progress(f"proxy alone: signing {_TOKENS} tokens with {key.algorithm}")
        tokens = (key.token(issuer_url) for _ in range(_TOKENS))
        ways[f"V2, {key.algorithm} verified each time"] = [requests.by_ids(t, ["a.png"]) for t in tokens]
    return ways


def rows(lab: SpeedLab) -> list[SpeedRow]:
    """Requests a second of the proxy's own processor time."""
    keys = _keys()
    with _proxy(keys) as (proxy, issuer_url):
        ways = _ways(keys, issuer_url)
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(lab.effort.rounds):
            for name, requests in ways.items():
                print_progress(f"proxy alone: round {number + 1}, {name}")
                rates[name].append(_per_processor_s(lab, proxy, requests))
    return [
        at_least(f"proxy alone, {name}", SpeedFigure(median(each), "/s of its core"), _AT_LEAST)
        for name, each in rates.items()
    ]
