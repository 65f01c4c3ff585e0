"""Attacks on tokens, keys, HTTP parsing and object ids: ``python -m proof.attacks BUNDLE``.

The tests run the same tables. The campaign counts and times them, and stops the issuer for ten minutes.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import grpc
import structlog

from auth_proxy.tokens.key_set import parse_keys
from auth_proxy.tokens.trust import Trust
from pleura.local import dependencies
from pleura.local.pleura_services import Ports, start_predictor
from proof.attacks import (
    federation_cases,
    http_cases,
    http_syntax,
    object_attack,
    token_carriers,
    token_cases,
    upload_cases,
)
from proof.attacks.attacked_proxy import AttackedProxy, start_attacked_proxy
from proof.attacks.federation import start_federated_proxy
from proof.attacks.federation_cases import MakeFederatedToken
from proof.attacks.forge import Forge, key_document
from proof.attacks.http_attack import run_case
from proof.attacks.key_rotation import attack_keys
from proof.attacks.neighbour_attack import attack_as_neighbour, start_attacked_stack
from proof.attacks.object_ids import ODD, REFUSED, REFUSED_TEXTS
from proof.attacks.service_attack import attack_services
from proof.attacks.token_attack import OfflineVerification, TokenOutcome, by_grpc, by_rest, raw_rest
from proof.lab.report import ClaimRow, print_claims
from proof.lab.service_key import KEY_OR_NONE
from proof.lab.transformer import ACCESS_KEY, SECRET_KEY, TransformerParts

MAX_CPU_MS = 5.0
# A list of what is allowed: INTERNAL and DEADLINE_EXCEEDED once passed for a refusal.
_REFUSAL = frozenset({"400", "413", "INVALID_ARGUMENT"})
_NOT_FOUND = frozenset({"404", "NOT_FOUND"})


def claim_at_least(claim: str, minimum: int, count: int) -> ClaimRow:
    """Claim that there are at least ``minimum`` of something."""
    return ClaimRow(claim, f">= {minimum}", str(count), count >= minimum)


def claim_none(claim: str, found: Iterable[object]) -> ClaimRow:
    """Claim that something never happens, and print the first cases in which it did."""
    cases = [*found]
    for case in cases[:20]:
        sys.stderr.write(f"{claim}: {case}\n")
    return ClaimRow(claim, "0", str(len(cases)), not cases)


def attack_with_tokens(attacked: AttackedProxy) -> list[ClaimRow]:
    """Send bad tokens by REST and by gRPC, and good tokens in wrong places."""
    with grpc.insecure_channel(f"127.0.0.1:{attacked.proxy.grpc_port}") as channel:
        outcomes = _send_bad_tokens(attacked, channel)
        refused_good = _send_good_tokens(attacked, channel)
    carried = {
        f"place: {name}": raw_rest(attacked, carry(attacked.forge().good()))
        for name, carry in token_carriers.REFUSED.items()
    }
    outcomes |= carried
    return [
        claim_at_least("good tokens and identities in wrong places", 60, len(carried)),
        claim_none("tokens accepted", [name for name, each in outcomes.items() if each.is_let_in]),
        claim_none(
            "answers of 5xx or its gRPC equivalent, or no answer",
            [name for name, outcome in outcomes.items() if outcome.is_fault],
        ),
        claim_none("fetches of anything but the issuer's keys", [1] * attacked.unexpected_fetches),
        claim_none(f"of {len(token_cases.ACCEPTED)} good tokens refused", refused_good),
    ]


def _send_bad_tokens(attacked: AttackedProxy, channel: grpc.Channel) -> dict[str, TokenOutcome]:
    outcomes = {}
    for name, make_token in token_cases.REFUSED.items():
        outcomes[f"REST: {name}"] = by_rest(attacked, make_token(attacked.forge()))
        outcomes[f"gRPC: {name}"] = by_grpc(attacked, channel, f"Bearer {make_token(attacked.forge())}")
    return outcomes


def _send_good_tokens(attacked: AttackedProxy, channel: grpc.Channel) -> list[str]:
    """Send the good tokens, and return the names of those that were refused."""
    return [
        name
        for name, make_token in token_cases.ACCEPTED.items()
        if not by_rest(attacked, make_token(attacked.forge())).is_let_in
        or not by_grpc(attacked, channel, f"Bearer {make_token(attacked.forge())}").is_let_in
    ]


def verify_tokens_offline() -> list[ClaimRow]:
    """Verify the bad tokens without a network, and measure what each costs."""
    forge = Forge("https://issuer.example", "pleura", 1_800_000_000)
    trust = Trust(forge.issuer, frozenset({forge.audience}), 30)
    verification = OfflineVerification([(trust, parse_keys(key_document()))], forge.now_s)
    tokens = {name: make_token(forge) for name, make_token in token_cases.REFUSED.items()}
    slowest_ms = max(verification.cpu_ms(token) for token in tokens.values())
    return [
        claim_at_least("bad tokens, each verified alone, by REST and by gRPC", 60, len(tokens)),
        claim_none(
            "bad tokens accepted without a network",
            [name for name, token in tokens.items() if verification.lets_in(token)],
        ),
        ClaimRow(
            "processor time of the slowest verification",
            f"<= {MAX_CPU_MS:.0f} ms",
            f"{slowest_ms:.2f} ms",
            slowest_ms <= MAX_CPU_MS,
        ),
    ]


def attack_between_issuers(folder: Path, attacked: AttackedProxy) -> list[ClaimRow]:
    """Send tokens that confuse two trusted issuers, and tokens of each."""
    with (
        start_federated_proxy(folder, attacked) as federated,
        grpc.insecure_channel(f"127.0.0.1:{federated.attacked.proxy.grpc_port}") as channel,
    ):

        def send(make_token: MakeFederatedToken) -> tuple[TokenOutcome, TokenOutcome]:
            token = make_token(federated.federation())
            rest = by_rest(federated.attacked, token)
            return rest, by_grpc(federated.attacked, channel, f"Bearer {token}")

        bad = {name: send(make_token) for name, make_token in federation_cases.REFUSED.items()}
        good = {name: send(make_token) for name, (_, make_token) in federation_cases.ACCEPTED.items()}
    return [
        claim_at_least("tokens that confuse two trusted issuers, by REST and by gRPC", 50, len(bad)),
        claim_none(
            "of these accepted", [name for name, sent in bad.items() if any(each.is_let_in for each in sent)]
        ),
        claim_none(
            "answers of 5xx to these, or its gRPC equivalent",
            [name for name, sent in bad.items() if any(each.is_fault for each in sent)],
        ),
        claim_none(
            f"of {len(good)} good tokens of both refused",
            [name for name, sent in good.items() if not all(each.is_let_in for each in sent)],
        ),
    ]


def attack_with_requests(attacked: AttackedProxy) -> list[ClaimRow]:
    """Send the raw requests."""
    tables = {"framing": http_cases.FRAMING, "chunks": http_cases.CHUNKS}
    tables |= http_syntax.TABLES | upload_cases.TABLES
    cases = {f"{table}: {name}": case for table, rows in tables.items() for name, case in rows.items()}
    results = {name: run_case(attacked, case) for name, case in cases.items()}
    return [
        claim_at_least("raw requests, each between two good ones", 100, len(cases)),
        claim_none("bypasses", [(name, r.bypasses) for name, r in results.items() if r.bypasses]),
        claim_none(
            "desynchronised answers",
            [(name, r.desynchronised) for name, r in results.items() if r.desynchronised],
        ),
        claim_none(
            "answers of 5xx to raw requests", [(name, r.faults) for name, r in results.items() if r.faults]
        ),
    ]


def attack_with_object_ids(folder: Path, attacked: AttackedProxy, bundle: Path) -> list[ClaimRow]:
    """Ask for dangerous and unusual object ids, with a real object store."""
    postgres = dependencies.start_postgres(folder / "postgres", dependencies.free_port())
    seaweed = dependencies.start_seaweed(folder / "seaweed", dependencies.free_port(), ACCESS_KEY, SECRET_KEY)
    ports = Ports(dependencies.free_port(), dependencies.free_port())
    predictor = start_predictor(folder / "predictor", ports, bundle, KEY_OR_NONE)
    try:
        parts = TransformerParts(predictor.grpc_address, seaweed.url, "", postgres.url, folder / "spool")
        with object_attack.start_object_attack(folder / "transformer", parts, attacked) as attack:
            dangerous = [attack.run(send) for send in _build_requests(attack, REFUSED, REFUSED_TEXTS)]
            unusual = [
                attack.run(send)
                for send in _build_requests(attack, [t.encode() for t in ODD.values()], ODD.values())
            ]
            ordinary = attack.run(lambda: attack.send_json("r0.png"))
    finally:
        for server in (predictor, seaweed, postgres):
            server.stop()
    calls = [call for _, caused in (*dangerous, *unusual) for call in caused]
    return [
        claim_at_least("requests for dangerous object ids", 100, len(dangerous)),
        claim_none(
            "calls of the object store for dangerous ids",
            [call for _, caused in dangerous for call in caused],
        ),
        claim_at_least("requests for unusual ids that are allowed", 100, len(unusual)),
        claim_none("calls outside the bucket", [call for call in calls if object_attack.is_outside(call)]),
        claim_none("dangerous ids not refused as the caller's mistake", _select_other(_REFUSAL, dangerous)),
        claim_none("unusual ids answered otherwise than not found", _select_other(_NOT_FOUND, unusual)),
        ClaimRow(
            "an ordinary id is read and answered",
            "200, HEAD and GET",
            f"{ordinary[0]}, {' and '.join(call.partition(' ')[0] for call in ordinary[1])}",
            ordinary == ("200", object_attack.build_expected_calls("r0.png", is_there=True)),
        ),
    ]


def _select_other(expected: frozenset[str], results: Iterable[tuple[str, list[str]]]) -> list[str]:
    return [outcome for outcome, _ in results if outcome not in expected]


def _build_requests(
    attack: object_attack.ObjectAttack, raws: Iterable[bytes], texts: Iterable[str]
) -> list[Callable[[], str]]:
    requests: list[Callable[[], str]] = []
    for raw in raws:
        # The default binds the value now: a plain lambda would send the last one each time.
        requests += [lambda raw=raw: attack.send_binary(raw), lambda raw=raw: attack.send_grpc(raw)]  # type: ignore[misc]
    for text in texts:
        requests.append(lambda text=text: attack.send_json(text))  # type: ignore[misc]
        requests.append(lambda text=text: attack.send_to_classify(text))  # type: ignore[misc]
    return requests


def main() -> int:
    """Run every attack, and print the claims."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--outage-s", type=float, default=600.0, help="seconds for which the issuer is down")
    parser.add_argument("--flood-s", type=float, default=65.0, help="seconds of unknown keys")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as name, start_attacked_proxy(Path(name)) as attacked:
        rows = verify_tokens_offline() + attack_with_tokens(attacked)
        rows += attack_between_issuers(Path(name), attacked) + attack_with_requests(attacked)
        rows += asyncio.run(attack_keys(Path(name), attacked, arguments.flood_s, arguments.outage_s))
        rows += attack_with_object_ids(Path(name), attacked, arguments.bundle)
    with tempfile.TemporaryDirectory() as name:
        stack = start_attacked_stack(Path(name), arguments.bundle)
        rows += attack_as_neighbour(stack) + attack_services(stack)
        stack.stop()
    return print_claims("Attacks: tokens, keys, HTTP parsing and object ids", rows)


if __name__ == "__main__":
    sys.exit(main())
